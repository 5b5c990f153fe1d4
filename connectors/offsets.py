"""The offsets of a connector: reading them, and moving them while it is stopped, in Kafka Connect's shapes."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from connectors.audit import changing
from connectors.cluster import GroupOffsets
from connectors.errors import RestError
from connectors.models import Connector, TargetState
from connectors.status import reports_of, workers
from connectors.validation import checked
from kafka_client.clusters import kafka_cluster
from sinks.config import SinkConfig
from sinks.log_reader import LogReader
from sinks.records import Partition
from sinks.registry import kind_of
from sources.config import SourceConfig
from sources.reader import Position
from sources.registry import kind_of as source_kind_of
from sources.rewind import read_positions, write_positions
from worker.errors import Cancelled, Fatal, Fenced, Retriable
from worker.retry import Backoff, Retry

_SECONDS = 20.0
"""How long a request may take to move offsets; a server that is away for longer is an error."""

ALTERED = "The offsets for this connector have been altered successfully"
RESET = "The offsets for this connector have been reset successfully"

Offsets = list[dict[str, Any]]


def read(connector: Connector) -> Offsets:
    """Where the connector goes on. Raises RestError."""
    with _refused(connector, "read"):
        config = _config(connector)
        if isinstance(config, SourceConfig):
            found = read_positions(config)
            return [{"partition": {"part": part}, "offset": found[part]} for part in sorted(found)]
        with _log(config) as log:
            places = _places(connector, config, log)
        return [_of_kafka(place, offset) for place, offset in sorted(places.items()) if offset is not None]


def alter(user: str, connector: Connector, body: Any, *, dry_run: bool = False) -> dict[str, Any]:
    """Moves the offsets that the body names. dry_run: only tells what would be done. Raises RestError."""
    offsets = body.get("offsets") if isinstance(body, dict) else None
    if not isinstance(offsets, list) or not all(isinstance(one, dict) for one in offsets) or not offsets:
        raise RestError(400, "Partitions / offsets need to be provided for an alter offsets request")
    config = _config(connector)
    wishes: Any = _source_wishes(config, offsets) if isinstance(config, SourceConfig) else _sink_wishes(config, offsets)
    return _move(user, connector, config, wishes, ALTERED, dry_run=dry_run)


def reset(user: str, connector: Connector, *, dry_run: bool = False) -> dict[str, Any]:
    """Has the connector begin at the beginning. Raises RestError."""
    config = _config(connector)
    with _refused(connector, "read"):
        if isinstance(config, SourceConfig):
            wishes: Any = dict.fromkeys(read_positions(config))
        else:
            with _log(config) as log:
                wishes = dict.fromkeys(_places(connector, config, log))
    return _move(user, connector, config, wishes, RESET, dry_run=dry_run)


def _move(
    user: str, connector: Connector, config: SinkConfig | SourceConfig, wishes: Any, done: str, *, dry_run: bool
) -> dict[str, Any]:
    _check_stopped(connector)
    with _refused(connector, "modify"):
        if isinstance(config, SourceConfig):
            steps = _source_steps(config, wishes)
        else:
            steps = _sink_steps(connector, config, wishes)
        if dry_run:
            return {
                "message": "Nothing was changed: this is what would be done",
                "changes": [text for text, _ in steps],
            }
        texts = "; ".join(text for text, _ in steps)
        with changing(user, connector.name, f"move offsets: {texts or 'none'}"):
            for _, step in steps:
                step()
    return {"message": done}


Steps = list[tuple[str, Callable[[], None]]]


def _check_stopped(connector: Connector) -> None:
    name = connector.name
    if connector.target_state != TargetState.STOPPED:
        raise RestError(
            400,
            "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the "
            f"specified connector by issuing a 'PUT' request to the '/connectors/{name}/stop' endpoint",
        )
    if any(one == name for one, _ in reports_of(workers())):
        raise RestError(409, f"The tasks of connector {name} are about to stop: try again in a moment")


def _config(connector: Connector) -> SinkConfig | SourceConfig:
    found = checked(connector.config)
    if found.config is None:
        raise RestError(500, "; ".join(text for texts in found.errors.values() for text in texts))
    return found.config


@contextmanager
def _refused(connector: Connector, what: str) -> Iterator[None]:
    """A server that is away, and what a store refuses, in Kafka Connect's words and then in the server's own."""
    try:
        yield
    except (Retriable, Fatal, Fenced, Cancelled) as error:
        code = 503 if isinstance(error, Retriable | Cancelled) else 500
        text = f"Failed to {what} offsets for {connector.type} connector {connector.name}"
        raise RestError(code, f"{text}: {error or 'it took too long'}") from error


# Sinks


@contextmanager
def _log(sink: SinkConfig) -> Iterator[LogReader]:
    log = LogReader(kafka_cluster(sink.kafka), group=sink.group)
    try:
        yield log
    finally:
        log.close()


def _places(connector: Connector, sink: SinkConfig, log: LogReader) -> dict[Partition, int | None]:
    """Where the sink goes on in each partition: as its tasks say, or its store, or Kafka."""
    reported = {}
    for (name, _), one in reports_of(workers()).items():
        for part in one.task.parts if name == connector.name else ():
            if part.offset is not None:
                place = Partition(part.partition["kafka_topic"], part.partition["kafka_partition"])
                reported[place] = int(part.offset["kafka_offset"])
    places: dict[Partition, int | None] = {}
    for topic in sink.topics:
        for partition in log.partitions(topic):
            if partition in reported:
                places[partition] = reported[partition]
                continue
            stored = kind_of(sink).resume_offset(sink, partition)
            places[partition] = log.committed(partition) if stored is None else stored
    return places


def _of_kafka(place: Partition, offset: int) -> dict[str, Any]:
    partition = {"kafka_topic": place.topic, "kafka_partition": place.number}
    return {"partition": partition, "offset": {"kafka_offset": offset}}


def _sink_wishes(sink: SinkConfig, offsets: Offsets) -> dict[Partition, int | None]:
    wishes: dict[Partition, int | None] = {}
    for one in offsets:
        partition, offset = one.get("partition"), one.get("offset")
        if not isinstance(partition, dict) or not {"kafka_topic", "kafka_partition"} <= partition.keys():
            text = "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'"
            raise RestError(400, text)
        number = _number(partition["kafka_partition"])
        if number is None:
            raise RestError(
                400,
                "Failed to parse the following Kafka partition value in the provided offsets: "
                f"'{partition['kafka_partition']}'. Partition values for sink connectors need to be integers.",
            )
        to = None
        if offset is not None:
            if not isinstance(offset, dict) or "kafka_offset" not in offset:
                text = "The offset for a sink connector should either be null or contain the key 'kafka_offset'"
                raise RestError(400, text)
            to = _number(offset["kafka_offset"])
            if to is None:
                raise RestError(
                    400,
                    "Failed to parse the following Kafka offset value in the provided offsets: "
                    f"'{offset['kafka_offset']}'. Offset values for sink connectors need to be integers.",
                )
        wishes[Partition(str(partition["kafka_topic"]), number)] = to
    return wishes


def _number(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool | float) else int(value)
    except (TypeError, ValueError):
        return None


def _sink_steps(connector: Connector, sink: SinkConfig, wishes: Mapping[Partition, int | None]) -> Steps:
    """What each wish changes. Raises Fatal for one that can't be fulfilled, before anything is changed."""
    steps: Steps = []
    with _log(sink) as log:
        places = _places(connector, sink, log)
        for place, wish in wishes.items():
            if place not in places:
                raise Fatal(f"the sink reads no partition {place}")
            first, end = log.bounds(place)
            to = first if wish is None else wish
            if not first <= to <= end:
                raise Fatal(f"{to} can't be read: Kafka has offsets {first} to {end} (excluded) of {place}")
            now = places[place]
            text = f"{place}: from {'the beginning' if now is None else now} to {to}"
            steps.append((text, lambda place=place, to=to: _move_sink(sink, place, to)))  # type: ignore[misc]
    return steps


def _move_sink(sink: SinkConfig, place: Partition, to: int) -> None:
    """Kafka's offset is never beyond that of the store: a sink refuses to go on then."""
    group, given_up = GroupOffsets(sink.kafka, sink.group), threading.Event()
    group.move(place.topic, place.number, 0)
    timer = threading.Timer(_SECONDS, given_up.set)
    timer.start()
    try:
        moved = kind_of(sink).move_offset(sink, place, to, Retry(sink.name, Backoff(maximum=1.0), given_up))
    finally:
        timer.cancel()
    group.move(place.topic, place.number, moved)


# Sources


def _source_wishes(source: SourceConfig, offsets: Offsets) -> dict[str, Position | None]:
    wishes: dict[str, Position | None] = {}
    for one in offsets:
        partition, offset = one.get("partition"), one.get("offset")
        if not isinstance(partition, dict) or not isinstance(partition.get("part"), str):
            raise RestError(400, "Partition objects should contain the key 'part'")
        if offset is not None and not isinstance(offset, dict):
            raise RestError(400, "The offset should either be null or an object, as the offsets of this connector are")
        part = partition["part"]
        try:
            position = None if offset is None else source_kind_of(source).position(source, part, json.dumps(offset))
        except ValueError as error:
            raise RestError(400, f"The offset of {part} can't be used: {error}") from error
        wishes[part] = position
    return wishes


def _source_steps(source: SourceConfig, wishes: Mapping[str, Position | None]) -> Steps:
    now = read_positions(source)
    texts = [f"{part}: from {_told(now.get(part))} to {_told(wish)}" for part, wish in wishes.items()]
    if not texts:
        return []
    return [("; ".join(texts), lambda: write_positions(source, wishes))]


def _told(position: Position | None) -> str:
    return "the beginning" if position is None else msgspec.json.encode(position).decode()
