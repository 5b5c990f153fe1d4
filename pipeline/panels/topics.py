"""Topics and partitions: the offsets they hold, and how far each sink is."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from events.conf import events_settings
from pipeline.conf import console_settings
from pipeline.console.sinks.progress import offsets_of
from pipeline.errors import ServerError
from pipeline.guard import guard
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets, read_offsets, server_name
from pipeline.lag import Progress, progress, total_lag
from pipeline.panels.panel import Panel
from pipeline.time_range import TimeRange
from sinks.config import SinkConfig
from sinks.registry import sinks


@dataclass(frozen=True)
class PipelineTopic:
    """A topic that the pipeline uses, and the sinks that read it; dead letters have none."""

    cluster: str
    name: str
    is_dead_letters: bool
    sinks: tuple[SinkConfig, ...]


OFFSETS = "offsets"
"""What an answer holds for the table of sinks and not for the page: by name of a sink its ClusterOffsets."""


def read(_time_range: TimeRange) -> dict[str, Any]:
    """All topics of the pipeline with a row for each partition, and OFFSETS; they are of now, whatever the range."""
    conf = console_settings()
    topics = pipeline_topics(sinks().values())
    entries: list[dict[str, Any]] = []
    errors: list[ServerError] = []
    by_sink: dict[str, ClusterOffsets | None] = {}
    clusters = list(dict.fromkeys(topic.cluster for topic in topics))
    for cluster in clusters:
        own = [topic for topic in topics if topic.cluster == cluster]
        try:
            with guard().read(server_name(cluster)):
                offsets = read_offsets(
                    cluster,
                    topics=[topic.name for topic in own],
                    groups=_groups(own),
                    timeout=conf.kafka_timeout_seconds,
                )
        except ServerError as error:
            errors.append(error)
            entries += [_unknown(topic, error) for topic in own]
        else:
            entries += [topic_entry(topic, offsets, limit=conf.partitions) for topic in own]
            by_sink |= {sink.name: offsets_of(sink, offsets)[0] for topic in own for sink in topic.sinks}
    if len(errors) == len(clusters):
        raise errors[0]
    return {
        "sinks": [{"name": sink.name, "group": sink.group} for sink in sinks().values()],
        "topics": entries,
        "several_clusters": len(clusters) > 1,
        OFFSETS: by_sink,
    }


def without_offsets(answer: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the page is given of an answer of `read`."""
    return answer and {key: found for key, found in answer.items() if key != OFFSETS}


def pipeline_topics(configs: Iterable[SinkConfig]) -> list[PipelineTopic]:
    """The topic of events, those that sinks read, then their dead letters; each once."""
    conf = events_settings()
    readers: dict[tuple[str, str], list[SinkConfig]] = {(conf.kafka, conf.topic): []}
    dead: dict[tuple[str, str], None] = {}
    for config in configs:
        for topic in config.topics:
            readers.setdefault((config.kafka, topic), []).append(config)
            dead[config.kafka, config.dead_letters_of(topic)] = None
    return [
        *(PipelineTopic(cluster, name, (cluster, name) in dead, tuple(by)) for (cluster, name), by in readers.items()),
        *(PipelineTopic(cluster, name, True, ()) for cluster, name in dead if (cluster, name) not in readers),
    ]


def topic_entry(topic: PipelineTopic, offsets: ClusterOffsets, *, limit: int) -> dict[str, Any]:
    """A topic for the page: totals over all partitions, and rows of the first `limit` of them."""
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
        "sinks": {sink.name: _sink_entry(offsets.groups[sink.group], parts[sink.name]) for sink in topic.sinks},
    }


def _sink_entry(group: GroupOffsets, parts: list[Progress]) -> dict[str, Any]:
    return {
        "error": group.error,
        "lag": total_lag(parts),
        "uncommitted": sum(part.state == "none" for part in parts),
    }


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


def _unknown(topic: PipelineTopic, error: ServerError) -> dict[str, Any]:
    return {**_entry(topic), "error": str(error)}


def _groups(topics: Iterable[PipelineTopic]) -> dict[str, list[str]]:
    """Each group with the topics that it reads; two sinks may not share one, but a typing error is no crash."""
    groups: dict[str, list[str]] = {}
    for topic in topics:
        for sink in topic.sinks:
            groups.setdefault(sink.group, []).append(topic.name)
    return groups


PANEL = Panel("topics", _("Topics and partitions"), read, server="kafka", ranged=False)
