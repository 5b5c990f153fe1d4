"""Explains mistakes in `SINKS` at start (`manage.py check`)."""

from itertools import combinations
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sinks.build import check_kafka_options
from sinks.config import SinkConfig, sinks
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
