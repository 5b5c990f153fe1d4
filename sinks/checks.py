"""Explains mistakes in `SINKS` at start (`manage.py check`)."""

from itertools import combinations
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sinks.build import check_kafka_options
from sinks.clusters import hdfs_cluster
from sinks.config import SinkConfig, sinks
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.hdfs.config import HdfsTarget


@checks.register("sinks")
def check_sinks(**_: Any) -> list[checks.CheckMessage]:
    """sinks.E001: an entry of SINKS can't be used; sinks.E002: two entries are in each other's way."""
    try:
        entries = list(sinks().values())
        for entry in entries:
            check_kafka_options(entry)
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See docs/configuration.md, Sinks.", id="sinks.E001")]
    conflicts = [text for one, other in combinations(entries, 2) for text in _conflicts(one, other)]
    return [checks.Error(text, hint="See docs/configuration.md, Sinks.", id="sinks.E002") for text in conflicts]


def _conflicts(one: SinkConfig, other: SinkConfig) -> list[str]:
    return [
        *_conflicts_of_readers(one, other),
        *_conflicts_of_paths(one, other),
        *_conflicts_of_indices(one, other),
        *_conflicts_of_indices(other, one),
    ]


def _conflicts_of_indices(one: SinkConfig, other: SinkConfig) -> list[str]:
    if not (isinstance(one.target, ElasticsearchTarget) and isinstance(other.target, ElasticsearchTarget)):
        return []
    if one.target.cluster != other.target.cluster:
        return []
    conflicts = []
    if one.target.id == "key" and one.target.index == other.target.index:
        conflicts.append(
            f"SINKS[{one.name!r}] stores in {one.target.index} by key, so SINKS[{other.name!r}] needs another index"
        )
    if one.target.readers != one.target.index and one.target.readers == other.target.index:
        conflicts.append(f"the alias {one.target.readers} of SINKS[{one.name!r}] is the index of SINKS[{other.name!r}]")
    return conflicts


def _conflicts_of_readers(one: SinkConfig, other: SinkConfig) -> list[str]:
    shared = _shared_topics(one, other)
    if not shared or one.kafka != other.kafka or one.group != other.group:
        return []
    return [
        f"SINKS[{one.name!r}] and SINKS[{other.name!r}] both read {shared} as group {one.group}: each would get a part "
        "of the records"
    ]


def _conflicts_of_paths(one: SinkConfig, other: SinkConfig) -> list[str]:
    if not (isinstance(one.target, HdfsTarget) and isinstance(other.target, HdfsTarget)):
        return []
    if not _name_nodes(one.target) & _name_nodes(other.target):
        return []
    shared = _shared_topics(one, other)  # of several Kafka clusters, too: names of files tell only the topic
    conflicts = []
    if shared and one.target.path == other.target.path:
        conflicts.append(
            f"SINKS[{one.name!r}] and SINKS[{other.name!r}] both store {shared} in target.path {one.target.path}: "
            "their files would have the same names"
        )
    for inner, path, outer, around in (
        (one.name, one.target.path, other.name, other.target.path),
        (other.name, other.target.path, one.name, one.target.path),
    ):
        if path.startswith(f"{around}/"):
            conflicts.append(
                f"target.path {path} of SINKS[{inner!r}] lies in {around}, the one of SINKS[{outer!r}], which would "
                "take its files for its own"
            )
    return conflicts


def _shared_topics(one: SinkConfig, other: SinkConfig) -> str:
    return ", ".join(sorted(set(one.topics) & set(other.topics)))


def _name_nodes(target: HdfsTarget) -> set[str]:
    return {url.rstrip("/").lower() for url in hdfs_cluster(target.cluster).url.split(";")}
