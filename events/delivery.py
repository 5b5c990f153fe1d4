"""How events get to Kafka: by the producer's memory, by the spool on disk, or while the caller waits. No Django."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Protocol

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message

from events.spool.log import Spool, SpoolFull
from kafka_client.producer import HOPELESS, EventProducer, KafkaUnavailable, Record

BREAK_SECONDS = 1.0
"""How long the callers of a topic are told 503 at once after Kafka has not acknowledged it, before one tries again."""

_BROKEN = "Kafka does not acknowledge these events at present"
_NO_ROOM = "Kafka does not take these events at present, and too many of them wait"


class Mode(StrEnum):
    """What an answer promises."""

    ACCEPTED = "accepted"
    SPOOLED = "spooled"
    ACKNOWLEDGED = "acknowledged"


@dataclass(frozen=True)
class Refusal:
    """Records that were not taken, by their index, and why. They will not arrive in Kafka either."""

    indexes: Sequence[int]
    reason: str


class Delivers(Protocol):
    """What collecting needs of delivery."""

    def take(self, records: Sequence[Record], mode: Mode) -> Refusal | None:
        """Takes records as the mode promises; None when all were taken."""


_encode_record = msgspec.msgpack.Encoder().encode
_decode_record = msgspec.msgpack.Decoder(Record).decode


def to_payload(record: Record) -> bytes:
    """A record as the spool holds it."""
    return _encode_record(record)


def from_payload(payload: bytes) -> Record:
    """The inverse of to_payload."""
    record: Record = _decode_record(payload)
    return record


class Asides(Protocol):
    """What delivery needs to know of the events that are set aside, because Kafka does not take their topics."""

    @property
    def aside_topics(self) -> frozenset[str]:
        """Their topics."""

    @property
    def full_topics(self) -> frozenset[str]:
        """Those of the topics of which no more events can be set aside."""


class Delivery:
    """Takes records in each mode.

    producer: of the mode accepted; make_acknowledging: makes that of the mode acknowledged when it is first needed,
    which gives a record up before `acknowledge_seconds`, the longest that a caller waits; spool: of the mode spooled,
    and for what the mode accepted can't give to the producer.
    """

    def __init__(
        self,
        producer: EventProducer,
        make_acknowledging: Callable[[], EventProducer],
        spool: Spool,
        asides: Asides,
        *,
        acknowledge_seconds: float,
    ) -> None:
        self._producer = producer
        self._make_acknowledging = make_acknowledging
        self.acknowledging: EventProducer | None = None
        """The producer of the mode acknowledged, once it was needed."""
        self._spool = spool
        self._asides = asides
        self._acknowledge_seconds = acknowledge_seconds
        self._breaker = _Breaker(acknowledge_seconds)
        self._lock = threading.Lock()

    def take(self, records: Sequence[Record], mode: Mode) -> Refusal | None:
        """See Delivers."""
        if mode is Mode.ACKNOWLEDGED:
            shut, reason = frozenset(self._breaker.shut({topic for topic, _, _ in records})), _BROKEN
        else:
            shut, reason = self._asides.full_topics, _NO_ROOM
        if not shut:
            return self._deliver(records, mode)
        taken = [index for index, (topic, _, _) in enumerate(records) if topic not in shut]
        refused = set(range(len(records))).difference(taken)
        refusal = self._deliver([records[index] for index in taken], mode) if taken else None
        if refusal is not None:
            refused.update(taken[index] for index in refusal.indexes)
            reason = refusal.reason
        return Refusal(sorted(refused), reason) if refused else None

    def close(self, timeout: float) -> None:
        """Waits up to `timeout` seconds for the acknowledgements that callers wait for."""
        if self.acknowledging is not None:
            self.acknowledging.close(timeout)

    def _make(self) -> EventProducer:
        with self._lock:
            if self.acknowledging is None:
                self.acknowledging = self._make_acknowledging()
            return self.acknowledging

    def _deliver(self, records: Sequence[Record], mode: Mode) -> Refusal | None:
        if mode is Mode.ACKNOWLEDGED:
            return self._acknowledge(records)
        aside = self._asides.aside_topics
        # What Kafka does not take would wait in the producer's memory, and use up the room of others.
        if mode is Mode.SPOOLED or (aside and any(topic in aside for topic, _, _ in records)):
            return self._append(records, range(len(records)))
        left = self._producer.produce_all(records)
        return self._append(records, left) if left else None

    def _append(self, records: Sequence[Record], indexes: Sequence[int]) -> Refusal | None:
        try:
            self._spool.append([to_payload(records[index]) for index in indexes])
        except SpoolFull as full:
            return Refusal(indexes, str(full))
        return None

    def _acknowledge(self, records: Sequence[Record]) -> Refusal | None:
        producer = self.acknowledging or self._make()
        reports = _Reports(len(records))
        for index, (topic, value, headers) in enumerate(records):
            try:
                producer.produce(topic, value, headers=headers, on_delivery=partial(reports.note, index))
            except KafkaUnavailable as error:
                reports.note_failure(index, str(error))
            except KafkaException as error:
                reports.note_hopeless(index, error.args[0].str())
        failed = reports.wait(self._acknowledge_seconds)
        self._breaker.note(
            {topic for topic, _, _ in records},
            broken={records[index][0] for index in failed if index not in reports.hopeless},
        )
        return Refusal(failed, reports.reason) if failed else None


class _Breaker:
    """Which topics Kafka has not acknowledged lately: their callers are refused at once, instead of waiting in vain.

    try_seconds: how long one caller may try a broken topic before another one does.
    """

    def __init__(self, try_seconds: float) -> None:
        self._try_seconds = try_seconds
        self._next_tries: dict[str, float] = {}

    def shut(self, topics: Iterable[str]) -> set[str]:
        """Those of the topics that are broken. Once BREAK_SECONDS are over, one caller is let through to try again."""
        now = time.monotonic()
        broken = set()
        for topic in topics:
            next_try = self._next_tries.get(topic)
            if next_try is not None and now < next_try:
                broken.add(topic)
            elif next_try is not None:
                self._next_tries[topic] = now + self._try_seconds
        return broken

    def note(self, topics: Iterable[str], *, broken: Collection[str]) -> None:
        """These topics were tried; `broken` are those of them of which Kafka did not acknowledge every record."""
        for topic in topics:
            if topic in broken:
                self._next_tries[topic] = time.monotonic() + BREAK_SECONDS
            else:
                self._next_tries.pop(topic, None)


class _Reports:
    """The delivery reports of some records that a caller waits for."""

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._open = set(range(count))
        self._failed: set[int] = set()
        self.hopeless: set[int] = set()
        """Records that failed for what they are."""
        self._all_there = threading.Event()
        self.reason = "Kafka did not acknowledge in time"

    def note(self, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of record `index`."""
        if error is None:
            with self._lock:
                self._close(index)
        elif error.code() in HOPELESS:
            self.note_hopeless(index, error.str())
        else:
            self.note_failure(index, error.str())

    def note_hopeless(self, index: int, reason: str) -> None:
        """Kafka will never take record `index`: that says nothing about its topic."""
        self.hopeless.add(index)
        self.note_failure(index, reason)

    def note_failure(self, index: int, reason: str) -> None:
        """Record `index` was not delivered."""
        with self._lock:
            self.reason = reason
            self._failed.add(index)
            self._close(index)

    def wait(self, seconds: float) -> list[int]:
        """Waits until all reports are there; the records that were not delivered, as far as is known by then."""
        self._all_there.wait(seconds)
        with self._lock:
            return sorted(self._failed | self._open)

    def _close(self, index: int) -> None:
        self._open.discard(index)
        if not self._open:
            self._all_there.set()
