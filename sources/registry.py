"""The kinds of sources there are, and the sources of `settings.SOURCES`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from kafka_client.clusters import kafka_cluster, settings_errors_in
from sources.config import SourceConfig
from sources.database.kind import DatabaseKind
from sources.file.kind import FileKind
from sources.http.kind import HttpKind
from sources.kind import SourceKind
from worker.entries import read_entries, read_target

_KINDS: tuple[SourceKind, ...] = (DatabaseKind(), FileKind(), HttpKind())

KINDS: dict[str, SourceKind] = {kind.name: kind for kind in _KINDS}
"""The kinds of sources by name. A further kind is a folder and its name above."""


def kind_of(source: SourceConfig) -> SourceKind:
    """The kind of a source."""
    return KINDS[source.kind]


def topics_of(source: SourceConfig) -> list[str]:
    """The topics that are known beforehand: of its records, and of its dead letters where there is one."""
    return [*kind_of(source).topics(source), *filter(None, [source.dead_letter_topic])]


@cache
def sources() -> dict[str, SourceConfig]:
    """The sources of `settings.SOURCES` by name. Raises ImproperlyConfigured naming the entry and key that is wrong."""
    return read_entries("SOURCES", source_of, shape="an object with kind and target")


def source_of(name: str, entry: Mapping[str, Any]) -> SourceConfig:
    """The source that an entry of SOURCES describes. Raises ValueError and ImproperlyConfigured."""
    if not isinstance(entry.get("kind"), str) or entry["kind"] not in KINDS:
        raise ValueError(f"kind is {entry.get('kind')!r}; it must be one of {', '.join(KINDS)}")
    kind = KINDS[entry["kind"]]
    if not isinstance(entry.get("target"), dict):
        raise ValueError("target must be an object that says what the source reads")
    options = entry.get("options", {})
    if isinstance(options, dict):
        options = {**kind.defaults.get("options", {}), **options}
    config = msgspec.convert({**kind.defaults, **entry, "name": name, "options": options}, SourceConfig)
    config = msgspec.structs.replace(config, target=read_target(entry["target"], kind.target))
    with settings_errors_in(f"kafka is {config.kafka!r}"):
        kafka_cluster(config.kafka)
    kind.check(config)
    if of_kafka := [topic for topic in kind.topics(config) if topic.startswith("__")]:
        raise ValueError(f"topic {of_kafka[0]} is one of Kafka's own")
    taken = {config.positions_topic, config.dead_letter_topic} & set(kind.topics(config))
    if taken or config.positions_topic == config.dead_letter_topic:
        raise ValueError(
            f"positions_topic is {config.positions_topic!r} and dead_letter_topic {config.dead_letter_topic!r}: both "
            "must be topics that hold nothing else"
        )
    return config
