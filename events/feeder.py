"""Feeds what lies in the spool to Kafka, in order; adopts the spools of processes that are gone. No Django here.

Records of a topic that Kafka does not have (or forbids) are set aside, in a spool of their own, so that they hold up no
others. That spool is tried now and then; until it is empty, all further records of its topic go to its end.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message

from events.delivery import from_payload, to_payload
from events.spool.log import Spool, SpoolFull
from events.spool.ownership import orphans, release
from events.spool.reader import SpoolReader
from kafka_client.producer import HOPELESS, OF_TOPIC, EventProducer, KafkaUnavailable, Record, TopicUnavailable

logger = logging.getLogger(__name__)

BATCH_RECORDS = 2000
BATCH_BYTES = 1024 * 1024
ADOPT_SECONDS = 5.0
"""How often it looks for spools of processes that are gone."""

ASIDE_SECONDS = 5.0
"""How often it tries a topic that Kafka does not have."""

_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_IDLE_SECONDS = 1.0


@dataclass
class _Source:
    """A spool that is being fed. lock_fd: of an adopted one; batch: what is on its way."""

    reader: SpoolReader
    lock_fd: int | None = None
    batch: "_Batch | None" = None


class _Aside(_Source):
    """Records of a topic that Kafka does not have."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(SpoolReader(spool.folder, lambda: spool.end))
        self.spool = spool
        self.next_try = time.monotonic() + ASIDE_SECONDS


class Feeder:
    """One thread that delivers a batch of records, waits for all reports, and goes on: so their order stays.

    root: the folder of the spools of all processes; spool: that of this one; make_producer: makes a producer with
    reports, for the feeder alone, when there is something to feed.
    """

    def __init__(self, root: Path, spool: Spool, make_producer: Callable[[], EventProducer]) -> None:
        self._root = root
        self._spool = spool
        self._make_producer = make_producer
        self.producer: EventProducer | None = None
        """Its producer, once it was needed."""
        self._sources = [_Source(SpoolReader(spool.folder, lambda: spool.end))]
        self._asides: dict[str, _Aside] = {}
        self.fed = 0
        """Records of this process's spool that were delivered, or set aside."""
        self.aside = 0
        """Records that are set aside now."""
        self.dropped = 0
        """Records that were given up, because Kafka will never take them."""
        self._looked_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool-feeder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops feeding."""
        self._stopping.set()
        self._spool.news.set()
        self._thread.join()

    def close(self, timeout: float) -> None:
        """After `stop`: waits up to `timeout` seconds for what is on its way, and lets all spools go but its own."""
        if self.producer is not None:
            self.producer.close(0 if self.producer.is_away else timeout)
        for source in [*self._sources, *self._asides.values()]:
            if source.batch is not None and not source.batch.undelivered():
                source.reader.commit()
        for source in self._sources:
            if source.lock_fd is not None:
                release(source.reader.folder, source.lock_fd)
        for aside in self._asides.values():
            aside.spool.close()

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's files."""
        for source in self._sources:
            if source.lock_fd is not None:
                os.close(source.lock_fd)
        for aside in self._asides.values():
            aside.spool.abandon()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._adopt()
                self._spool.news.clear()
                fed = [self._feed(source) for source in list(self._sources)]
                fed += [self._try(topic, aside) for topic, aside in list(self._asides.items())]
                if not any(fed):
                    self._spool.news.wait(_IDLE_SECONDS)
            except Exception:
                logger.exception("the spool could not be fed; it is tried again")
                for source in [*self._sources, *self._asides.values()]:
                    source.batch = None
                    source.reader.rewind()  # nothing that was read is passed over
                self._stopping.wait(_RETRY_SECONDS)

    def _adopt(self) -> None:
        if time.monotonic() - self._looked_at < ADOPT_SECONDS and self._looked_at:
            return
        self._looked_at = time.monotonic()
        own = {source.reader.folder for source in [*self._sources, *self._asides.values()]}
        for folder, lock_fd in orphans(self._root, own):
            reader = SpoolReader(folder)
            self._spool.adopt(reader.size())
            self._sources.append(_Source(reader, lock_fd))
            logger.info("adopts the spool %s of a process that is gone, %d bytes", folder, reader.size())

    def _feed(self, source: _Source) -> bool:
        """Delivers one batch; whether there was one."""
        payloads = source.reader.read(BATCH_RECORDS, BATCH_BYTES)
        if payloads:
            batch = source.batch = _Batch([from_payload(payload) for payload in payloads])
            if not self._deliver(source, batch):
                return False
            source.batch = None
            self.dropped += batch.dropped
            if isinstance(source, _Aside):
                self.aside -= len(payloads)
            elif source.lock_fd is None:
                self.fed += len(payloads)
        self._commit(source)
        if not payloads and source.lock_fd is not None:
            self._sources.remove(source)
            self._spool.adopt(-source.reader.size())
            release(source.reader.folder, source.lock_fd)
            logger.info("the adopted spool %s is delivered", source.reader.folder)
        return bool(payloads)

    def _commit(self, source: _Source) -> None:
        freed = source.reader.commit()
        self._spool.adopt(-freed)
        if isinstance(source, _Aside):
            source.spool.adopt(-freed)

    def _deliver(self, source: _Source, batch: "_Batch") -> bool:
        """Tries until all records of a batch are delivered or set aside; False when it ended before."""
        self._set_aside(source, batch, self._asides.keys() & batch.topics())
        while undelivered := batch.undelivered():
            batch.begin(undelivered)
            for index in undelivered:
                if not self._produce(batch, index):
                    return False
            while not batch.wait(_LOOK_SECONDS):
                if self._stopping.is_set():
                    return False
            if batch.missing and isinstance(source, _Aside):
                return False
            self._set_aside(source, batch, batch.missing)
            if batch.undelivered() and self._stopping.wait(_RETRY_SECONDS):
                return False
        return True

    def _produce(self, batch: "_Batch", index: int) -> bool:
        topic, value, headers = batch.records[index]
        if self.producer is None:
            self.producer = self._make_producer()
        while not self._stopping.is_set():
            try:
                self.producer.produce(topic, value, headers=headers, on_delivery=partial(batch.note, index))
                return True
            except TopicUnavailable:
                batch.note_missing(index)
                return True
            except KafkaUnavailable:
                self._stopping.wait(_LOOK_SECONDS)
            except KafkaException as error:
                batch.drop(index, error.args[0])
                return True
        return False

    def _set_aside(self, source: _Source, batch: "_Batch", topics: Iterable[str]) -> None:
        """Takes the undelivered records of these topics out of a batch; they stay in it when the disk is full."""
        if isinstance(source, _Aside):
            return
        for topic in topics:
            indexes = [index for index in batch.undelivered() if batch.records[index][0] == topic]
            payloads = [to_payload(batch.records[index]) for index in indexes]
            try:
                if topic not in self._asides:
                    self._asides[topic] = _Aside(self._spool.another())
                    logger.error("Kafka does not have the topic %s, or forbids it: its events are set aside", topic)
                used = self._asides[topic].spool.used
                self._asides[topic].spool.append(payloads)
            except (SpoolFull, OSError):
                if not batch.is_held:
                    batch.is_held = True
                    logger.exception("events for %s can't be set aside: all others wait for them", topic)
                continue
            self._spool.adopt(self._asides[topic].spool.used - used)
            self.aside += len(indexes)
            batch.end(indexes)

    def _try(self, topic: str, aside: _Aside) -> bool:
        """Delivers what was set aside once Kafka takes the first record of it, for which nobody waits here."""
        if aside.batch is None:
            if time.monotonic() < aside.next_try:
                return False
            aside.next_try = time.monotonic() + ASIDE_SECONDS
            payloads = aside.reader.read(1, BATCH_BYTES)
            if not payloads:
                self._let_go(topic, aside)
                return False
            aside.batch = _Batch([from_payload(payload) for payload in payloads])
            aside.batch.begin([0])
            if not self._produce(aside.batch, 0):
                return False
        if not aside.batch.wait(0):
            return False
        is_delivered = not aside.batch.undelivered()
        self.dropped += aside.batch.dropped
        aside.batch = None
        if is_delivered:
            self.aside -= 1
            self._commit(aside)
            # All of it before anything else of its topic.
            while self._feed(aside):
                pass
            if not self._stopping.is_set() and aside.batch is None:
                self._let_go(topic, aside)
                return True
        if not self._stopping.is_set():
            aside.batch = None
            aside.reader.rewind()
        return is_delivered

    def _let_go(self, topic: str, aside: _Aside) -> None:
        del self._asides[topic]
        self._spool.adopt(-aside.reader.size())
        aside.spool.close()
        logger.info("Kafka has the topic %s: what was set aside is delivered", topic)


class _Batch:
    """Records on their way, and what became of each."""

    def __init__(self, records: Sequence[Record]) -> None:
        self.records = records
        self.missing: set[str] = set()
        """Topics that Kafka does not have, or forbids, as far as was told since `begin`."""
        self.dropped = 0
        """How many of them were given up."""
        self.is_held = False
        """Whether it was told that it can't go on."""
        self._is_done = [False] * len(records)
        self._lock = threading.Lock()
        self._waiting = 0
        self._ended = threading.Event()

    def topics(self) -> set[str]:
        """Those of its records."""
        return {topic for topic, _, _ in self.records}

    def undelivered(self) -> list[int]:
        """The records that Kafka has not acknowledged, in order."""
        return [index for index, is_done in enumerate(self._is_done) if not is_done]

    def begin(self, indexes: Sequence[int]) -> None:
        """These records are about to be produced."""
        self.missing = set()
        self._waiting = len(indexes)
        self._ended.clear()

    def wait(self, seconds: float) -> bool:
        """Waits until each record came to its end, either way; whether they did."""
        return self._ended.wait(seconds)

    def note(self, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of a record."""
        if error is None:
            self._is_done[index] = True
        elif error.code() in OF_TOPIC:
            self.note_missing(index)
            return
        elif error.code() in HOPELESS:
            self.drop(index, error)
            return
        self._end_one()

    def note_missing(self, index: int) -> None:
        """Kafka does not have the topic of this record, or forbids it."""
        self.missing.add(self.records[index][0])
        self._end_one()

    def end(self, indexes: Sequence[int]) -> None:
        """These records are somebody else's now."""
        for index in indexes:
            self._is_done[index] = True

    def drop(self, index: int, error: KafkaError) -> None:
        """Kafka will never take this record: better without it than stuck for ever."""
        logger.error("event not delivered to %s: %s: %r", self.records[index][0], error.str(), self.records[index][1])
        self._is_done[index] = True
        with self._lock:
            self.dropped += 1
        self._end_one()

    def _end_one(self) -> None:
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                self._ended.set()
