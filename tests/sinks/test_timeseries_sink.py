"""The sink of time series on a real InfluxDB and a real VictoriaMetrics: each record is one point, or one letter."""

import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.server import Server
from devstack.stack import Stack
from events.schema import InvalidRecord
from sinks.records import Partition, Record
from sinks.registry import sink_of
from sinks.timeseries.client import TimeseriesClient
from sinks.timeseries.config import TimeseriesTarget
from sinks.timeseries.kind import TimeseriesKind
from sinks.timeseries.lines import Lines
from tests.sinks.line_protocol import parsed
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.sinks.timeseries_servers import PointServer, running_timeseries
from tests.support import make_topics, produce, read_topic, wait_until

pytestmark = pytest.mark.integration

BEGIN = 1_795_137_330_123_000_000  # nanoseconds
STEP = 5_000_000
SIGNS = ' ,="\\#\nät:/;\u2028'


@pytest.fixture(scope="module")
def influxdb() -> Iterator[Server]:
    with running_timeseries("influxdb") as server:
        yield server


@pytest.fixture(scope="module")
def victoriametrics() -> Iterator[Server]:
    with running_timeseries("victoriametrics") as server:
        yield server


@pytest.fixture(params=["influxdb", "victoriametrics"])
def points(request: pytest.FixtureRequest) -> PointServer:
    """Each of the two servers."""
    return PointServer(request.getfixturevalue(request.param), request.param)


class Bench:
    """A topic, and sinks that store it."""

    def __init__(self, stack: Stack, nursery: Nursery, points: PointServer) -> None:
        self._stack = stack
        self._nursery = nursery
        self._points = points
        self.topic = f"t-{uuid.uuid4().hex[:8]}"
        make_topics(stack, self.topic)
        make_topics(stack, f"{self.topic}.dlq", partitions=1)
        self.produced = 0

    def entry(self, **target: Any) -> dict[str, Any]:
        return {
            "kind": "timeseries",
            "topics": [self.topic],
            "event": "json",
            "group": f"g-{self.topic}",
            "tasks": 1,
            "target": self._points.target(tags=["room"], fields=["degrees"], time="at", time_unit="ns", **target),
            "options": {"flush_records": 50, "flush_seconds": 0.2, "retry_seconds": 0.3},
            "consumer": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300},
        }

    def produce(self, count: int) -> None:
        """Records whose field `degrees` is their number; each has a time of its own."""
        numbers = range(self.produced, self.produced + count)
        self.send(
            *({"room": f"room {n % 5}", "at": BEGIN + n * STEP, "degrees": float(n), "note": "warm"} for n in numbers)
        )
        self.produced += count

    def send(self, *records: Any) -> None:
        values = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
        produce(self._stack, self.topic, values)

    def start(self) -> SinkProcess:
        return self._nursery.start(self.entry())

    def letters(self, count: int) -> dict[bytes, str]:
        """Values and reasons of the dead letters."""
        found = read_topic(self._stack, f"{self.topic}.dlq", count)
        return {letter.value(): dict(letter.headers())["dlq.reason"].decode() for letter in found}

    def wait_stored(self, sink: SinkProcess) -> None:
        def is_stored() -> bool:
            assert sink.is_running, sink.text[-4000:]
            return len(self._points.points()) >= self.produced

        wait_until(is_stored, seconds=60, what=f"{self.produced} points")

    def check(self) -> None:
        """Each record is one point."""
        expected = [(BEGIN + n * STEP, {"room": f"room {n % 5}"}, {"degrees": n}) for n in range(self.produced)]
        assert [tuple(point) for point in self._points.points()] == expected


@pytest.fixture
def bench(stack: Stack, nursery: Nursery, points: PointServer) -> Bench:
    return Bench(stack, nursery, points)


def test_sinks_that_are_killed_leave_each_record_as_one_point(bench: Bench, points: PointServer) -> None:
    for _ in range(2):
        bench.produce(1_000)
        before = len(points.points())
        sink = bench.start()
        wait_until(lambda: len(points.points()) > before, what="further points")  # noqa: B023
        sink.kill()
    sink = bench.start()
    bench.wait_stored(sink)
    assert sink.stop() == 0, sink.text[-4000:]
    bench.check()


def test_a_server_that_is_away_is_waited_for_and_bad_records_become_letters(bench: Bench, points: PointServer) -> None:
    bench.produce(60)
    sink = bench.start()
    bench.wait_stored(sink)
    # VictoriaMetrics loses what it has taken in the seconds before a kill -9.
    (points.server.kill if points.is_influxdb else points.server.stop)()
    try:
        bench.send({"room": "a\nb", "at": BEGIN, "degrees": 1.0}, b"no json", {"at": BEGIN, "degrees": "warm"})
        bench.produce(300)
        sink.wait_for("failed (try 2")
    finally:
        points.server.start()
        points.server.wait_ready()
    bench.wait_stored(sink)
    reasons = sorted(bench.letters(3).values())
    assert sink.stop() == 0, sink.text[-4000:]
    bench.check()
    text = "partial write: field type conflict: " if points.is_influxdb else "its field degrees is a text"
    assert reasons[0].startswith("'a\\nb' can't be written as a name or tag")
    assert "JSON is malformed" in " ".join(reasons)
    assert text in " ".join(reasons)


def test_points_have_the_tags_fields_and_times_of_their_records_whatever_characters_they_have(
    points: PointServer,
) -> None:
    """What is not refused as a dead letter, the server reads as it was meant."""
    chance = random.Random(points.kind)

    def text() -> str:
        return "".join(chance.choice(SIGNS) for _ in range(chance.randrange(1, 6)))

    target = TimeseriesTarget(**points.target(tags=("t", "u,= "), time="at", time_unit="ns"))
    expected = {}
    lines = []
    maker = Lines(target)
    for number in range(1_500):
        at = BEGIN + number * STEP
        values = {
            f"n{text()}": chance.randrange(-(10**6), 10**6) / 8,
            f"b{text()}": chance.random() < 0.5,
            f"s{text()}": text(),
        }
        record = {"at": at, "t": text(), "u,= ": chance.choice(["", text()]), **values}
        try:
            line = maker.of(Partition("t", 0), Record(number, json.dumps(record).encode(), 0))
        except InvalidRecord:
            continue
        lines.append(line)
        tags = {name: record[name] for name in ("t", "u,= ") if record[name]}
        expected[at] = (tags, {name: v for name, v in values.items() if points.is_influxdb or not isinstance(v, str)})
    assert len(lines) > 100
    assert TimeseriesClient(target, connections=1).write(b"".join(lines)) is None
    found: dict[int, tuple[dict[str, str], dict[str, Any]]] = {}
    for point in points.points():
        tags, fields = found.setdefault(point.time, (point.tags, {}))
        assert tags == point.tags
        fields.update(point.fields)
    assert found == expected


def test_integers_booleans_texts_and_precision_are_stored_as_they_are(influxdb: Server) -> None:
    points = PointServer(influxdb, "influxdb")
    target = TimeseriesTarget(**points.target(integers=("count",), precision="us", time="at"))
    at = "2026-11-20T10:15:30.123456789+09:00"
    note = 'two\nlines, "quoted" \\ \u2028 and \x01\x7f'
    record = {"at": at, "count": 2**63 - 1, "load": 0.1, "small": 5e-324, "great": 1.7e308, "up": True, "note": note}
    line = Lines(target).of(Partition("t", 0), Record(0, json.dumps(record).encode(), 0))
    assert TimeseriesClient(target, connections=1).write(line) is None
    fields = {name: value for name, value in record.items() if name != "at"}
    assert [tuple(point) for point in points.points()] == [(1_795_137_330_123_456_000, {}, fields)]
    assert parsed(line.decode()[:-1]).fields == fields


def test_records_of_one_millisecond_stay_apart_with_spread_and_overwrite_each_other_without(influxdb: Server) -> None:
    def stored(**target: Any) -> int:
        points = PointServer(influxdb, "influxdb")
        settings = TimeseriesTarget(**points.target(**target))
        maker = Lines(settings)
        records = [Record(offset, b'{"v":1}', 1_795_137_330_123) for offset in range(10)]
        lines = [maker.of(Partition("t", number), record) for number in range(3) for record in records]
        for _ in range(2):
            assert TimeseriesClient(settings, connections=1).write(b"".join(lines)) is None
        return len(points.points())

    assert stored() == 1
    assert stored(spread=True) == 30


def test_set_up_makes_the_database_once_and_the_console_sees_the_server(influxdb: Server) -> None:
    database = f"d {uuid.uuid4().hex}"
    target = {"url": influxdb.address, "database": database, "measurement": "m"}
    sink = sink_of("one", {"kind": "timeseries", "topics": ["t"], "event": "json", "target": target})
    kind = TimeseriesKind()
    name = f"InfluxDB ({influxdb.address})"
    assert list(kind.prepare(sink)) == [f"{name} database {database}: made"]
    assert list(kind.prepare(sink)) == [f"{name} database {database}: there already"]
    [server] = kind.servers([sink, sink])
    assert server.name == name
    assert server.ask(2.0).version.startswith("1.")  # type: ignore[union-attr]


def test_the_console_sees_victoriametrics(victoriametrics: Server) -> None:
    target = {"url": victoriametrics.address, "measurement": "m", "server": "victoriametrics"}
    sink = sink_of("one", {"kind": "timeseries", "topics": ["t"], "event": "json", "target": target})
    assert list(TimeseriesKind().prepare(sink)) == [f"VictoriaMetrics ({victoriametrics.address}): answers"]
    [server] = TimeseriesKind().servers([sink])
    assert server.ask(2.0).version is None
