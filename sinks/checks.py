"""Explains mistakes in `SINKS` at start (`manage.py check`)."""

from itertools import combinations
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sinks.build import check_kafka_options
from sinks.config import SinkConfig
from sinks.registry import kind_of, sinks

_HINT = "See docs/configuration.md, Sinks."


@checks.register("sinks")
def check_sinks(**_: Any) -> list[checks.CheckMessage]:
    """sinks.E001: an entry of SINKS can't be used; sinks.E002: two are in each other's way; sinks.W001: doubtful."""
    try:
        entries = list(sinks().values())
        for entry in entries:
            check_kafka_options(entry)
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint=_HINT, id="sinks.E001")]
    conflicts = [text for one, other in combinations(entries, 2) for text in _conflicts(one, other)]
    doubts = [f"SINKS[{entry.name!r}]: {text}" for entry in entries for text in kind_of(entry).warnings(entry)]
    return [
        *(checks.Error(text, hint=_HINT, id="sinks.E002") for text in conflicts),
        *(checks.Warning(text, hint=_HINT, id="sinks.W001") for text in doubts),
    ]


def _conflicts(one: SinkConfig, other: SinkConfig) -> list[str]:
    conflicts = []
    shared = one.shared_topics(other)
    if shared and (one.kafka, one.group) == (other.kafka, other.group):
        conflicts.append(
            f"SINKS[{one.name!r}] and SINKS[{other.name!r}] both read {shared} as group {one.group}: each would get a "
            "part of the records"
        )
    if one.kind == other.kind:
        conflicts += kind_of(one).conflicts(one, other)
    return conflicts
