"""How far a sink is on each partition: what Kafka says, joined with what the sink itself says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from pipeline.errors import ServerError
from pipeline.heartbeats import Delay, HeardSink, read_delays, read_longest_delay
from pipeline.kafka_offsets import Partition
from pipeline.kafka_reads import ClusterOffsets
from pipeline.lag import State as LagState
from pipeline.lag import progress, total
from pipeline.offsets import PipelineTopic, offsets_in, shared_offsets
from sinks.config import SinkConfig
from sinks.reporting.reports import PartitionReport

Known = tuple[ClusterOffsets | None, ServerError | None]
"""The offsets of a sink's topics and group, or why they are not known."""


@dataclass(frozen=True)
class PartitionProgress:
    """A partition. report: of its owner, None when nobody owns it; lag: offsets, never negative, None when not known.

    lag_state: "none" without a commit; delay: how long it is behind, None when it is not or nothing is known.
    """

    topic: str
    partition: int
    report: PartitionReport | None
    first: int | None
    end: int | None
    committed: int | None
    lag: int | None
    lag_state: LagState
    delay: Delay | None = None

    @property
    def position(self) -> int | None:
        """Of the next record to be read, None when nobody reads; the owner tells it now and then."""
        if self.report is None:
            return None
        return max((offset for offset in (self.report.position, self.committed) if offset is not None), default=None)


def partition_progress(sink: HeardSink, offsets: ClusterOffsets | None) -> list[PartitionProgress]:
    """All partitions that Kafka or the sink knows; offsets: None while Kafka is away, then the sink's word counts."""
    ends: dict[Partition, tuple[int | None, int | None]] = {}
    committed: Mapping[Partition, int] = {}
    if offsets is not None:
        committed = offsets.groups[sink.config.group].committed
        ends = {(topic, p.partition): (p.first, p.end) for topic, parts in offsets.topics.items() for p in parts}
    rows = []
    for place in sorted({*ends, *sink.partitions}):
        report = sink.partitions.get(place)
        first, end = ends.get(place, (None, None))
        done = committed.get(place)
        if end is None and report is not None:
            end, done = report.end, report.done
        found = progress(first=first, end=end, committed=done)
        rows.append(PartitionProgress(*place, report, first, end, done, found.lag, found.state))
    return rows


@dataclass(frozen=True)
class SinkProgress:
    """A sink over all partitions. lag: offsets, None when not known; uncommitted: partitions without a commit;
    delay: of the partition that is behind for the longest time, None when none is or nothing is known.
    """

    lag: int | None = None
    uncommitted: int = 0
    delay: Delay | None = None


def sink_progress(sink: HeardSink, offsets: ClusterOffsets | None, *, now: datetime) -> SinkProgress:
    """How far a sink is; offsets: None while Kafka is away, then it is not known: what the sink said gets old.

    Raises ServerError when the database does not answer.
    """
    if offsets is None:
        return SinkProgress()
    rows = partition_progress(sink, offsets)
    return SinkProgress(
        lag=total(row.lag for row in rows),
        uncommitted=sum(row.lag_state == "none" for row in rows),
        delay=read_longest_delay(sink.config.name, _behind(rows), now),
    )


def with_delays(sink: str, rows: list[PartitionProgress], *, now: datetime) -> list[PartitionProgress]:
    """The rows with how long each is behind. Raises ServerError when the database does not answer."""
    delays = read_delays(sink, _behind(rows), now)
    return [replace(row, delay=delays.get((row.topic, row.partition))) for row in rows]


def _behind(rows: list[PartitionProgress]) -> dict[Partition, int]:
    return {(row.topic, row.partition): row.committed or row.first or 0 for row in rows if row.lag}


def shared_progress(configs: Iterable[SinkConfig]) -> dict[str, Known]:
    """For each sink by name the offsets of its topics and group, or why they are not known.

    (None, None) while Kafka is being asked: by one read for all pages that ask again and again.
    """
    clusters = shared_offsets()
    return {config.name: offsets_of(config, clusters[config.kafka]) for config in configs}


def progress_now(config: SinkConfig) -> Known:
    """The same for one sink, read now."""
    topics = [PipelineTopic(config.kafka, topic, False, (config,)) for topic in config.topics]
    try:
        return offsets_of(config, offsets_in(config.kafka, topics))
    except ServerError as error:
        return None, error


def offsets_of(config: SinkConfig, offsets: ClusterOffsets | ServerError | None) -> Known:
    """Those of a sink's topics and group among all of its cluster, or why they are not known."""
    if not isinstance(offsets, ClusterOffsets):
        return None, offsets
    refused = offsets.groups[config.group].error
    if refused is not None:
        return None, ServerError(f"Kafka: {config.group}", refused)
    own = {topic: partitions for topic, partitions in offsets.topics.items() if topic in config.topics}
    return ClusterOffsets(own, offsets.groups), None
