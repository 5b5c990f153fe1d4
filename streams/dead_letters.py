"""What a stream can't use goes to its dead-letter topic, with the reason and its origin."""

from collections.abc import Sequence

Headers = list[tuple[str, bytes | None]]

LARGEST = 900_000
"""Bytes of the largest dead letter that is kept whole: Kafka's brokers take about a megabyte unless told otherwise."""

_PREFIX = "dlq."


def letter_headers(
    headers: Sequence[tuple[str, bytes | None]],
    *,
    reason: str,
    stream: str,
    origin: tuple[str, int, int],
    timestamp: int,
) -> Headers:
    """The headers of a dead letter: the record's own and dlq.…. origin: its topic, partition and offset."""
    topic, partition, offset = origin
    return [
        *(header for header in headers if not header[0].startswith(_PREFIX)),
        ("dlq.reason", reason.encode(errors="backslashreplace")),
        ("dlq.stream", stream.encode()),
        ("dlq.topic", topic.encode()),
        ("dlq.partition", b"%d" % partition),
        ("dlq.offset", b"%d" % offset),
        ("dlq.timestamp", b"%d" % timestamp),
    ]


def fitting(value: bytes | None, key: bytes | None, headers: Headers) -> tuple[bytes | None, bytes | None, Headers]:
    """A dead letter as it is, or, when Kafka might refuse it for its size, reason and origin alone, with dlq.size."""
    size = len(value or b"") + len(key or b"") + sum(len(name) + len(text or b"") for name, text in headers)
    if size <= LARGEST:
        return value, key, headers
    origin = [header for header in headers if header[0].startswith(_PREFIX)]
    return None, None, [*origin, ("dlq.size", b"%d" % len(value or b""))]
