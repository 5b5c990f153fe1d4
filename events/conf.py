"""The typed view of `settings.EVENTS` and `settings.KAFKA`, read once and checked at start."""

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from msgspec import Meta

from events.event import EVENT_TYPES
from events.kinds import Kind
from kafka_client.clusters import kafka_cluster
from kafka_client.producer import DURABLE
from kafka_client.structs import ready

Topic = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
Name = Annotated[str, Meta(min_length=1)]

RECORD_OVERHEAD = 1024
"""Bytes that a record may need beside its value."""

_MAX_BYTES = 1_000_000
"""librdkafka's default of message.max.bytes, and of batch.size."""


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events wait on disk while Kafka does not take them."""

    path: Name
    """The folder of the spools of all processes of this machine."""
    max_bytes: Annotated[int, Meta(ge=1024 * 1024)] = 1024**3
    """The most bytes that the spool of one process may have. When they are used up, events are refused (503). A topic
    that Kafka does not have gets a quarter of this size beside it, for its own events."""
    segment_bytes: Annotated[int, Meta(ge=64 * 1024)] = 16 * 1024 * 1024
    """A file of the spool ends at this size. Space is freed by whole files."""
    fsync: Literal["never", "interval", "always"] = "interval"
    """When events are forced to the disk: never, each `fsync_seconds`, or before each answer (slowest, and safe when
    the machine dies)."""
    fsync_seconds: Annotated[float, Meta(gt=0)] = 1.0
    """Seconds between two fsyncs. A machine that dies loses at most the events of this time."""


class BadEventsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where copies of rejected events go."""

    topic: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{0,249}$")] = ""
    """The topic of the copies; empty: no copies are kept."""
    per_second: Annotated[float, Meta(gt=0)] = 10.0
    """The most copies that one process sends in a second. Further ones are only counted."""
    max_bytes: Annotated[int, Meta(ge=1, le=900_000)] = 8 * 1024
    """A copy is cut off at this many bytes."""


class KindSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of EVENTS["kinds"]: a kind of event beside select-color."""

    type: Name
    """The dotted path of the class of these events, a subclass of Event."""
    topic: Topic
    """The topic of the events of this kind."""


@ready
class EventsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events are collected."""

    kafka: str = "default"
    """The cluster of settings.KAFKA that events are produced to."""
    topic: Topic
    """The topic of select-color."""
    kinds: dict[Name, KindSettings] = {}
    """Further kinds of events, by name."""
    topic_partitions: Annotated[int, Meta(ge=1)] = 3
    """Partitions of a topic that setup_pipeline creates."""
    topic_replication: Annotated[int, Meta(ge=1)] = 1
    """Replicas of a topic that setup_pipeline creates."""
    colors: Annotated[list[Name], Meta(min_length=1)]
    """The colours that the page offers."""
    max_body_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024
    """The largest body of /api/select, in bytes, also after inflating."""
    max_batch_bytes: Annotated[int, Meta(ge=1024)] = 1024 * 1024
    """The largest body of /api/events, in bytes, also after inflating."""
    max_batch_events: Annotated[int, Meta(ge=1)] = 1000
    """The most events of one request. A larger request is refused (413)."""
    max_event_bytes: Annotated[int, Meta(ge=256, le=900_000)] = 32 * 1024
    """The most bytes of one event as it goes to Kafka. A larger event is rejected."""
    mode: Literal["accepted", "spooled", "acknowledged"] = "accepted"
    """What an answer promises where a request names no mode; see docs/collecting.md."""
    acknowledge_seconds: Annotated[float, Meta(ge=2, le=60)] = 5.0
    """In the mode acknowledged a caller waits at most this many seconds for Kafka, then gets 503."""
    lane: bool = True
    """Answer /api/select and /api/events in front of Django, which is several times as fast."""
    privacy_signals: bool = False
    """Store nothing of browsers that send Sec-GPC: 1 or DNT: 1."""
    durable: bool = False
    """Kafka acknowledges an event only when all replicas in sync have it (acks=all), and the producer is idempotent.
    Slower; an event that was acknowledged survives the loss of a broker."""
    spool: SpoolSettings
    """Where events wait on disk."""
    bad_events: BadEventsSettings = BadEventsSettings()
    """Where copies of rejected events go."""
    metrics_path: str = ""
    """The folder in which the web processes of this machine keep their counters; empty: there is no /metrics."""
    drain_seconds: Annotated[float, Meta(ge=0)] = 5.0
    """Seconds that `manage.py drain` waits while /readyz answers 503."""
    producer: dict[str, Any] = {}
    """librdkafka options of the producer, for example acks."""
    kafka_away_seconds: Annotated[float, Meta(gt=0)] = 3.0
    """When events wait and Kafka has taken none for this many seconds, events go to disk. A small value sends them to
    disk at each short pause of Kafka."""
    flush_seconds: Annotated[float, Meta(ge=0)] = 10.0
    """A server that stops waits at most this many seconds until its events are delivered; the next process delivers the
    others from the disk."""


@cache
def events_settings() -> EventsSettings:
    """`settings.EVENTS`; raises ImproperlyConfigured naming the entry that is wrong."""
    try:
        conf = msgspec.convert(settings.EVENTS, EventsSettings)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"EVENTS: {error}") from error
    spool, metrics = Path(conf.spool.path).resolve(), Path(conf.metrics_path).resolve()
    if conf.metrics_path and (spool.is_relative_to(metrics) or metrics.is_relative_to(spool)):
        raise ImproperlyConfigured(
            f"EVENTS: spool.path, {conf.spool.path}, and metrics_path, {conf.metrics_path}, lie in each other: set "
            "EVENTS_SPOOL_PATH and EVENTS_METRICS_PATH to folders of which none holds the other"
        )
    return conf


@cache
def kinds() -> dict[str, Kind]:
    """The kinds of events by name. Raises ImproperlyConfigured naming the entry that is wrong."""
    conf = events_settings()
    known = {"select-color": Kind("select-color", EVENT_TYPES["select-color"], conf.topic)}
    for name, entry in conf.kinds.items():
        try:
            known[name] = Kind(name, import_string(entry.type), entry.topic)
        except (ImportError, TypeError) as error:
            raise ImproperlyConfigured(f"EVENTS: kinds[{name!r}]: type: {error}") from error
    return known


def register_kinds() -> None:
    """Makes the kinds of `EVENTS["kinds"]` known to sinks and index. Raises ImproperlyConfigured."""
    EVENT_TYPES.update({name: kind.event_type for name, kind in kinds().items()})


def producer_options(conf: EventsSettings) -> dict[str, Any]:
    """The librdkafka options of the producer of events. Raises ImproperlyConfigured."""
    options = {**kafka_cluster(conf.kafka), **(DURABLE if conf.durable else {}), **conf.producer}
    largest = str(options.get("message.max.bytes", _MAX_BYTES))
    if largest.isdecimal() and int(largest) < conf.max_event_bytes + RECORD_OVERHEAD:
        raise ImproperlyConfigured(
            f"EVENTS: max_event_bytes: {conf.max_event_bytes} bytes, with {RECORD_OVERHEAD} for headers, are more than "
            f"message.max.bytes, {largest}: Kafka's client takes no such event (set EVENTS_MAX_EVENT_BYTES, or "
            "message.max.bytes in EVENTS_PRODUCER_OPTIONS or KAFKA_OPTIONS)"
        )
    return options


def largest_batch(conf: EventsSettings) -> int:
    """Bytes that the producer sends to a partition at once at most. Raises ImproperlyConfigured."""
    options = producer_options(conf)
    together = min(int(options.get(name, _MAX_BYTES)) for name in ("batch.size", "message.max.bytes"))
    return max(together, conf.max_event_bytes + RECORD_OVERHEAD)
