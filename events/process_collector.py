"""The one collector of this process: made at its first use (so after a server's fork), brought to its end at exit."""

import os
import threading
from multiprocessing import util

from django.utils import timezone

from events.bad_events import BadEvents
from events.collect import Collector, Limits
from events.conf import EventsSettings, events_settings, kinds
from events.delivery import Mode
from events.event import Clock
from events.metrics import REQUESTS
from events.process_delivery import ProcessDelivery

_lock = threading.Lock()
_collector: Collector | None = None
_delivery: ProcessDelivery | None = None
_finalizer: util.Finalize | None = None


def process_collector() -> Collector:
    """The collector of this process, made when there is none yet. Raises ImproperlyConfigured, KafkaException."""
    if (collector := _collector) is not None:
        return collector
    return _make()


def process_delivery() -> ProcessDelivery:
    """The delivery of this process's collector, made with it when there is none yet."""
    process_collector()
    assert _delivery is not None
    return _delivery


def count_answer(door: str, endpoint: str, status: str) -> None:
    """Counts an answer of /api/select or /api/events; door: lane or view; status: in digits."""
    if (collector := _collector) is not None:
        collector.counters.add((REQUESTS, door, endpoint, status))


def close_process_collector() -> None:
    """Delivers what waits, within `EVENTS["flush_seconds"]`; a later event makes a new collector."""
    global _collector, _delivery, _finalizer
    with _lock:
        delivery = _delivery
        finalizer = _finalizer
        _collector = _delivery = _finalizer = None
    if finalizer is not None:
        finalizer.cancel()
    if delivery is not None:
        delivery.close()


def _make() -> Collector:
    global _collector, _delivery, _finalizer
    with _lock:
        if _collector is None:
            conf = events_settings()
            delivery = ProcessDelivery(conf)
            # Runs at the end of a main process, and of a multiprocessing child, where atexit does not run. The closed
            # delivery stays in use, so that a request that is still running is answered 503, not "accepted".
            _finalizer = util.Finalize(None, delivery.close, exitpriority=10)
            _delivery = delivery
            _collector = Collector(
                kinds=kinds(),
                delivery=delivery,
                mode=Mode(conf.mode),
                limits=Limits(
                    max_body_bytes=conf.max_body_bytes,
                    max_batch_bytes=conf.max_batch_bytes,
                    max_batch_events=conf.max_batch_events,
                    max_event_bytes=conf.max_event_bytes,
                ),
                honours_privacy_signals=conf.privacy_signals,
                now=Clock(timezone.get_default_timezone()),
                counters=delivery.counters,
                bad_events=_make_bad_events(conf, delivery),
            )
        return _collector


def _make_bad_events(conf: EventsSettings, delivery: ProcessDelivery) -> BadEvents | None:
    bad = conf.bad_events
    if not bad.topic:
        return None
    return BadEvents(
        bad.topic,
        per_second=bad.per_second,
        max_bytes=bad.max_bytes,
        send=delivery.send_bad,
        counters=delivery.counters,
    )


def _forget_parents_collector() -> None:
    global _collector, _delivery, _finalizer, _lock
    _lock = threading.Lock()
    if _delivery is not None:
        _delivery.abandon()
    _collector = _delivery = _finalizer = None


os.register_at_fork(after_in_child=_forget_parents_collector)
