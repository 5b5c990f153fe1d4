"""The servers that the tests of time series store in, and how their points are read back."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import requests

from devstack.config import PROJECT, StackConfig
from devstack.ports import choose_free
from devstack.server import Server
from devstack.timeseries import fetch_timeseries, influxdb_server, victoriametrics_server

DATABASE = "tests"


class Stored(NamedTuple):
    """A point as a server has it. time: nanoseconds."""

    time: int
    tags: dict[str, str]
    fields: dict[str, Any]


class PointServer:
    """A server, and a measurement for one test."""

    def __init__(self, server: Server, kind: str) -> None:
        self.server = server
        self.kind = kind
        self.measurement = f"m{uuid.uuid4().hex[:8]}"

    @property
    def is_influxdb(self) -> bool:
        """Whether it is InfluxDB, which stores texts, too."""
        return self.kind == "influxdb"

    def target(self, **changes: Any) -> dict[str, Any]:
        """The target of a sink that stores there."""
        database = {"database": DATABASE} if self.is_influxdb else {}
        own = {"url": self.server.address, "server": self.kind, "measurement": self.measurement}
        return {**own, **database, **changes}

    def ask(self, method: str, path: str, **params: str) -> str:
        """An answer of the server."""
        answer = requests.request(method, self.server.address + path, params=params, timeout=30)
        answer.raise_for_status()
        return answer.text

    def points(self) -> list[Stored]:
        """All points of the measurement, by time. Of VictoriaMetrics each is a single sample."""
        found = self._of_influxdb() if self.is_influxdb else self._of_victoriametrics()
        return sorted(found, key=lambda point: point.time)

    def _of_influxdb(self) -> Iterator[Stored]:
        query = f'SELECT * FROM "{self.measurement}" GROUP BY *'
        answer = msgspec.json.decode(self.ask("GET", "/query", db=DATABASE, epoch="ns", q=query))
        for series in answer["results"][0].get("series", ()):
            tags = {name: value for name, value in series.get("tags", {}).items() if value != ""}
            for time, *values in series["values"]:
                fields = zip(series["columns"][1:], values, strict=True)
                yield Stored(time, tags, {name: value for name, value in fields if value is not None})

    def _of_victoriametrics(self) -> Iterator[Stored]:
        self.ask("GET", "/internal/force_flush")
        match = f'{{__name__=~"{self.measurement}_.*"}}'
        for line in self.ask("GET", "/api/v1/export", **{"match[]": match}).encode().splitlines():
            series = msgspec.json.decode(line)
            name = series["metric"].pop("__name__").removeprefix(f"{self.measurement}_")
            for time, value in zip(series["timestamps"], series["values"], strict=True):
                yield Stored(time * 10**6, series["metric"], {name: value})


@contextmanager
def running_timeseries(kind: str) -> Iterator[Server]:
    """InfluxDB with an empty database, or VictoriaMetrics. Skipped loudly where there are no Debian packages."""
    if shutil.which("apt-get") is None and not os.environ.get("REQUIRE_BROWSER"):
        pytest.skip("no apt-get on this machine: the tests on InfluxDB and VictoriaMetrics do NOT run")
    make: Callable[[StackConfig, int], Server] = influxdb_server if kind == "influxdb" else victoriametrics_server
    data = Path(tempfile.mkdtemp(prefix=f"{kind}-"))
    config = StackConfig(home=PROJECT / ".devstack", data=data, logs=data)
    fetch_timeseries(config.home)
    server = make(config, choose_free(set()))
    server.start()
    try:
        server.wait_ready()
        if kind == "influxdb":
            PointServer(server, kind).ask("POST", "/query", q=f'CREATE DATABASE "{DATABASE}"')
        yield server
    finally:
        server.kill()
        shutil.rmtree(data, ignore_errors=True)
