"""The kinds of sinks there are, and the sinks of `settings.SINKS`."""

from functools import cache
from typing import Any

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from events.event import EVENT_TYPES
from events.schema import ANY_JSON
from kafka_client.clusters import kafka_cluster
from sinks.config import TOPIC, SinkConfig
from sinks.elasticsearch.kind import ElasticsearchKind
from sinks.folder.kind import FolderKind
from sinks.hdfs.kind import HdfsKind
from sinks.kind import Kind

KINDS: dict[str, Kind] = {kind.name: kind for kind in (HdfsKind(), FolderKind(), ElasticsearchKind())}
"""The kinds of sinks by name. A further kind is a folder and its name here."""


def kind_of(sink: SinkConfig) -> Kind:
    """The kind of a sink."""
    return KINDS[sink.kind]


@cache
def sinks() -> dict[str, SinkConfig]:
    """The sinks of `settings.SINKS` by name. Raises ImproperlyConfigured naming the entry and key that is wrong."""
    return {name: _sink(name, entry) for name, entry in settings.SINKS.items()}


def _sink(name: str, entry: dict[str, Any]) -> SinkConfig:
    where = f"SINKS[{name!r}]"
    if not isinstance(entry, dict):
        raise ImproperlyConfigured(f"{where} is {entry!r}; it must be an object with kind, topics and target")
    if entry.get("kind") not in KINDS:
        raise ImproperlyConfigured(f"{where}: kind is {entry.get('kind')!r}; it must be one of {', '.join(KINDS)}")
    kind = KINDS[entry["kind"]]
    if not isinstance(entry.get("target"), dict):
        raise ImproperlyConfigured(f"{where}: target is {entry.get('target')!r}; it must say where the sink stores")
    options = entry.get("options", {})
    if isinstance(options, dict):
        options = {**kind.options, **options}
    try:
        config = msgspec.convert({"group": f"sink-{name}", **entry, "name": name, "options": options}, SinkConfig)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error
    try:
        target = msgspec.convert(entry["target"], kind.target)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"{where}: {_within_target(str(error))}") from error
    config = msgspec.structs.replace(config, target=target)
    if config.event != ANY_JSON and config.event not in EVENT_TYPES:
        known = ", ".join((ANY_JSON, *EVENT_TYPES))
        raise ImproperlyConfigured(f"{where}: event is {config.event!r}; it must be one of {known}")
    try:
        kafka_cluster(config.kafka)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{where}: kafka is {config.kafka!r}: {error}") from error
    for letters in config.dead_letter_topics:
        if letters in config.topics or not TOPIC.fullmatch(letters):
            raise ImproperlyConfigured(
                f"{where}: dead_letter_topic gives {letters!r}, which must be the name of a topic that it does not read"
            )
    try:
        config.options.limits()
        kind.check(config)
    except (ImproperlyConfigured, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error
    return config


def _within_target(error: str) -> str:
    """An error of a target as one of its entry: msgspec writes the place behind the text."""
    text, found, place = error.partition(" - at `$")
    return f"{text} - at `$.target{place}" if found else f"{text} - at `$.target`"
