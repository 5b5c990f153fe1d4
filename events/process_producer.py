"""The one producer of this process: made at its first use (so after a server's fork), flushed at exit."""

import logging
import os
import threading
from multiprocessing import util

from events.conf import events_settings, kafka_cluster
from events.forking import never_destroy
from events.producer import EventProducer

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_producer: EventProducer | None = None
_finalizer: util.Finalize | None = None


def process_producer() -> EventProducer:
    """The producer of this process, made when there is none yet. Raises ImproperlyConfigured, KafkaException."""
    global _producer, _finalizer
    if (producer := _producer) is not None:
        return producer
    with _lock:
        if _producer is None:
            conf = events_settings()
            options = {**kafka_cluster(conf.kafka), **conf.producer}
            _producer = EventProducer(options, away_seconds=conf.kafka_away_seconds)
            # Runs at the end of a main process and of a multiprocessing child (where atexit does not). The closed
            # producer stays in its place, so that a request that is still running then is told 503, not "accepted".
            _finalizer = util.Finalize(None, _close, args=(_producer,), exitpriority=10)
        return _producer


def close_process_producer() -> None:
    """Delivers what waits, within `EVENTS["flush_seconds"]`; a later event makes a new producer."""
    global _producer, _finalizer
    with _lock:
        producer, _producer = _producer, None
        finalizer, _finalizer = _finalizer, None
    if finalizer is not None:
        finalizer.cancel()
    if producer is not None:
        _close(producer)


def _close(producer: EventProducer) -> None:
    if not producer.is_closed:
        producer.close(events_settings().flush_seconds)
        logger.info("producer closed: %s", producer.counts())


def _forget_parents_producer() -> None:
    global _producer, _finalizer, _lock
    _lock = threading.Lock()
    if _producer is not None:
        never_destroy(_producer)
    _producer = _finalizer = None


os.register_at_fork(after_in_child=_forget_parents_producer)
