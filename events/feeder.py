"""Feeds what lies in the spool to Kafka, in order; adopts the spools of processes that are gone. No Django here."""

import logging
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Message

from events.delivery import from_payload
from events.producer import EventProducer, KafkaUnavailable, Record
from events.spool import Spool, SpoolReader, orphans, release

logger = logging.getLogger(__name__)

BATCH_RECORDS = 2000
BATCH_BYTES = 1024 * 1024
ADOPT_SECONDS = 5.0
"""How often it looks for spools of processes that are gone."""

_RETRY_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_IDLE_SECONDS = 1.0


@dataclass
class _Source:
    """A spool that is being fed. lock_fd: of an adopted one."""

    reader: SpoolReader
    lock_fd: int | None = None


class Feeder:
    """One thread that delivers a batch of records, waits for all reports, and goes on: so their order stays.

    root: the folder of the spools of all processes; spool: that of this one.
    """

    def __init__(self, root: Path, spool: Spool, producer: EventProducer) -> None:
        self._root = root
        self._spool = spool
        self._producer = producer
        self._sources = [_Source(SpoolReader(spool.folder, lambda: spool.end))]
        self._batch: _Batch | None = None
        self.fed = 0
        """Records of this process's spool that were delivered."""
        self._looked_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="spool-feeder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops feeding; to be called before the producer is closed."""
        self._stopping.set()
        self._spool.news.set()
        self._thread.join()

    def finish(self) -> None:
        """After the producer was closed: takes note of what its last flush delivered, and lets adopted spools go."""
        if self._batch is not None and not self._batch.undelivered():
            self._batch.source.reader.commit()
        for source in self._sources:
            if source.lock_fd is not None:
                release(source.reader.folder, source.lock_fd)

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's files."""
        for source in self._sources:
            if source.lock_fd is not None:
                os.close(source.lock_fd)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._adopt()
                self._spool.news.clear()
                fed = [self._feed(source) for source in list(self._sources)]
                if not any(fed):
                    self._spool.news.wait(_IDLE_SECONDS)
            except Exception:
                logger.exception("the spool could not be fed; it is tried again")
                for source in self._sources:
                    source.reader.rewind()  # nothing that was read is passed over
                self._stopping.wait(_RETRY_SECONDS)

    def _adopt(self) -> None:
        if time.monotonic() - self._looked_at < ADOPT_SECONDS and self._looked_at:
            return
        self._looked_at = time.monotonic()
        own = {source.reader.folder for source in self._sources}
        for folder, lock_fd in orphans(self._root, own):
            reader = SpoolReader(folder)
            self._spool.adopt(reader.size())
            self._sources.append(_Source(reader, lock_fd))
            logger.info("adopts the spool %s of a process that is gone, %d bytes", folder, reader.size())

    def _feed(self, source: _Source) -> bool:
        """Delivers one batch; whether there was one."""
        payloads = source.reader.read(BATCH_RECORDS, BATCH_BYTES)
        if payloads:
            self._batch = _Batch(source, [from_payload(payload) for payload in payloads])
            if not self._deliver(self._batch):
                return False
            self._batch = None
            if source.lock_fd is None:
                self.fed += len(payloads)
        self._spool.adopt(-source.reader.commit())
        if not payloads and source.lock_fd is not None:
            self._sources.remove(source)
            self._spool.adopt(-source.reader.size())
            release(source.reader.folder, source.lock_fd)
            logger.info("the adopted spool %s is delivered", source.reader.folder)
        return bool(payloads)

    def _deliver(self, batch: "_Batch") -> bool:
        """Tries until all records of a batch are delivered; False when it was stopped before."""
        while undelivered := batch.undelivered():
            batch.begin(undelivered)
            for index in undelivered:
                if not self._produce(batch, index):
                    return False
            while not batch.wait(_LOOK_SECONDS):
                if self._stopping.is_set():
                    return False
            if batch.undelivered() and self._stopping.wait(_RETRY_SECONDS):
                return False
        return True

    def _produce(self, batch: "_Batch", index: int) -> bool:
        topic, value, headers = batch.records[index]
        while not self._stopping.is_set():
            try:
                self._producer.produce(topic, value, headers=headers, on_delivery=partial(batch.note, index))
                return True
            except KafkaUnavailable:
                self._stopping.wait(_LOOK_SECONDS)
            except KafkaException as error:
                batch.drop(index, error.args[0])
                return True
        return False


class _Batch:
    """Records on their way, and what became of each."""

    def __init__(self, source: _Source, records: Sequence[Record]) -> None:
        self.source = source
        self.records = records
        self._is_done = [False] * len(records)
        self._lock = threading.Lock()
        self._waiting = 0
        self._ended = threading.Event()

    def undelivered(self) -> list[int]:
        """The records that Kafka has not acknowledged, in order."""
        return [index for index, is_done in enumerate(self._is_done) if not is_done]

    def begin(self, indexes: Sequence[int]) -> None:
        """These records are about to be produced."""
        self._waiting = len(indexes)
        self._ended.clear()

    def wait(self, seconds: float) -> bool:
        """Waits until each record came to its end, either way; whether they did."""
        return self._ended.wait(seconds)

    def note(self, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of a record."""
        if error is None:
            self._is_done[index] = True
        elif error.code() in (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD):
            self.drop(index, error)
            return
        self._end_one()

    def drop(self, index: int, error: KafkaError) -> None:
        """Kafka will never take this record: better without it than stuck for ever."""
        logger.error("event not delivered to %s: %s: %r", self.records[index][0], error.str(), self.records[index][1])
        self._is_done[index] = True
        self._end_one()

    def _end_one(self) -> None:
        with self._lock:
            self._waiting -= 1
            if not self._waiting:
                self._ended.set()
