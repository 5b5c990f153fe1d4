"""Reads the dead letters of a sink back from their topic."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from sinks.config import SinkConfig
from sinks.dead_letters import ORIGIN
from sinks.log_reader import LogReader
from sinks.records import Partition, Record

REPLAYED = "dlq.replayed"
"""The header of a note in the same topic that an origin's record was replayed, with where to, or was discarded."""

_REASON = 120

Origin = tuple[Partition, int]
"""Partition and offset of a record."""


@dataclass(frozen=True)
class StoredLetter:
    """A dead letter as it lies in its topic.

    origin: of the record; reason: why it is a dead letter; record: as it was, with its own headers alone; is_whole:
    whether its value is here, for one that was too large is not.
    """

    origin: Origin
    reason: str
    record: Record
    is_whole: bool


def read_letters(sink: SinkConfig, reader: LogReader) -> dict[Origin, StoredLetter]:
    """The dead letters of a sink that are there now and were not replayed, in their order, one for each record.

    Raises Retriable when Kafka does not answer.
    """
    partitions = (partition for topic in sink.dead_letter_topics for partition in reader.partitions(topic))
    records = (record for partition in partitions for record in reader.read(partition, *reader.bounds(partition)))
    return letters_in(records, sink=sink.name)


def letters_in(records: Iterable[Record], *, sink: str) -> dict[Origin, StoredLetter]:
    """The dead letters of a sink among the records of its dead-letter topics, without those that were dealt with."""
    letters: dict[Origin, StoredLetter] = {}
    replayed: set[Origin] = set()
    for record in records:
        headers = dict(record.headers or ())
        if headers.get("dlq.sink") != sink.encode():
            continue  # several sinks may share the topic
        origin = _origin(headers)
        if REPLAYED in headers:
            replayed.add(origin)
        else:
            letters.setdefault(origin, _letter(origin, record, headers))
    return {origin: letter for origin, letter in letters.items() if origin not in replayed}


def kind_of(reason: str) -> str:
    """What many reasons have in common: without their numbers, which are offsets, columns and values."""
    return re.sub(r"\d+", "#", reason)[:_REASON]


def _origin(headers: dict[str, bytes]) -> Origin:
    return Partition(headers["dlq.topic"].decode(), int(headers["dlq.partition"])), int(headers["dlq.offset"])


def _letter(origin: Origin, record: Record, headers: dict[str, bytes]) -> StoredLetter:
    own = [header for header in record.headers or () if not header[0].startswith(ORIGIN)]
    return StoredLetter(
        origin=origin,
        reason=headers["dlq.reason"].decode(errors="replace"),
        record=Record(origin[1], record.value, int(headers["dlq.timestamp"]), record.key, own or None),
        is_whole="dlq.size" not in headers,
    )
