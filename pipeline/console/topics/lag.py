"""The table of topics: which offsets their partitions hold, and how far each consumer group is."""

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.conf import console_settings
from pipeline.errors import ServerError
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets, PartitionOffsets
from pipeline.lag import Progress, progress, total
from pipeline.offsets import PipelineTopic, Reader, offsets_in
from sinks.config import SinkConfig


def lag_now(topic: PipelineTopic) -> dict[str, Any]:
    """The table of one topic, with the groups that read it, as they are now. Raises ServerError."""
    return lag_table([(topic, offsets_in(topic.cluster, [topic]))] if topic.sinks else [], topic.sinks)


def lag_table(
    topics: Iterable[tuple[PipelineTopic, ClusterOffsets | ServerError]], readers: Sequence[SinkConfig | Reader]
) -> dict[str, Any]:
    """What the template topics/lag.html needs: an entry for each topic, and two columns for each reader."""
    entries = [topic_entry(topic, offsets, limit=console_settings().partitions) for topic, offsets in topics]
    return {"topics": entries, "sinks": [_column(reader, entries) for reader in readers], "width": 2 * len(readers)}


def topic_entry(topic: PipelineTopic, offsets: ClusterOffsets | ServerError, *, limit: int) -> dict[str, Any]:
    """A topic for the page: totals over all partitions, and rows of the first `limit` of them."""
    error = str(offsets) if isinstance(offsets, ServerError) else None
    known = ClusterOffsets({}, {}) if isinstance(offsets, ServerError) else offsets
    partitions = known.topics.get(topic.name, [])
    rows: list[dict[str, Any]] = [{**vars(part), "sinks": {}} for part in partitions[:limit]]
    totals = {}
    for sink in topic.sinks:
        group = known.groups.get(sink.group, GroupOffsets())
        parts = [] if group.error else [_progress(topic, group, part) for part in partitions]
        for row, part in zip(rows, parts, strict=False):  # there may be fewer rows
            row["sinks"][sink.name] = vars(part)
        uncommitted = sum(part.state == "none" for part in parts)
        totals[sink.name] = {"error": group.error, "lag": total(part.lag for part in parts), "uncommitted": uncommitted}
    return {
        "cluster": topic.cluster,
        "name": topic.name,
        "is_dead_letters": topic.is_dead_letters,
        "is_of_pipeline": not any(isinstance(sink, Reader) for sink in topic.sinks),
        "exists": topic.name in known.topics,
        "error": error,
        "partition_count": len(partitions),
        "partitions": rows,
        "left": len(partitions) - len(rows),
        "sinks": totals,
    }


def _progress(topic: PipelineTopic, group: GroupOffsets, part: PartitionOffsets) -> Progress:
    committed = group.committed.get((topic.name, part.partition))
    return progress(first=part.first, end=part.end, committed=committed)


def _column(reader: SinkConfig | Reader, entries: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A reader with its lag in all topics, None where it is not known."""
    lag = total(entry["sinks"][reader.name]["lag"] for entry in entries if reader.name in entry["sinks"])
    return {"name": reader.name, "group": reader.group, "kafka": reader.kafka, "lag": lag}
