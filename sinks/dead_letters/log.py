"""Reads the dead letters of a sink back from their topic."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from events.shortening import shortened
from kafka_client.names import TOPIC
from sinks.config import SinkConfig
from sinks.log_reader import LogReader
from sinks.records import Partition, Record
from worker.dead_letters import ORIGIN

REPLAYED = "dlq.replayed"
"""The header of a note that a letter was replayed, with where to, or was discarded."""

LETTER = "dlq.letter"
"""The header of such a note with the offset of its letter, which lies in the note's own partition."""

_REASON = 120
_EXAMPLE = 1_000
_NUMBER = re.compile(rb"-?\d{1,18}")

Place = tuple[Partition, int]
"""Partition and offset of a record."""

ReadLog = Callable[[], Iterable[tuple[Partition, Record]]]
"""Gives the records of dead-letter topics with their partitions; the same ones when called again."""


@dataclass(frozen=True)
class StoredLetter:
    """A dead letter as it lies in its topic.

    origin: the record's place; places: its own, and those of later letters of the same record that were not dealt with
    either; reason: why it is a dead letter; record: as it was, with its own headers alone; is_whole: whether its value
    is here, for one that was too large is not.
    """

    origin: Place
    places: tuple[Place, ...]
    reason: str
    record: Record
    is_whole: bool


def is_own(letter: StoredLetter, sink: SinkConfig) -> bool:
    """Whether it comes from a topic of the sink: whoever writes to a dead-letter topic could name any other one."""
    return letter.origin[0].topic in sink.topics


class LetterLog:
    """The dead letters of a sink that are there and were neither replayed nor discarded, one for each record.

    A record that became a dead letter again after a replay is there again. read: gives the records that are looked
    through, more than once: their places alone are kept; sink: its name.

    origins: offsets of the records that ever became dead letters, whatever has become of these, by partition;
    unreadable: places of records that say that they are of this sink, but are not what a sink writes.
    """

    def __init__(self, read: ReadLog, *, sink: str) -> None:
        self._read = read
        self._sink = sink.encode()
        self._done: set[Place] = set()
        self._repeats: dict[Place, list[Place]] = {}
        self.origins: dict[Partition, set[int]] = {}
        self.unreadable: list[Place] = []
        for place, _, headers in self._own():
            try:
                partition, offset = _origin(headers)
                done = _number(headers, LETTER) if REPLAYED in headers else None  # the letter that a note is about
            except ValueError:
                self.unreadable.append(place)
                continue
            known = self.origins.setdefault(partition, set())
            if done is not None:
                self._done.add((place[0], done))
            elif offset in known:
                self._repeats.setdefault((partition, offset), []).append(place)
            known.add(offset)

    def __iter__(self) -> Iterator[StoredLetter]:
        """The letters, in the order of their topics. Raises what `read` does."""
        given: set[Place] = set()
        unreadable = set(self.unreadable)
        for place, record, headers in self._own():
            if place in unreadable or place in self._done or REPLAYED in headers:
                continue
            origin = _origin(headers)
            if origin in given:
                continue
            places = [place]
            if origin in self._repeats:
                given.add(origin)
                places += [other for other in self._repeats[origin] if other != place and other not in self._done]
            yield _letter(origin, tuple(places), record, headers)

    def _own(self) -> Iterator[tuple[Place, Record, dict[str, bytes]]]:
        for partition, record in self._read():
            headers = {name: value or b"" for name, value in record.headers or ()}  # Kafka's may have no value
            if headers.get("dlq.sink") == self._sink:  # several sinks may share the topic
                yield (partition, record.offset), record, headers


def letter_log(sink: SinkConfig, reader: LogReader) -> LetterLog:
    """The dead letters of a sink that are there now. It, and reading it, raises Retriable when Kafka is away."""
    ranges = [
        (partition, *reader.bounds(partition))
        for topic in sink.dead_letter_topics
        for partition in reader.partitions(topic)
    ]

    def read() -> Iterator[tuple[Partition, Record]]:
        for partition, first, end in ranges:
            for record in reader.read(partition, first, end):
                yield partition, record

    return LetterLog(read, sink=sink.name)


def reason_kind(reason: str) -> str:
    """What many reasons have in common: without their numbers, which are offsets, columns and values; not for people.

    It is that of `example_of` the reason, too, and its own.
    """
    return re.sub(r"\d+", "#", example_of(reason))[:_REASON].rstrip()


def example_of(reason: str) -> str:
    """A reason as an example of its kind, for people: in one line, as forms and addresses give it back."""
    return shortened(" ".join(reason.replace("\0", "\ufffd").split()), _EXAMPLE)


def _origin(headers: dict[str, bytes]) -> Place:
    """The place that a letter or note is about. Raises ValueError when it is neither."""
    topic = headers.get("dlq.topic", b"").decode()
    partition, offset = _number(headers, "dlq.partition"), _number(headers, "dlq.offset")
    if not TOPIC.fullmatch(topic) or partition < 0 or offset < 0:
        raise ValueError("no place of a record")
    if REPLAYED not in headers:
        _number(headers, "dlq.timestamp")
    return Partition(topic, partition), offset


def _number(headers: dict[str, bytes], name: str) -> int:
    value = headers.get(name, b"")
    if not _NUMBER.fullmatch(value):
        raise ValueError(f"{name} is {value!r}")
    return int(value)


def _letter(origin: Place, places: tuple[Place, ...], record: Record, headers: dict[str, bytes]) -> StoredLetter:
    own = [header for header in record.headers or () if not header[0].startswith(ORIGIN)]
    original = Record(origin[1], record.value, _number(headers, "dlq.timestamp"), record.key, own or None)
    reason = headers.get("dlq.reason", b"").decode(errors="replace")
    return StoredLetter(origin, places, reason, original, is_whole="dlq.size" not in headers)
