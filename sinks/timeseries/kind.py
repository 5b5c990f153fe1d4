"""The kind of sink that stores points in InfluxDB or VictoriaMetrics."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import partial
from urllib.parse import urlsplit

import msgspec

from events.event import EVENT_TYPES, field_types
from events.schema import InvalidRecord
from sinks.config import SinkConfig
from sinks.kind import Kind, TopicId, Verification
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.refusals import FirstRefusals
from sinks.reporting.metrics import SinkMetrics
from sinks.timeseries.client import TimeseriesClient
from sinks.timeseries.config import TimeseriesTarget
from sinks.timeseries.lines import Lines, escaped, field_name, measurement
from sinks.timeseries.writer import TimeseriesWriter
from worker.errors import Fatal
from worker.servers import Health, Server
from worker.urls import check_urls

_WRONG_SERIES = "most likely the server is set up wrongly, or its fields have other types than those of these records."


class TimeseriesKind(Kind):
    """Points in InfluxDB or VictoriaMetrics."""

    name = "timeseries"
    title = "Time series"
    target = TimeseriesTarget
    options = {
        "flush_records": 5000,
        "flush_bytes": 4 * 1024 * 1024,
        "flush_seconds": 1.0,
        "buffer_bytes": 64 * 1024 * 1024,
    }
    restarts = True
    stores_letters = True

    def check(self, sink: SinkConfig) -> None:
        """Raises ValueError for a URL or names that can't be used, and for settings that contradict each other."""
        target: TimeseriesTarget = sink.target
        check_urls("target.url:", [target.url])
        if "?" in target.url:
            raise ValueError("target.url must be without ?: what follows has keys of its own")
        if target.server == "influxdb" and not target.database:
            raise ValueError("target.database is needed for InfluxDB")
        if target.spread and (target.precision != "ns" or len(sink.topics) > 1 or target.server != "influxdb"):
            raise ValueError("target.spread needs InfluxDB, precision ns, and one topic")
        _check_names(target)
        if sink.event in EVENT_TYPES:
            known = field_types(EVENT_TYPES[sink.event])
            for name in target.of_record():
                if name.partition(".")[0] not in known:
                    raise ValueError(f"target: {name} is no field of {sink.event}: {', '.join(known)}")

    def writer(self, sink: SinkConfig, *, topic_id: TopicId, connections: int, metrics: SinkMetrics) -> Writer:
        """Points; Kafka's committed offset says where reading goes on."""
        target: TimeseriesTarget = sink.target
        refusals = FirstRefusals(target.name, _WRONG_SERIES, sink.options.stop_after_refusals)
        return TimeseriesWriter(TimeseriesClient(target, connections=connections), Lines(target), refusals)

    def prepare(self, sink: SinkConfig) -> Iterator[str]:
        """Makes the database of InfluxDB. VictoriaMetrics needs nothing."""
        target: TimeseriesTarget = sink.target
        with closing(TimeseriesClient(target, connections=1)) as client:
            if target.server != "influxdb":
                client.check()
                yield f"{target.name}: answers"
                return
            made = client.make_database()
        yield f"{target.name} database {target.database}: {'made' if made else 'there already'}"

    def verification(self, sink: SinkConfig, reader: LogReader) -> Verification:
        """There is none."""
        raise Fatal("a sink of time series can't be compared with Kafka: records of one series and time are one point")

    def servers(self, sinks: Iterable[SinkConfig]) -> list[Server]:
        """Each server once."""
        targets = {sink.target.name: sink.target for sink in sinks}
        return [Server(name, partial(_health, target)) for name, target in targets.items()]

    def urls(self, sink: SinkConfig) -> Iterable[str]:
        """The server's."""
        return [sink.target.url]

    def warnings(self, sink: SinkConfig) -> Iterable[str]:
        """A password that everybody on the way can read."""
        parts = urlsplit(sink.target.url)
        if parts.scheme == "http" and "@" in parts.netloc and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
            yield "target.url has a password and plain http, which others on the way can read"


def _check_names(target: TimeseriesTarget) -> None:
    """Raises ValueError for names that lines can't have."""
    for name in (*target.tags, *target.fields):
        if name == "time":
            raise ValueError("target: a tag or field can't be named time, which InfluxDB has for the time itself")
    if twice := set(target.tags) & set(target.fields):
        raise ValueError(f"target: {', '.join(sorted(twice))} can't be a tag and a field")
    if len(set(target.tags)) < len(target.tags) or len(set(target.fields)) < len(target.fields):
        raise ValueError("target.tags or target.fields has a name twice")
    if target.fields and (unknown := set(target.integers) - set(target.fields)):
        raise ValueError(f"target.integers: {', '.join(sorted(unknown))} is not among target.fields")
    try:
        if target.measurement_field is None:
            measurement(target.measurement)
        for name in target.tags:
            escaped(name)
        for name in target.fields:
            field_name(name)
    except InvalidRecord as error:
        raise ValueError(f"target: {error}") from None


def _health(target: TimeseriesTarget, timeout: float) -> Health:
    asked = msgspec.structs.replace(target, timeout_seconds=timeout)
    with closing(TimeseriesClient(asked, connections=1)) as client:
        return Health(client.check(), "")
