"""What can't become a record goes to the source's dead-letter topic, with the reason and where it was found."""

import json

from events.shortening import shortened
from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.reader import Position

KEPT_BYTES = 64 * 1024
"""Of a value that is longer, a dead letter keeps so many bytes from the beginning."""

_POSITION_LENGTH = 4096
"""The position of many files may have a megabyte, and would make the dead letter too large itself."""


def dead_letter(
    source: SourceConfig,
    part: str,
    *,
    reason: str,
    position: Position | None,
    value: bytes | None = None,
    size: int | None = None,
    topic: str = "",
) -> Record:
    """A record for the source's `dead_letter_topic`, which must be set.

    position: where in the part it was found; value: its beginning is kept; size: of the whole, where `value` is not the
    whole; topic: the one that it was meant for.
    """
    kept = value and value[:KEPT_BYTES]
    headers = [
        ("dlq.reason", reason.encode()),
        ("dlq.source", source.name.encode()),
        ("dlq.part", part.encode()),
        ("dlq.position", shortened(json.dumps(position), _POSITION_LENGTH).encode()),
        ("dlq.topic", topic.encode()),
        ("dlq.size", b"%d" % (len(value or b"") if size is None else size)),
    ]
    return Record(source.dead_letter_topic, kept, headers)
