"""Producers, spool and feeder of one process, made of the settings and brought to their end together."""

import logging
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from events.conf import EventsSettings, SpoolSettings, producer_options
from events.delivery import Delivery, to_payload
from events.feeder import Feeder
from events.forking import never_destroy
from events.producer import DeliveryCounts, EventProducer, Headers
from events.spool import Spool, SpoolFull

logger = logging.getLogger(__name__)

# librdkafka looks once a second for records whose time is over; the rest is for their reports.
TIMEOUT_LEEWAY_SECONDS = 1.5


@dataclass(frozen=True)
class State:
    """How delivery stands. waiting: events in librdkafka's queue."""

    is_closed: bool
    is_kafka_away: bool
    waiting: int
    spool_bytes: int
    spool_max_bytes: int


class ProcessDelivery:
    """The delivery of one process. Raises ImproperlyConfigured and KafkaException."""

    def __init__(self, conf: EventsSettings) -> None:
        options = producer_options(conf)
        root = Path(conf.spool.path)
        self._flush_seconds = conf.flush_seconds
        self._spool = _make_spool(root, conf.spool)
        self._producer = EventProducer(options, away_seconds=conf.kafka_away_seconds, keep=self._keep)
        self._feeder = Feeder(root, self._spool, self._producer)
        timeout = conf.acknowledge_seconds - TIMEOUT_LEEWAY_SECONDS
        acknowledging_options = {**options, "message.timeout.ms": int(timeout * 1000)}
        self._delivery = Delivery(
            self._producer,
            lambda: EventProducer(acknowledging_options, away_seconds=conf.acknowledge_seconds),
            self._spool,
            acknowledge_seconds=conf.acknowledge_seconds,
        )
        self.take = self._delivery.take
        self.is_closed = False

    def counts(self) -> DeliveryCounts:
        """What became of events so far, those in the mode acknowledged apart."""
        return self._producer.counts()

    def state(self) -> State:
        """How it stands now."""
        return State(
            is_closed=self.is_closed,
            is_kafka_away=self._producer.is_away,
            waiting=self._producer.counts().waiting,
            spool_bytes=self._spool.used,
            spool_max_bytes=self._spool.max_bytes,
        )

    def undelivered(self) -> int:
        """How many events wait for Kafka, on disk or in memory."""
        return self._spool.appended - self._feeder.fed or self._producer.counts().waiting

    def close(self) -> None:
        """Delivers what waits, within `EVENTS["flush_seconds"]`; what could not be delivered stays in the spool."""
        if self.is_closed:
            return
        self.is_closed = True
        self._feeder.stop()
        self._delivery.close(self._flush_seconds)
        self._producer.close(0 if self._producer.is_away else self._flush_seconds)
        self._feeder.finish()
        self._spool.close()
        logger.info("producer closed: %s", self.counts())

    def abandon(self) -> None:
        """In a forked child: lets go of what is the parent's."""
        never_destroy(self)
        self._spool.abandon()
        self._feeder.abandon()

    def _keep(self, topic: str, value: bytes, headers: Headers | None) -> bool:
        try:
            self._spool.append([to_payload((topic, value, headers))])
        except SpoolFull:
            return False
        return True


def _make_spool(root: Path, conf: SpoolSettings) -> Spool:
    try:
        return Spool(
            root,
            max_bytes=conf.max_bytes,
            segment_bytes=conf.segment_bytes,
            fsync=conf.fsync,
            fsync_seconds=conf.fsync_seconds,
        )
    except OSError as error:
        raise ImproperlyConfigured(f"EVENTS['spool']: path: {error} (set EVENTS_SPOOL_PATH)") from error
