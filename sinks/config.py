"""The typed view of `settings.SINKS`: what each sink reads, and where it stores it."""

import re
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta

from events.event import EVENT_TYPES
from events.schema import ANY_JSON, Check, check_for
from kafka_client.clusters import kafka_cluster
from sinks.clusters import elasticsearch_cluster, hdfs_cluster
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.hdfs.config import HdfsTarget
from sinks.records import BatchLimits

TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
Topic = Annotated[str, Meta(pattern=f"^{TOPIC.pattern}$")]


class SinkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a sink batches and how much it holds.

    An Elasticsearch sink has other defaults: flush_records 2000, flush_seconds 1.0, buffer_bytes 67108864.
    """

    flush_records: Annotated[int, Meta(ge=1, description="Records of one partition that are stored together.")] = 10
    flush_bytes: Annotated[int, Meta(ge=1024, description="Bytes at which they are stored earlier.")] = 64 * 1024 * 1024
    flush_seconds: Annotated[float, Meta(gt=0, description="Seconds after which they are stored at the latest.")] = 60.0
    flush_interval_seconds: Annotated[
        float,
        Meta(ge=0, description="Records of different intervals of Kafka's time are stored apart; 0: never."),
    ] = 0.0
    flush_schedule: Annotated[
        Literal["", "hourly", "daily"], Meta(description="They are stored when an hour or a day ends, too.")
    ] = ""
    flush_time_zone: Annotated[str, Meta(description="The IANA time zone of `flush_schedule`.")] = "UTC"
    in_flight: Annotated[int, Meta(ge=1, le=32, description="Batches that one task stores at the same time.")] = 2
    buffer_bytes: Annotated[
        int, Meta(ge=1024 * 1024, description="Bytes that all tasks hold at most before they stop reading.")
    ] = 128 * 1024 * 1024
    drain_seconds: Annotated[
        float,
        Meta(
            ge=0,
            le=240,
            description="Seconds for storing what was read when the sink stops or gives a partition up.",
        ),
    ] = 30.0
    retry_seconds: Annotated[float, Meta(gt=0, description="The longest wait between two tries, in seconds.")] = 10.0

    def limits(self) -> BatchLimits:
        """When batches are stored. Raises ValueError for an unknown time zone."""
        try:
            zone = ZoneInfo(self.flush_time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"flush_time_zone is {self.flush_time_zone!r}, which is no IANA time zone") from error
        return BatchLimits(
            records=self.flush_records,
            bytes=self.flush_bytes,
            seconds=self.flush_seconds,
            interval=self.flush_interval_seconds,
            schedule=self.flush_schedule,
            zone=zone,
        )


class SinkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of SINKS."""

    name: Annotated[
        str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$", description="The key of its entry in SINKS.")
    ]
    kind: Annotated[str, Meta(description="hdfs or elasticsearch.")]
    topics: Annotated[tuple[Topic, ...], Meta(min_length=1, description="The topics that it reads.")]
    target: Annotated[HdfsTarget | ElasticsearchTarget, Meta(description="Where it stores.")]
    group: Annotated[str, Meta(min_length=1, description="Its consumer group (default: sink-<name>).")]
    tasks: Annotated[int, Meta(ge=1, le=64, description="Consumer threads.")] = 3
    kafka: Annotated[str, Meta(description="The cluster of settings.KAFKA that it reads.")] = "default"
    event: Annotated[str, Meta(description="The kind of event in its topics; json stands for any JSON object.")] = (
        "select-color"
    )
    dead_letter_topic: Annotated[
        str,
        Meta(min_length=1, description="Where unusable records go; {topic} stands for the record's own topic."),
    ] = "{topic}.dlq"
    consumer: Annotated[dict[str, Any], Meta(description="librdkafka options of its consumers.")] = {}
    options: Annotated[SinkOptions, Meta(description="How it batches.")] = SinkOptions()
    heartbeat_seconds: Annotated[
        float,
        Meta(ge=0.5, le=60, description="Seconds between two reports of its processes to the project's database."),
    ] = 5.0
    metrics_port: Annotated[
        Annotated[int, Meta(ge=1, le=65535)] | None,
        Meta(description="The port on which its process serves metrics and status, 1 to 65535; none by default."),
    ] = None
    metrics_host: Annotated[
        str, Meta(min_length=1, description="The address of that port; 0.0.0.0 lets other machines reach it.")
    ] = "127.0.0.1"

    @property
    def dead_letter_topics(self) -> list[str]:
        """Where unusable records of its topics go."""
        return sorted({self.dead_letters_of(topic) for topic in self.topics})

    def check(self) -> Check:
        """Tells which records it can store."""
        target = self.target
        tombstones = isinstance(target, ElasticsearchTarget) and target.tombstones != "dead-letter"
        return check_for(self.event, tombstones=tombstones)

    def dead_letters_of(self, topic: str) -> str:
        """Where unusable records of a topic go."""
        return self.dead_letter_topic.replace("{topic}", topic)


KIND_OPTIONS: dict[str, dict[str, Any]] = {
    "hdfs": {},
    "elasticsearch": {"flush_records": 2000, "flush_seconds": 1.0, "buffer_bytes": 64 * 1024 * 1024},
}
"""The kinds of sinks, and where their options have other defaults than SinkOptions."""


@cache
def sinks() -> dict[str, SinkConfig]:
    """The sinks of `settings.SINKS` by name. Raises ImproperlyConfigured naming the entry and key that is wrong."""
    return {name: _sink(name, entry) for name, entry in settings.SINKS.items()}


def _sink(name: str, entry: dict[str, Any]) -> SinkConfig:
    where = f"SINKS[{name!r}]"
    if not isinstance(entry, dict):
        raise ImproperlyConfigured(f"{where} is {entry!r}; it must be an object with kind, topics and target")
    kind = entry.get("kind")
    if kind not in KIND_OPTIONS:
        raise ImproperlyConfigured(f"{where}: kind is {kind!r}; it must be one of {', '.join(KIND_OPTIONS)}")
    # The kind decides what the target holds.
    target = entry.get("target")
    if not isinstance(target, dict):
        raise ImproperlyConfigured(f"{where}: target is {target!r}; it must say where the sink stores")
    target = {"kind": kind, **target}
    options = entry.get("options", {})
    if isinstance(options, dict):
        options = {**KIND_OPTIONS[kind], **options}
    try:
        config = msgspec.convert(
            {"group": f"sink-{name}", **entry, "name": name, "target": target, "options": options}, SinkConfig
        )
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error
    if config.event != ANY_JSON and config.event not in EVENT_TYPES:
        known = ", ".join((ANY_JSON, *EVENT_TYPES))
        raise ImproperlyConfigured(f"{where}: event is {config.event!r}; it must be one of {known}")
    _check_cluster(where, "kafka", kafka_cluster, config.kafka)
    store = hdfs_cluster if isinstance(config.target, HdfsTarget) else elasticsearch_cluster
    _check_cluster(where, "target.cluster", store, config.target.cluster)
    for letters in config.dead_letter_topics:
        if letters in config.topics or not TOPIC.fullmatch(letters):
            raise ImproperlyConfigured(
                f"{where}: dead_letter_topic gives {letters!r}, which must be the name of a topic that it does not read"
            )
    try:
        config.options.limits()
        if isinstance(config.target, HdfsTarget):
            layout = config.target.layout(config.event)
            for topic in config.topics:
                layout.check_length(topic)
        elif config.target.actions().versioned and len(config.topics) > 1:
            raise ValueError("id 'key' needs one topic: which of two topics' records is newer can't be told")
    except ValueError as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error
    return config


def _check_cluster(where: str, key: str, cluster: Callable[[str], Any], alias: str) -> None:
    try:
        cluster(alias)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{where}: {key} is {alias!r}: {error}") from error
