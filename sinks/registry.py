"""The kinds of sinks there are, and the sinks of `settings.SINKS`."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from events.event import EVENT_TYPES
from events.schema import ANY_JSON, ANY_TEXT
from kafka_client.clusters import kafka_cluster, settings_errors_in
from kafka_client.names import TOPIC
from sinks.config import SinkConfig
from sinks.database.kind import DatabaseKind
from sinks.elasticsearch.kind import ElasticsearchKind
from sinks.folder.kind import FolderKind
from sinks.hdfs.kind import HdfsKind
from sinks.kind import Kind
from sinks.s3.kind import S3Kind
from sinks.timeseries.kind import TimeseriesKind
from worker.entries import read_entries, read_target

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (HdfsKind(), FolderKind(), S3Kind(), ElasticsearchKind(), DatabaseKind(), TimeseriesKind())
}
"""The kinds of sinks by name. A further kind is a folder and its name here."""


def kind_of(sink: SinkConfig) -> Kind:
    """The kind of a sink."""
    return KINDS[sink.kind]


@cache
def sinks() -> dict[str, SinkConfig]:
    """The sinks of `settings.SINKS` by name. Raises ImproperlyConfigured naming the entry and key that is wrong."""
    return read_entries("SINKS", sink_of, shape="an object with kind, topics and target")


def sink_of(name: str, entry: Mapping[str, Any]) -> SinkConfig:
    """The sink that an entry of SINKS describes. Raises ValueError and ImproperlyConfigured."""
    if not isinstance(entry.get("kind"), str) or entry["kind"] not in KINDS:
        raise ValueError(f"kind is {entry.get('kind')!r}; it must be one of {', '.join(KINDS)}")
    kind = KINDS[entry["kind"]]
    if not isinstance(entry.get("target"), dict):
        raise ValueError("target must be an object that says where the sink stores")
    options = entry.get("options", {})
    if isinstance(options, dict):
        options = {**kind.options, **options}
    config = msgspec.convert({"group": f"sink-{name}", **entry, "name": name, "options": options}, SinkConfig)
    config = msgspec.structs.replace(config, target=read_target(entry["target"], kind.target))
    events = (ANY_JSON, *((ANY_TEXT,) if kind.stores_text else ()), *EVENT_TYPES)
    if config.event not in events:
        raise ValueError(f"event is {config.event!r}; it must be one of {', '.join(events)}")
    with settings_errors_in(f"kafka is {config.kafka!r}"):
        kafka_cluster(config.kafka)
    for letters in config.dead_letter_topics:
        if letters in config.topics or not TOPIC.fullmatch(letters):
            raise ValueError(
                f"dead_letter_topic gives {letters!r}, which must be the name of a topic that it does not read"
            )
    kind.check(config)
    return config
