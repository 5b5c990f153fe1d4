"""The typed view of `settings.EVENTS` and `settings.KAFKA`, read once and checked at start."""

from functools import cache
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

Topic = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="The topic of its events.")]
Name = Annotated[str, Meta(min_length=1)]

RECORD_OVERHEAD = 1024
"""Bytes that a record may need beside its value."""

# librdkafka's defaults
_MESSAGE_MAX_BYTES = 1_000_000
_BATCH_BYTES = 1_000_000


class SpoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where events wait on disk."""

    path: Annotated[str, Meta(min_length=1, description="The folder of the spools of all processes of this machine.")]
    max_bytes: Annotated[
        int,
        Meta(
            ge=1024 * 1024,
            description="Bytes that one process keeps at most; beside it, a quarter for each topic that Kafka lacks.",
        ),
    ] = 1024**3
    segment_bytes: Annotated[int, Meta(ge=64 * 1024, description="Bytes of one of its files.")] = 16 * 1024 * 1024
    fsync: Annotated[
        Literal["never", "interval", "always"],
        Meta(description="When events are forced to the disk: never, each fsync_seconds, or before each answer."),
    ] = "interval"
    fsync_seconds: Annotated[float, Meta(gt=0, description="Seconds between two fsyncs.")] = 1.0


class BadEventsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where copies of rejected events go."""

    topic: Annotated[
        str, Meta(pattern=r"^[a-zA-Z0-9._-]{0,249}$", description="Their topic; empty: they go nowhere.")
    ] = ""
    per_second: Annotated[float, Meta(gt=0, description="Copies that one process sends a second at most.")] = 10.0
    max_bytes: Annotated[
        int, Meta(ge=1, le=900_000, description="Bytes of a copy; what is longer is cut off there.")
    ] = 8 * 1024


class KindSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of EVENTS["kinds"]: a kind of event beside select-color."""

    type: Annotated[str, Meta(min_length=1, description="The dotted path of its class, a subclass of Event.")]
    topic: Topic


class EventsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events are collected."""

    kafka: Annotated[str, Meta(description="The cluster of settings.KAFKA that events are produced to.")] = "default"
    topic: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="The topic of select-color.")]
    kinds: Annotated[dict[Name, KindSettings], Meta(description="Further kinds of events, by name.")] = {}
    topic_partitions: Annotated[int, Meta(ge=1, description="Partitions of a topic that setup_pipeline creates.")] = 3
    topic_replication: Annotated[int, Meta(ge=1, description="Replicas of a topic that setup_pipeline creates.")] = 1
    colors: Annotated[list[Name], Meta(min_length=1, description="The colours that the page offers.")]
    max_body_bytes: Annotated[int, Meta(ge=1024, description="The largest body of /api/select, in bytes.")] = 64 * 1024
    max_batch_bytes: Annotated[
        int, Meta(ge=1024, description="The largest body of /api/events, in bytes, also after inflating.")
    ] = 1024 * 1024
    max_batch_events: Annotated[int, Meta(ge=1, description="Events of one request at most.")] = 1000
    max_event_bytes: Annotated[
        int, Meta(ge=256, le=900_000, description="Bytes of one event at most, as it goes to Kafka.")
    ] = 32 * 1024
    mode: Annotated[
        Literal["accepted", "spooled", "acknowledged"],
        Meta(description="What an answer promises where a request names no mode; see docs/collecting.md."),
    ] = "accepted"
    acknowledge_seconds: Annotated[
        float, Meta(ge=2, le=60, description="Seconds that a caller waits at most in the mode acknowledged.")
    ] = 5.0
    lane: Annotated[
        bool, Meta(description="Answer the hot addresses in front of Django, which is several times as fast.")
    ] = True
    privacy_signals: Annotated[bool, Meta(description="Store nothing of browsers that send Sec-GPC: 1 or DNT: 1.")] = (
        False
    )
    durable: Annotated[bool, Meta(description="Wait for all replicas in sync (acks=all), with idempotence.")] = False
    spool: Annotated[SpoolSettings, Meta(description="Where events wait on disk.")]
    bad_events: Annotated[BadEventsSettings, Meta(description="Where copies of rejected events go.")] = (
        BadEventsSettings()
    )
    metrics_path: Annotated[
        str,
        Meta(description="The folder in which the processes of this machine count; empty: there is no /metrics."),
    ] = ""
    drain_seconds: Annotated[
        float, Meta(ge=0, description="Seconds that `manage.py drain` waits while /readyz answers 503.")
    ] = 5.0
    producer: Annotated[dict[str, Any], Meta(description="librdkafka options of the producer, for example acks.")] = {}
    kafka_away_seconds: Annotated[
        float, Meta(gt=0, description="Seconds without a delivery, while events wait, after which events go to disk.")
    ] = 3.0
    flush_seconds: Annotated[
        float, Meta(ge=0, description="Seconds that a stopping server waits until its events are delivered.")
    ] = 10.0


@cache
def events_settings() -> EventsSettings:
    """`settings.EVENTS`; raises ImproperlyConfigured naming the entry that is wrong."""
    try:
        return msgspec.convert(settings.EVENTS, EventsSettings)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"EVENTS: {error}") from error


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
    largest = str(options.get("message.max.bytes", _MESSAGE_MAX_BYTES))
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
    together = min(
        int(options.get("batch.size", _BATCH_BYTES)), int(options.get("message.max.bytes", _MESSAGE_MAX_BYTES))
    )
    return max(together, conf.max_event_bytes + RECORD_OVERHEAD)
