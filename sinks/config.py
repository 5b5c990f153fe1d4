"""The settings that sinks of every kind have. The registry reads `settings.SINKS` with them."""

import re
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta

from sinks.records import BatchLimits

TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
Topic = Annotated[str, Meta(pattern=f"^{TOPIC.pattern}$")]


class SinkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a sink batches and how much it holds. A kind of sink may have other defaults."""

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

    dead_letters_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            description="Dead letters of a partition in a minute above which it stands still, loudly, as long as "
            "`dead_letter_share` of its records are bad, too. Raise it for topics in which many bad records are usual.",
        ),
    ] = 1000
    dead_letter_share: Annotated[
        float,
        Meta(
            ge=0, le=1, description="The share of bad records, 0 to 1, from which on `dead_letters_per_minute` counts."
        ),
    ] = 0.5

    stop_after_refusals: Annotated[
        int,
        Meta(
            ge=0,
            description="The sink stops when its store has refused so many records, all for one reason, and has taken "
            "none since the sink began: most likely the store is set up wrongly. 0: never; they become dead letters.",
        ),
    ] = 100

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
    kind: Annotated[str, Meta(description="The kind of store: one of those below.")]
    topics: Annotated[tuple[Topic, ...], Meta(min_length=1, description="The topics that it reads.")]
    target: Annotated[Any, Meta(description="Where it stores; the keys depend on the kind.")]
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

    def shared_topics(self, other: "SinkConfig") -> str:
        """The topics that both read, for people; empty where there is none."""
        return ", ".join(sorted(set(self.topics) & set(other.topics)))

    def dead_letters_of(self, topic: str) -> str:
        """Where unusable records of a topic go."""
        return self.dead_letter_topic.replace("{topic}", topic)


def cluster_entry(setting: str, alias: str) -> dict[str, Any]:
    """The cluster `alias` of a setting that holds named clusters of servers. Raises ImproperlyConfigured."""
    clusters: dict[str, dict[str, Any]] = getattr(settings, setting)
    if alias not in clusters:
        raise ImproperlyConfigured(f"{setting} has no cluster {alias!r}; it has {', '.join(clusters) or 'none'}")
    return clusters[alias]
