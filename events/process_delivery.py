"""Producers, spool and feeder of one process, made of the settings and brought to their end together."""

import errno
import logging
import math
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing import util
from pathlib import Path

import msgspec
from django.core.exceptions import ImproperlyConfigured

from events import metrics
from events.batch import to_payloads
from events.conf import EventsSettings, SpoolSettings, producer_options
from events.counters import Counters
from events.delivery import Delivery
from events.draining import is_draining
from events.feeder import Feeder
from events.forking import never_destroy
from events.spool.log import Spool, SpoolFull
from kafka_client.log import repeating_logger
from kafka_client.producer import STATISTICS, UNHURRIED, DeliveryCounts, EventProducer, Record

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

# librdkafka looks once a second for records whose time is over; the rest is for their reports.
TIMEOUT_LEEWAY_SECONDS = 1.5

FEEDING = {**STATISTICS, "linger.ms": 5, "message.timeout.ms": 30_000}
"""librdkafka options of the producer of the feeder: what a topic has not taken by then, though a broker was heard later
than REACHED_SECONDS ago, holds up the others no longer."""

BAD_EVENTS_OPTIONS = {"queue.buffering.max.kbytes": 16 * 1024, "message.timeout.ms": 30_000}
"""librdkafka options of the producer of bad events: a topic that is not there must not hold up anything else."""

_PUBLISH_SECONDS = 1.0


class ProcessDelivery:
    """The delivery of one process. Raises ImproperlyConfigured and KafkaException."""

    def __init__(self, conf: EventsSettings) -> None:
        options = producer_options(conf)
        self._started_at = time.time()
        self._root = Path(conf.spool.path)
        self._flush_seconds = conf.flush_seconds
        with ExitStack() as undone:  # each request tries anew, so what can't be made whole leaves nothing behind
            self.counters = _make_counters(conf.metrics_path)
            undone.callback(self.counters.abandon)
            self.spool = _make_spool(conf.spool)
            undone.callback(self.spool.close)
            self._producer = EventProducer(
                {**UNHURRIED, **options, **STATISTICS}, away_seconds=conf.kafka_away_seconds, keep=self._keep
            )
            undone.pop_all()
        self.feeder = Feeder(
            self._root,
            self.spool,
            # What the feeder could not deliver is in the spool already.
            lambda: EventProducer({**options, **FEEDING}, away_seconds=math.inf, keep=lambda *_: True, reports=True),
        )
        timeout = conf.acknowledge_seconds - TIMEOUT_LEEWAY_SECONDS
        acknowledging_options = {**options, "message.timeout.ms": int(timeout * 1000)}
        self._delivery = Delivery(
            self._producer,
            # It never counts Kafka as away: a topic that is stuck must not have the records of all others refused.
            lambda: EventProducer(acknowledging_options, away_seconds=math.inf, reports=True),
            self.spool,
            self.feeder,
            conf.acknowledge_seconds,
        )
        self.take = self._delivery.take
        bad_options = {**options, **BAD_EVENTS_OPTIONS}
        self._make_bad_producer = partial(EventProducer, bad_options, away_seconds=conf.kafka_away_seconds)
        self._bad_producer: EventProducer | None = None
        self._lock = threading.Lock()
        self.is_closed = False
        self._stop_publishing = threading.Event()
        self._publisher = threading.Thread(target=self._publish_each, name="metrics", daemon=True)
        self._publisher.start()
        # Runs at the end of a main process, and of a multiprocessing child, where atexit does not run. The closed
        # delivery stays in use, so that a request that is still running is answered 503, not "accepted".
        self._finalizer = util.Finalize(None, self.close, exitpriority=10)

    def counts(self) -> DeliveryCounts:
        """What became of events so far, those in the mode acknowledged apart."""
        counts = self._producer.counts()
        feeding = self.feeder.producer
        if feeding is not None:
            fed = feeding.counts()
            counts = replace(counts, delivered=counts.delivered + fed.delivered, waiting=counts.waiting + fed.waiting)
        return replace(counts, failed=counts.failed + self.feeder.dropped)

    @property
    def is_draining(self) -> bool:
        """Whether the process was told that it will end."""
        return is_draining(self._root, self._started_at)

    @property
    def is_kafka_away(self) -> bool:
        """Whether no broker has answered lately. When a broker hangs, `is_spooling` is true long before."""
        return not self._producer.is_reached

    @property
    def is_spooling(self) -> bool:
        """Whether events of the mode accepted go to the spool, because Kafka has taken nothing for too long."""
        return self._producer.is_away

    def send_bad(self, records: Sequence[Record]) -> int:
        """Hands records that nobody waits for to Kafka, without waiting; returns how many it took."""
        if self._bad_producer is None:
            with self._lock:
                if self._bad_producer is None and not self.is_closed:
                    self._bad_producer = self._make_bad_producer()
        return 0 if self._bad_producer is None else len(records) - len(self._bad_producer.produce_all(records))

    def undelivered(self) -> int:
        """How many events wait for Kafka, on disk or in memory."""
        return self.spool.appended - self.feeder.fed + self.feeder.aside or self.counts().waiting

    def expect_end(self) -> None:
        """Says that the process was told to end, and may be killed before `close` is called.

        Once Kafka is away, nothing stays in memory alone. Until then events are delivered as before.
        """
        self._producer.keep_in_flight()

    def close(self) -> None:
        """Delivers what waits, within `EVENTS["flush_seconds"]`; what could not be delivered stays in the spool."""
        if self.is_closed:
            return
        self._finalizer.cancel()
        with self._lock:
            self.is_closed = True
        deadline = time.monotonic() + self._flush_seconds
        self.spool.is_bounded = False  # what was accepted and is not delivered now has no other place
        self.feeder.stop()
        self._delivery.close(self._flush_seconds)
        self._producer.close(0 if self._producer.is_away else _until(deadline))
        self.feeder.close(_until(deadline))
        if self._bad_producer is not None:
            self._bad_producer.close(0 if self._producer.is_away else _until(deadline))
        self._stop_publishing.set()
        self._publisher.join()
        self._publish()
        self.spool.close()
        logger.info("producer closed: %s", self.counts())

    def abandon(self) -> None:
        """In a forked child: lets go of what is the parent's."""
        never_destroy(self)
        self.spool.abandon()
        self.feeder.abandon()
        self.counters.abandon()

    def _publish_each(self) -> None:
        while not self._stop_publishing.wait(_PUBLISH_SECONDS):
            try:
                self._publish()
            except Exception:
                loop_logger.exception("what is told each second can't be put into /metrics; it is tried again")

    def _publish(self) -> None:
        """Puts what is counted and measured elsewhere among the counters."""
        own = self.counts()
        acknowledging = self._delivery.acknowledging
        counts = [own] if acknowledging is None else [own, acknowledging.counts()]
        statistics = self._producer.statistics
        for name, number in (
            (metrics.DELIVERED, sum(count.delivered for count in counts)),
            (metrics.FAILED, own.failed),
            (metrics.KEPT, own.kept),
            (metrics.QUEUE, sum(count.waiting for count in counts)),
            (metrics.ASIDE, self.feeder.aside),
            (metrics.ASIDE_BYTES, self.feeder.aside_bytes),
            (metrics.SPOOL_BYTES, self.spool.used),
            (metrics.SPOOL_MAX_BYTES, self.spool.max_bytes),
            (metrics.KAFKA_AWAY, int(self.is_kafka_away)),
            (metrics.QUEUE_SECONDS, statistics.queue_microseconds),
            (metrics.BROKER_SECONDS, statistics.broker_microseconds),
        ):
            self.counters.set((name,), number)
        if self._bad_producer is not None:
            bad = self._bad_producer.counts()
            self.counters.set((metrics.BAD_EVENTS, "delivered"), bad.delivered)
            self.counters.set((metrics.BAD_EVENTS, "failed"), bad.failed)

    def _keep(self, records: Sequence[Record]) -> bool:
        try:
            self.spool.append(to_payloads(records))
        except SpoolFull:
            return False
        return True


def _until(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _make_counters(path: str) -> Counters:
    try:
        return Counters(Path(path) if path else None)
    except OSError as error:
        if error.errno == errno.ENOSPC:  # collecting goes on without
            logger.exception("what this process counts is not in /metrics")
            return Counters(None)
        raise ImproperlyConfigured(f"EVENTS: metrics_path: {error} (set EVENTS_METRICS_PATH)") from error


def _make_spool(conf: SpoolSettings) -> Spool:
    options = msgspec.structs.asdict(conf)
    try:
        return Spool(Path(options.pop("path")), **options)
    except OSError as error:
        raise ImproperlyConfigured(f"EVENTS['spool']: path: {error} (set EVENTS_SPOOL_PATH)") from error
