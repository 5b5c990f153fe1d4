"""The settings that sinks of every kind have. The registry reads `settings.SINKS` with them."""

from bisect import bisect_left
from datetime import datetime
from itertools import accumulate, takewhile
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kafka_client.names import Topic
from kafka_client.structs import ready
from sinks.records import Batch, Columns
from sinks.times import time_zone


class SinkOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a sink puts records into batches, and how many bytes it holds. A kind of sink may have other defaults."""

    flush_records: Annotated[int, Meta(ge=1)] = 10
    """A batch of one partition is stored when it has this many records. More make fewer, larger files or requests;
    records become visible later."""
    flush_bytes: Annotated[int, Meta(ge=1024)] = 64 * 1024 * 1024
    """A batch is stored earlier when its values have this many bytes. More need more memory."""
    flush_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """A batch is stored at the latest this many seconds after its first record was read. More make fewer, larger
    files."""
    flush_interval_seconds: Annotated[float, Meta(ge=0)] = 0.0
    """Seconds. Records whose Kafka times lie in different intervals of this length go into different batches; 0: the
    time does not matter."""
    flush_schedule: Literal["", "hourly", "daily"] = ""
    """A batch is stored, too, when an hour or a day ends by the clock."""
    flush_time_zone: str = "UTC"
    """The IANA time zone of `flush_schedule`."""
    in_flight: Annotated[int, Meta(ge=1, le=32)] = 2
    """Groups of batches that one task stores at the same time. More load the store more, and help where it answers
    slowly."""
    buffer_bytes: Annotated[int, Meta(ge=1024 * 1024)] = 128 * 1024 * 1024
    """The bytes of records that all tasks together hold in memory. When they are used up, the tasks stop reading until
    something is stored. A small value pauses often."""
    drain_seconds: Annotated[float, Meta(ge=0, le=240)] = 30.0
    """When the sink stops or gives a partition up, it stores what it has read for this many seconds. The next owner
    reads again what was not stored by then."""
    retry_seconds: Annotated[float, Meta(gt=0)] = 10.0
    """The longest wait between two tries of a failed step, in seconds. More spare a server that is overloaded; the sink
    goes on later once the server is back."""

    dead_letters_per_minute: Annotated[int, Meta(ge=1)] = 1000
    """With more dead letters of a partition in a minute, and a share of bad records above `dead_letter_share`, the
    partition waits, and the sink is unhealthy. Raise it for topics in which many bad records are usual."""
    dead_letter_share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    """The share of bad records, 0 to 1, above which `dead_letters_per_minute` applies. With 1 no partition waits for
    its dead letters."""

    stop_after_refusals: Annotated[int, Meta(ge=0)] = 100
    """The sink stops when its store has refused this many records, all for one reason, and has taken none since the
    sink began: most likely the store is set up wrongly. 0: the sink never stops for this, and the records become dead
    letters."""

    def __post_init__(self) -> None:
        time_zone("flush_time_zone", self.flush_time_zone)

    def period(self, wall: float) -> int:
        """The number of the period of `flush_schedule` in which a moment lies (seconds since 1970)."""
        if not self.flush_schedule:
            return 0
        moment = datetime.fromtimestamp(wall, time_zone("flush_time_zone", self.flush_time_zone))
        if self.flush_schedule == "daily":
            return moment.toordinal()
        return (moment.toordinal() * 24 + moment.hour) * 2 + moment.fold  # an hour that a clock shows twice is two

    def end(self, batch: Batch, columns: Columns, begin: int) -> int:
        """Up to which place the records from `begin` on join a batch."""
        end = min(begin + self.flush_records - batch.count, len(columns.offsets))
        if self.flush_interval_seconds:
            span = self.flush_interval_seconds * 1000
            interval = batch.first_timestamp // span
            end = begin + sum(1 for _ in takewhile(lambda t: t // span == interval, columns.timestamps[begin:end]))
        left = self.flush_bytes - batch.size
        if sum(map(len, filter(None, columns.values[begin:end]))) >= left:
            sizes = list(accumulate(len(value or b"") for value in columns.values[begin:end]))
            end = begin + bisect_left(sizes, left) + 1  # the record that reaches the bound is taken, too
        return end

    def is_full(self, batch: Batch) -> bool:
        """Whether a batch takes no further record."""
        return batch.count >= self.flush_records or batch.size >= self.flush_bytes

    def is_due(self, batch: Batch, now: float, period: int) -> bool:
        """Whether it is time to store a batch, at a monotonic time and in a scheduled period."""
        return now - batch.opened_at >= self.flush_seconds or period != batch.period


@ready
class SinkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of SINKS."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{0,99}$")]
    """The key of its entry in SINKS."""
    kind: str
    """The kind of store, for example hdfs."""
    topics: Annotated[tuple[Topic, ...], Meta(min_length=1)]
    """The topics that the sink reads."""
    target: Any
    """Where the sink stores; the keys depend on the kind."""
    group: Annotated[str, Meta(min_length=1)]
    """The consumer group (default: sink-<name>)."""
    tasks: Annotated[int, Meta(ge=1, le=64)] = 3
    """Threads that read, each with a consumer of its own. More than the topics have partitions are idle."""
    kafka: str = "default"
    """The cluster of settings.KAFKA that the sink reads."""
    event: str = "select-color"
    """The kind of event in its topics; json stands for any JSON object, and text (sinks that store
    files) for any line."""
    dead_letter_topic: Annotated[str, Meta(min_length=1)] = "{topic}.dlq"
    """Where unusable records go; {topic} stands for the record's own topic."""
    consumer: dict[str, Any] = {}
    """librdkafka options of the consumers."""
    options: SinkOptions = SinkOptions()
    """How records are batched, see below."""
    heartbeat_seconds: Annotated[float, Meta(ge=0.5, le=60)] = 5.0
    """Seconds between two reports of each process to the project's database. With more, the console shows pauses, lag
    and errors later."""
    metrics_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """The port on which the sink's process serves metrics and status, 1 to 65535; none by default."""
    metrics_host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address of that port; 0.0.0.0 lets other machines reach it."""

    @property
    def dead_letter_topics(self) -> list[str]:
        """The dead-letter topics of all topics of the sink."""
        return sorted({self.dead_letters_of(topic) for topic in self.topics})

    def shared_topics(self, other: "SinkConfig") -> str:
        """The topics that both sinks read, as a text for people; empty when there is none."""
        return ", ".join(sorted(set(self.topics) & set(other.topics)))

    def dead_letters_of(self, topic: str) -> str:
        """The dead-letter topic of a topic."""
        return self.dead_letter_topic.replace("{topic}", topic)
