"""Topics and partitions: the offsets they hold, and how far each sink is."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.utils.translation import gettext as translated
from django.utils.translation import gettext_lazy as _

from pipeline.conf import console_settings
from pipeline.console.panels import Panel
from pipeline.console.statistics.choice import URL
from pipeline.errors import ServerError
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets, server_name
from pipeline.lag import Progress, progress, total_lag
from pipeline.offsets import PipelineTopic, pipeline_topics, shared_offsets
from sinks.registry import sinks


def read(_query: Mapping[str, str]) -> dict[str, Any]:
    """All topics of the pipeline with a row for each partition; they are of now, whatever the range."""
    conf = console_settings()
    clusters = {
        cluster: offsets or ServerError(server_name(cluster), translated("no answer in time"))
        for cluster, offsets in shared_offsets(wait_seconds=1 + conf.kafka_timeout_seconds).items()
    }
    errors = [offsets for offsets in clusters.values() if isinstance(offsets, ServerError)]
    if len(errors) == len(clusters):
        raise errors[0]
    entries = [
        topic_entry(topic, offsets, limit=conf.partitions)
        for cluster, offsets in clusters.items()
        for topic in pipeline_topics(sinks().values())
        if topic.cluster == cluster
    ]
    of_sinks = [sink for entry in entries for sink in entry["sinks"].values()]
    known = [sink["lag"] for sink in of_sinks if sink["lag"] is not None]
    return {
        "sinks": [{"name": sink.name, "group": sink.group} for sink in sinks().values()],
        "width": 2 * len(sinks()),
        "topics": entries,
        "several_clusters": len(clusters) > 1,
        "lag": sum(known) if known else None,
        "uncommitted": sum(sink["uncommitted"] for sink in of_sinks),
    }


def topic_entry(topic: PipelineTopic, offsets: ClusterOffsets | ServerError, *, limit: int) -> dict[str, Any]:
    """A topic for the page: totals over all partitions, and rows of the first `limit` of them."""
    if isinstance(offsets, ServerError):
        return {**_entry(topic), "error": str(offsets)}
    partitions = offsets.topics.get(topic.name)
    if partitions is None:
        return _entry(topic)
    parts: dict[str, list[Progress]] = {sink.name: [] for sink in topic.sinks}
    rows = []
    for offset in partitions:
        row: dict[str, Any] = {**asdict(offset), "sinks": {}}
        for sink in topic.sinks:
            group = offsets.groups[sink.group]
            if group.error is None:
                committed = group.committed.get((topic.name, offset.partition))
                part = progress(first=offset.first, end=offset.end, committed=committed)
                parts[sink.name].append(part)
                row["sinks"][sink.name] = asdict(part)
        rows.append(row)
    return {
        **_entry(topic),
        "exists": True,
        "partition_count": len(rows),
        "partitions": rows[:limit],
        "left": max(0, len(rows) - limit),
        "sinks": {sink.name: _sink_entry(offsets.groups[sink.group], parts[sink.name]) for sink in topic.sinks},
    }


def _sink_entry(group: GroupOffsets, parts: list[Progress]) -> dict[str, Any]:
    return {"error": group.error, "lag": total_lag(parts), "uncommitted": sum(part.state == "none" for part in parts)}


def _entry(topic: PipelineTopic) -> dict[str, Any]:
    return {
        "cluster": topic.cluster,
        "name": topic.name,
        "is_dead_letters": topic.is_dead_letters,
        "exists": False,
        "error": None,
        "partition_count": 0,
        "partitions": [],
        "sinks": {sink.name: {"error": None, "lag": None, "uncommitted": 0} for sink in topic.sinks},
    }


PANEL = Panel("topics", _("Topics and partitions"), "statistics/topics.html", read, URL, server="kafka")
