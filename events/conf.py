"""The typed view of `settings.EVENTS` and `settings.KAFKA`, read once and checked at start."""

from functools import cache
from typing import Annotated, Any

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1)]


class EventsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events are collected."""

    kafka: Annotated[str, Meta(description="The cluster of settings.KAFKA that events are produced to.")] = "default"
    topic: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9._-]{1,249}$", description="The topic of events.")]
    topic_partitions: Annotated[int, Meta(ge=1, description="Partitions of a topic that setup_pipeline creates.")] = 3
    topic_replication: Annotated[int, Meta(ge=1, description="Replicas of a topic that setup_pipeline creates.")] = 1
    colors: Annotated[list[Name], Meta(min_length=1, description="The colours that the page offers.")]
    max_body_bytes: Annotated[int, Meta(ge=1024, description="The largest body of a POST, in bytes.")] = 64 * 1024
    producer: Annotated[dict[str, Any], Meta(description="librdkafka options of the producer, for example acks.")] = {}
    kafka_away_seconds: Annotated[
        float, Meta(gt=0, description="Seconds without a delivery after which events are refused while others wait.")
    ] = 30.0
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


def kafka_cluster(alias: str) -> dict[str, Any]:
    """The librdkafka options of a cluster in `settings.KAFKA`; raises ImproperlyConfigured when there is none."""
    try:
        cluster = dict(settings.KAFKA[alias])
    except KeyError:
        raise ImproperlyConfigured(f"KAFKA has no cluster {alias!r}; it has {', '.join(settings.KAFKA)}") from None
    if not cluster.get("bootstrap.servers"):
        raise ImproperlyConfigured(f"KAFKA[{alias!r}] has no bootstrap.servers (set KAFKA_BOOTSTRAP_SERVERS)")
    return cluster
