"""Explains mistakes in `SINKS` at start (`manage.py check`)."""

from itertools import combinations
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sinks.build import check_kafka_options
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
    return [*_conflicts_of_readers(one, other), *_conflicts_of_indices(one, other), *_conflicts_of_indices(other, one)]


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
    shared = sorted(set(one.topics) & set(other.topics))
    if not shared or one.kafka != other.kafka:
        return []
    where = f"SINKS[{one.name!r}] and SINKS[{other.name!r}] both read {', '.join(shared)}"
    conflicts = []
    if one.group == other.group:
        conflicts.append(f"{where} as group {one.group}: each would get a part of the records")
    folders = [(sink.target.cluster, sink.target.path) for sink in (one, other) if isinstance(sink.target, HdfsTarget)]
    if len(folders) > len(set(folders)):
        conflicts.append(f"{where} into {folders[0][1]}: their files would have the same names")
    return conflicts
