"""The one collector of this process: made at its first use (so after a server's fork), brought to its end at exit."""

import os
import threading

from django.utils import timezone

from events.bad_events import BadEvents
from events.collect import Collector, Limits
from events.conf import events_settings, kinds
from events.delivery import Mode
from events.event import clock
from events.metrics import REQUESTS
from events.process_delivery import ProcessDelivery

_lock = threading.Lock()
_made: tuple[Collector, ProcessDelivery] | None = None


def process_collector() -> Collector:
    """The collector of this process, made when there is none yet. Raises ImproperlyConfigured, KafkaException."""
    return (_made or _make())[0]


def process_delivery() -> ProcessDelivery:
    """The delivery of this process's collector, made with it when there is none yet."""
    return (_made or _make())[1]


def count_answer(door: str, endpoint: str, status: str) -> None:
    """Counts an answer of /api/select or /api/events; door: lane or view; status: in digits."""
    if (made := _made) is not None:
        made[0].counters.add((REQUESTS, door, endpoint, status))


def close_process_collector() -> None:
    """Delivers what waits, within `EVENTS["flush_seconds"]`; a later event makes a new collector."""
    global _made
    with _lock:
        made, _made = _made, None
    if made is not None:
        made[1].close()


def _make() -> tuple[Collector, ProcessDelivery]:
    global _made
    with _lock:
        if _made is None:
            conf = events_settings()
            delivery = ProcessDelivery(conf)
            bad = conf.bad_events
            bad_events = BadEvents(bad.topic, bad.per_second, bad.max_bytes, delivery.send_bad, delivery.counters)
            collector = Collector(
                kinds=kinds(),
                take=delivery.take,
                mode=Mode(conf.mode),
                limits=Limits(conf.max_body_bytes, conf.max_batch_bytes, conf.max_batch_events, conf.max_event_bytes),
                honours_privacy_signals=conf.privacy_signals,
                now=clock(timezone.get_default_timezone()),
                counters=delivery.counters,
                bad_events=bad_events if bad.topic else None,
            )
            _made = collector, delivery
        return _made


def _forget_parents_collector() -> None:
    global _made, _lock
    _lock = threading.Lock()
    parents, _made = _made, None  # first: `abandon` fails on a file that another thread was closing
    if parents is not None:
        parents[1].abandon()


os.register_at_fork(after_in_child=_forget_parents_collector)
