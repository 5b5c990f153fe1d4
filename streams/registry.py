"""The built-in streams, and the streams of `settings.STREAMS`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from django.utils.module_loading import import_string

from kafka_client.clusters import kafka_cluster, settings_errors_in
from streams.activity_counts import ActivityCounts
from streams.config import StreamConfig
from streams.stream import Stream
from worker.entries import read_entries, read_target

BUILT_IN: dict[str, type[Stream[Any]]] = {stream.name: stream for stream in (ActivityCounts,)}
"""The built-in streams by name. A further one is a module and its name above."""


@dataclass(frozen=True)
class StreamEntry:
    """An entry of STREAMS and the stream that it describes."""

    config: StreamConfig
    stream: Stream[Any]

    @property
    def topics(self) -> list[str]:
        """The topics that must be there: `setup_pipeline` makes them."""
        return [*self.stream.topics_in, *self.stream.topics_out, self.config.dead_letters]


@cache
def streams() -> dict[str, StreamEntry]:
    """The streams of `settings.STREAMS` by name. Raises ImproperlyConfigured naming the entry and key that is wrong."""
    return read_entries("STREAMS", stream_of, shape="an object; {} takes the defaults")


def stream_of(name: str, entry: Mapping[str, Any]) -> StreamEntry:
    """The stream that an entry of STREAMS describes. Raises ValueError and ImproperlyConfigured."""
    config = msgspec.convert({**entry, "name": name}, StreamConfig)
    kind = _class_of(config)
    with settings_errors_in(f"kafka is {config.kafka!r}"):
        kafka_cluster(config.kafka)
    values = read_target(config.settings, kind.settings, key="settings")
    try:
        stream = kind(values)
    except ValueError as error:
        raise ValueError(f"settings: {error}") from error
    found = StreamEntry(config, stream)
    written = [*stream.topics_out, config.dead_letters]
    if twice := (set(stream.topics_in) & set(written)) or ({config.dead_letters} & set(stream.topics_out)):
        raise ValueError(f"topic {twice.pop()} has two uses: what is read, written and for dead letters must differ")
    return found


def _class_of(config: StreamConfig) -> type[Stream[Any]]:
    if not config.type:
        if config.name not in BUILT_IN:
            raise ValueError(f"type is needed: {config.name!r} is none of the built-in streams, {', '.join(BUILT_IN)}")
        return BUILT_IN[config.name]
    try:
        found = import_string(config.type)
    except ImportError as error:
        raise ValueError(f"type: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Stream)):
        raise ValueError(f"type: {config.type} is no subclass of streams.stream.Stream")
    return found
