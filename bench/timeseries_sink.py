"""The sink of time series against a plain loop that posts the same lines, built and compressed beforehand."""

import gzip
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import requests

from bench.drain import Drained, drain
from bench.records import PARTITIONS, event, make_topic
from bench.report import Figure, Report
from devstack.stack import Stack
from sinks.records import Partition, Record
from sinks.timeseries.config import TimeseriesTarget
from sinks.timeseries.lines import Lines
from tests.sinks.timeseries_servers import PointServer, running_timeseries

TASKS = 3
LINES = 5_000
_TURNS = 3


def run(stack: Stack, report: Report, scale: float) -> None:
    """Into InfluxDB: as many lines a request, as many connections. Each in turn, and the best of each counts."""
    count = max(int(300_000 * scale), PARTITIONS * LINES)
    plain, best = 0.0, Drained(0.0, 0)
    with running_timeseries("influxdb") as server:
        for _ in range(_TURNS):
            plain = max(plain, _plain(PointServer(server, "influxdb"), count))
            drained = _drained(stack, PointServer(server, "influxdb"), count)
            best = max(best, drained, key=lambda one: one.rate)
    report.add(Figure("plain posts of lines built beforehand", plain, "points/s"))
    report.add(Figure("sink", best.rate, "points/s", "plain posts", plain, best.detail))


def _target(points: PointServer) -> dict[str, Any]:
    return points.target(tags=["colorName"], spread=True)


def _drained(stack: Stack, points: PointServer, count: int) -> Drained:
    topic = make_topic(stack)
    entry = {"kind": "timeseries", "tasks": TASKS, "target": _target(points), "options": {"flush_records": LINES}}
    drained = drain(stack, "run_sink", topic, count, entry)
    _check(points, count)
    return drained


def _plain(points: PointServer, count: int) -> float:
    """Points/s of posting bodies."""
    maker = Lines(TimeseriesTarget(**_target(points)))
    begin_ms = int(time.time() * 1000)
    bodies = [
        gzip.compress(
            b"".join(
                maker.of(Partition("t", 0), Record(number, event(number), begin_ms + number // 100))
                for number in range(first, min(first + LINES, count))
            ),
            compresslevel=1,
        )
        for first in range(0, count, LINES)
    ]
    session = requests.Session()
    where, query = f"{points.server.address}/write", {"db": "tests", "precision": "ns"}

    def send(body: bytes) -> None:
        answer = session.post(where, data=body, params=query, headers={"Content-Encoding": "gzip"}, timeout=60)
        if answer.status_code != 204:
            raise RuntimeError(f"InfluxDB answers {answer.status_code}: {answer.text}")

    with ThreadPoolExecutor(TASKS) as pool:
        begin = time.perf_counter()
        for future in [pool.submit(send, body) for body in bodies]:
            future.result()
        seconds = time.perf_counter() - begin
    _check(points, count)
    return count / seconds


def _check(points: PointServer, count: int) -> None:
    """All points are there; they are dropped, or they would be in the way of the next ones."""
    query = f'SELECT count("userName") FROM "{points.measurement}"'
    answer = points.ask("GET", "/query", db="tests", q=query)
    if f",{count}]" not in answer:
        raise RuntimeError(f"not {count} points are there: {answer}")
    points.ask("POST", "/query", db="tests", q=f'DROP MEASUREMENT "{points.measurement}"')
