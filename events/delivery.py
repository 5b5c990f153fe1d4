"""How events get to Kafka: by the producer's memory, by the spool on disk, or while the caller waits. No Django."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from events.batch import Batch, to_payloads
from events.feeder import Feeder
from events.spool.log import Spool, SpoolFull
from kafka_client.producer import EventProducer, Record

BREAK_SECONDS = 1.0
"""How long the callers of a topic are told 503 at once after Kafka has not acknowledged it, before one tries again."""

_BROKEN = "Kafka does not acknowledge these events at present"
_LATE = "Kafka did not acknowledge in time"
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


@dataclass(eq=False)
class Delivery:
    """Takes records in each mode.

    producer: of the mode accepted; make_acknowledging: makes that of the mode acknowledged when it is first needed,
    which gives a record up before `acknowledge_seconds`, the longest that a caller waits; spool: of the mode spooled,
    and for what the mode accepted can't give to the producer; feeder: knows which topics Kafka does not take.
    """

    producer: EventProducer
    make_acknowledging: Callable[[], EventProducer]
    spool: Spool
    feeder: Feeder
    acknowledge_seconds: float
    acknowledging: EventProducer | None = field(default=None, init=False)
    """The producer of the mode acknowledged, once it was needed."""

    def __post_init__(self) -> None:
        self._breaker = _Breaker(self.acknowledge_seconds)
        self._lock = threading.Lock()

    def take(self, records: Sequence[Record], mode: Mode) -> Refusal | None:
        """Takes records as the mode promises; None when all were taken."""
        if mode is Mode.ACKNOWLEDGED:
            shut, reason = frozenset(self._breaker.shut({record.topic for record in records})), _BROKEN
        else:
            shut, reason = self.feeder.full_topics, _NO_ROOM
        if not shut:
            return self._deliver(records, mode)
        taken = [index for index, record in enumerate(records) if record.topic not in shut]
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
                self.acknowledging = self.make_acknowledging()
            return self.acknowledging

    def _deliver(self, records: Sequence[Record], mode: Mode) -> Refusal | None:
        if mode is Mode.ACKNOWLEDGED:
            return self._acknowledge(records)
        aside = self.feeder.asides
        # What Kafka does not take would wait in the producer's memory, and use up the room of others.
        if mode is Mode.SPOOLED or (aside and any(record.topic in aside for record in records)):
            return self._append(records, range(len(records)))
        left = self.producer.produce_all(records)
        return self._append(records, left) if left else None

    def _append(self, records: Sequence[Record], indexes: Sequence[int]) -> Refusal | None:
        try:
            self.spool.append(to_payloads(records[index] for index in indexes))
        except SpoolFull as full:
            return Refusal(indexes, str(full))
        return None

    def _acknowledge(self, records: Sequence[Record]) -> Refusal | None:
        all_there = threading.Event()
        batch = Batch(records, len(records), all_there.set)
        batch.begin()
        batch.send_or_fail(self.acknowledging or self._make())
        all_there.wait(self.acknowledge_seconds)
        late = batch.undelivered()
        self._breaker.note({record.topic for record in records}, broken={records[index].topic for index in late})
        reasons = [*batch.missing.values(), *batch.failed.values(), *batch.hopeless.values(), _LATE]
        refused = sorted({*late, *batch.hopeless})
        return Refusal(refused, reasons[0]) if refused else None


@dataclass(eq=False)
class _Breaker:
    """Which topics Kafka has not acknowledged lately: their callers are refused at once, instead of waiting in vain.

    try_seconds: how long one caller may try a broken topic before another one does.
    """

    try_seconds: float
    next_tries: dict[str, float] = field(default_factory=dict)

    def shut(self, topics: Iterable[str]) -> set[str]:
        """Those of the topics that are broken. Once BREAK_SECONDS are over, one caller is let through to try again."""
        now = time.monotonic()
        broken = set()
        for topic in topics:
            next_try = self.next_tries.get(topic)
            if next_try is not None and now < next_try:
                broken.add(topic)
            elif next_try is not None:
                self.next_tries[topic] = now + self.try_seconds
        return broken

    def note(self, topics: Iterable[str], *, broken: Collection[str]) -> None:
        """These topics were tried; `broken` are those of them of which Kafka did not acknowledge every record."""
        for topic in topics:
            if topic in broken:
                self.next_tries[topic] = time.monotonic() + BREAK_SECONDS
            else:
                self.next_tries.pop(topic, None)
