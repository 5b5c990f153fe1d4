"""Explains mistakes in `SOURCES` at start (`manage.py check`)."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sources.build import check_kafka_options
from sources.config import SourceConfig
from sources.registry import kind_of, sources

_HINT = "See docs/sources.md."


@checks.register("sources")
def check_sources(**_: Any) -> list[checks.CheckMessage]:
    """sources.E001: an entry can't be used; sources.E002: two are in each other's way; sources.W001: doubtful."""
    try:
        entries = list(sources().values())
        for entry in entries:
            check_kafka_options(entry)
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint=_HINT, id="sources.E001")]
    conflicts = [text for one, other in combinations(entries, 2) for text in _conflicts(one, other)]
    doubts = [f"SOURCES[{entry.name!r}]: {text}" for entry in entries for text in kind_of(entry).warnings(entry)]
    return [
        *(checks.Error(text, hint=_HINT, id="sources.E002") for text in conflicts),
        *(checks.Warning(text, hint=_HINT, id="sources.W001") for text in doubts),
    ]


def _conflicts(one: SourceConfig, other: SourceConfig) -> Iterator[str]:
    if one.kafka != other.kafka:
        return
    both = f"SOURCES[{one.name!r}] and SOURCES[{other.name!r}]"
    if one.positions_topic == other.positions_topic and one.positions_partitions != other.positions_partitions:
        yield f"{both} share the positions_topic {one.positions_topic} and differ in positions_partitions"
    for written, positions in ((one, other), (other, one)):
        if positions.positions_topic in {*kind_of(written).topics(written), written.dead_letter_topic}:
            yield f"{both}: {written.name} writes records to {positions.positions_topic}, a topic of positions"
