"""Feeds what lies in the spools to Kafka, each spool in its order; adopts those of processes that are gone. No Django.

No spool waits for another: one thread goes round, hands the next batch of each to Kafka's client, and comes back to it
when its reports are there. A spool that fails is tried again a little later.

Records of a topic that Kafka does not take (it is missing, forbidden, or has no leader) are set aside, in a spool of
their own, so that they hold up no others. Now and then the first of them is tried; until that spool is empty, all
further records of its topic go to its end.
"""

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from events.batch import Batch, from_payload, to_payloads
from events.spool.log import Spool, SpoolFull
from events.spool.ownership import orphans, release
from events.spool.reader import SpoolReader, keep_records
from kafka_client.log import repeating_logger
from kafka_client.producer import EventProducer, KafkaUnavailable, Record

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

BATCH_RECORDS = 2000
BATCH_BYTES = 1024 * 1024
ADOPT_SECONDS = 5.0
"""How often it looks for spools of processes that are gone."""

ASIDE_SECONDS = 5.0
"""How often it tries a topic that Kafka does not take."""

ASIDE_SHARE = 0.25
"""Once the events of a topic that are set aside take this part of `max_bytes`, beside the spool, no more are taken."""

_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_IDLE_SECONDS = 1.0


@dataclass(eq=False)
class _Source:
    """A spool that is being fed, here that of this process. spool: answers for its bytes."""

    reader: SpoolReader
    spool: Spool
    batch: Batch | None = None
    """What is on its way."""
    next_look: float = 0.0
    """It is left alone until then."""
    is_probing: bool = False
    """Whether only the first of its records is tried."""

    def commit(self) -> None:
        """All that was read is delivered, or kept elsewhere."""
        self.free(self.reader.commit())

    def finish(self, batch: Batch) -> None:
        """All of the batch is delivered, but for what Kafka will never take: better without it than stuck for ever."""
        for index, reason in batch.hopeless.items():
            record = batch.records[index]
            logger.error("event not delivered to %s: %s: %r", record.topic, reason, record.value)
        self.batch = None
        self.commit()

    def free(self, size: int) -> None:
        """So many bytes are gone."""
        self.spool.adopt(-size)

    def fail(self) -> None:
        """Begins again where all was delivered, so that nothing which was read is passed over."""
        self.batch = None
        self.reader.rewind()
        self.next_look = time.monotonic() + _RETRY_SECONDS

    def close(self) -> None:
        """Ends it; what is not delivered stays for the next process."""
        if self.batch is not None and not self.batch.undelivered():
            self.finish(self.batch)

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's files."""


class _Adopted(_Source):
    """The spool of a process that is gone. lock_fd: of its folder; spool: that of this process."""

    def __init__(self, folder: Path, lock_fd: int, spool: Spool) -> None:
        super().__init__(SpoolReader(folder), spool)
        self._lock_fd = lock_fd
        self.counted = self.reader.size()
        """The bytes that count as those of this process."""
        spool.adopt(self.counted)

    def free(self, size: int) -> None:
        size = min(size, self.counted)
        self.counted -= size
        super().free(size)

    def fail(self) -> None:
        super().fail()
        self.free(self.counted)  # it may stay as it is for long, and must not take the room of events that come in

    def close(self) -> None:
        super().close()
        self.free(self.counted)
        release(self.reader.folder, self._lock_fd)

    def abandon(self) -> None:
        os.close(self._lock_fd)


class _Aside(_Source):
    """Records of a topic that Kafka does not take, in a spool of their own."""

    def __init__(self, topic: str, spool: Spool) -> None:
        super().__init__(SpoolReader(spool.folder, lambda: spool.end), spool)
        self.topic = topic
        self.is_probing = True
        self.next_look = time.monotonic() + ASIDE_SECONDS

    def close(self) -> None:
        super().close()
        self.spool.close()

    def abandon(self) -> None:
        self.spool.abandon()


class Feeder:
    """One thread that feeds all spools. A batch of a spool is delivered as a whole before its next: so its order stays.

    root: the folder of the spools of all processes; spool: that of this one; make_producer: makes a producer with
    reports, for the feeder alone, when there is something to feed.
    """

    def __init__(self, root: Path, spool: Spool, make_producer: Callable[[], EventProducer]) -> None:
        self._root = root
        self._spool = spool
        self._make_producer = make_producer
        self.producer: EventProducer | None = None
        """Its producer, once it was needed."""
        self._own = _Source(SpoolReader(spool.folder, lambda: spool.end), spool)
        self._adopted: list[_Adopted] = []
        self.asides: dict[str, _Aside] = {}
        """The records that are set aside, by topic."""
        self.fed = 0
        """Records of this process's spool that were delivered, or set aside."""
        self.aside = 0
        """Records that are set aside now."""
        self.aside_bytes = 0
        """Bytes on the disk of what is set aside."""
        self.full_topics: frozenset[str] = frozenset()
        """The topics of which no more can be set aside."""
        self.dropped = 0
        """Records that were given up: Kafka will never take them, or they can't be decoded."""
        self._looked_at = -math.inf
        self._stopping = threading.Event()
        self._ended = threading.Event()  # a round of some batch, or the work of the feeder
        self._thread = threading.Thread(target=self._run, name="spool-feeder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops feeding."""
        self._stopping.set()
        self._wake()
        self._thread.join()

    def close(self, timeout: float) -> None:
        """After `stop`: waits up to `timeout` seconds for what is on its way, and lets all spools go but its own."""
        if self.producer is not None:
            self.producer.close(0 if self.producer.is_away else timeout)
        for source in self._sources():
            try:
                source.close()
            except OSError:
                logger.exception("the spool %s is left as it is, for the next process", source.reader.folder)

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's files."""
        for source in self._sources():
            source.abandon()

    def _sources(self) -> list[_Source]:
        return [self._own, *self._adopted, *self.asides.values()]

    def _wake(self) -> None:
        self._ended.set()
        self._spool.news.set()

    def _run(self) -> None:
        while True:
            self._ended.clear()
            self._spool.news.clear()
            if self._stopping.is_set():
                return
            self._adopt()
            for source in self._sources():
                if time.monotonic() >= source.next_look:
                    self._feed(source)
            self._measure_asides()
            now = time.monotonic()
            pauses = [source.next_look - now for source in self._sources() if source.next_look > now]
            # While a batch of the own spool is on its way, new records in it are no reason to wake.
            event = self._spool.news if self._own.batch is None else self._ended
            event.wait(min([_IDLE_SECONDS, *pauses]))

    def _adopt(self) -> None:
        if time.monotonic() - self._looked_at < ADOPT_SECONDS:
            return
        self._looked_at = time.monotonic()
        own = {source.reader.folder for source in self._sources()}
        try:
            for folder, lock_fd in orphans(self._root, own):
                self._adopt_one(folder, lock_fd)
        except OSError:
            loop_logger.exception("the spools of processes that are gone can't be looked for in %s", self._root)

    def _adopt_one(self, folder: Path, lock_fd: int) -> None:
        try:
            adopted = _Adopted(folder, lock_fd, self._spool)
        except OSError:
            os.close(lock_fd)
            loop_logger.exception("the spool %s of a process that is gone can't be adopted; it is tried again", folder)
            return
        self._adopted.append(adopted)
        logger.info("adopts the spool %s of a process that is gone, %d bytes", folder, adopted.counted)

    def _feed(self, source: _Source) -> None:
        """Feeds a spool as far as that goes without waiting."""
        try:
            if (batch := source.batch or self._next_batch(source)) is None:
                return
            producer = self.producer = self.producer or self._make_producer()
            batch.send(producer)
            if batch.has_ended:
                # When Kafka is there, it is the topics of what failed that it does not take.
                self._end_round(source, batch, batch.failed | batch.missing if producer.is_reached else batch.missing)
        except KafkaUnavailable:
            source.next_look = time.monotonic() + _LOOK_SECONDS
        except Exception:
            loop_logger.exception("the spool %s can't be fed; it is tried again", source.reader.folder)
            source.fail()

    def _next_batch(self, source: _Source) -> Batch | None:
        payloads = source.reader.read(BATCH_RECORDS, BATCH_BYTES)
        if not payloads:
            source.commit()
            if source is not self._own:
                self._end(source)
            return None
        batch = source.batch = Batch(self._decode(source, payloads), len(payloads), self._wake)
        self._set_aside(source, batch, dict.fromkeys(self.asides, ""))
        batch.begin(only_first=source.is_probing)
        return batch

    def _decode(self, source: _Source, payloads: Sequence[bytes]) -> list[Record]:
        """The records of payloads. What can't be decoded is kept in a file for people, and given up."""
        records: list[Record] = []
        damaged: list[bytes] = []
        reason = ""
        for payload in payloads:
            try:
                records.append(from_payload(payload))
            except msgspec.DecodeError as error:
                damaged.append(payload)
                reason = str(error)
        if damaged:
            kept = keep_records(source.reader.folder, damaged)
            self.dropped += len(damaged)
            logger.error("%d events can't be decoded (%s): not delivered, kept as %s", len(damaged), reason, kept)
        return records

    def _end_round(self, source: _Source, batch: Batch, stuck: Mapping[str, str]) -> None:
        """Goes on with what the round did not deliver, or says that the batch is delivered. stuck: see _set_aside."""
        has_failed = bool(batch.missing or batch.failed)
        source.is_probing = has_failed and isinstance(source, _Aside)
        self._set_aside(source, batch, stuck)
        if batch.undelivered():
            if has_failed:
                source.next_look = time.monotonic() + (ASIDE_SECONDS if source.is_probing else _RETRY_SECONDS)
            batch.begin(only_first=source.is_probing)
        else:
            self.dropped += len(batch.hopeless)
            if isinstance(source, _Aside):
                self.aside -= batch.count
            elif source is self._own:
                self.fed += batch.count
            source.finish(batch)
        self._wake()  # there is more to send, or to read

    def _set_aside(self, source: _Source, batch: Batch, topics: Mapping[str, str]) -> None:
        """Moves the undelivered records of these topics out of a batch; they stay in it when the disk is full.

        topics: with the words in which Kafka refused each.
        """
        if isinstance(source, _Aside):
            return
        for topic, reason in topics.items():
            indexes = [index for index in batch.undelivered() if batch.records[index].topic == topic]
            if not indexes:
                continue
            try:
                if topic not in self.asides:
                    self.asides[topic] = _Aside(topic, self._spool.another())
                    logger.error("Kafka does not take the events for %s (%s): they are set aside", topic, reason)
                self.asides[topic].spool.append(to_payloads(batch.records[index] for index in indexes))
            except (SpoolFull, OSError):
                loop_logger.exception("events for %s can't be set aside: all others wait for them", topic)
                continue
            self.aside += len(indexes)
            batch.hand_over(indexes)

    def _measure_asides(self) -> None:
        used = {topic: aside.spool.used for topic, aside in self.asides.items()}
        self.aside_bytes = sum(used.values())
        full = frozenset(topic for topic in used if used[topic] >= ASIDE_SHARE * self._spool.max_bytes)
        for topic in full - self.full_topics:
            logger.error("events for %s are refused: %d bytes of them are set aside", topic, used[topic])
        for topic in self.full_topics - full:
            logger.info("events for %s are taken again", topic)
        self.full_topics = full

    def _end(self, source: _Source) -> None:
        """An adopted spool, or what was set aside, is delivered."""
        if isinstance(source, _Aside):
            del self.asides[source.topic]
            logger.info("Kafka takes the events for %s: what was set aside is delivered", source.topic)
        elif isinstance(source, _Adopted):
            self._adopted.remove(source)
            logger.info("the adopted spool %s is delivered", source.reader.folder)
        source.close()
