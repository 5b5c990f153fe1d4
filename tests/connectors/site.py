"""A website with the REST API and workers, as processes, and a client of any Kafka Connect."""

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from devstack.ports import HOST, choose_free
from devstack.server import http_get
from devstack.stack import Stack
from tests.support import PROJECT, Process, manage, wait_until


class Answer:
    """What a server has answered."""

    def __init__(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers

    @property
    def json(self) -> Any:
        """The body, None for an empty one."""
        return json.loads(self.body) if self.body else None


class Connect:
    """A client of a Kafka Connect by its address."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def ask(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None) -> Answer:
        """One request; every status is an answer."""
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}{path}", data, {"Content-Type": "application/json"}, method=method)
        try:
            with urlopen(request, timeout=60) as response:
                return Answer(response.status, response.read(), dict(response.headers))
        except HTTPError as error:
            return Answer(error.code, error.read(), dict(error.headers))

    def get(self, path: str) -> Any:
        """The JSON of an answer 200."""
        answer = self.ask("GET", path)
        assert answer.status == 200, (answer.status, answer.body)
        return answer.json

    def create(self, name: str, config: dict[str, Any]) -> Answer:
        """POST /connectors."""
        return self.ask("POST", "/connectors", {"name": name, "config": config})

    def status(self, name: str) -> Any:
        """Its status."""
        return self.get(f"/connectors/{name}/status")

    def states(self, name: str) -> tuple[str, list[str]]:
        """The states of the connector and of its tasks."""
        answer = self.ask("GET", f"/connectors/{name}/status")
        if answer.status != 200:
            return "", []
        return answer.json["connector"]["state"], [task["state"] for task in answer.json["tasks"]]

    def wait_for(self, name: str, state: str, tasks: list[str], *, seconds: float = 30.0) -> None:
        """Waits until the connector and its tasks have these states."""
        wait_until(
            lambda: self.states(name) == (state, tasks), seconds=seconds, what=f"{name} {state} {tasks}: {self.url}"
        )


@cache
def _migrated() -> bytes:
    """A database with all tables and no rows, made once for all sites."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "site.sqlite3"
        env = {"DJANGO_SETTINGS_MODULE": "settings.test", "TEST_DATABASE_URL": f"sqlite:///{path}"}
        done = subprocess.run(
            manage("migrate", "-v", "0"), cwd=PROJECT, env={**os.environ, **env}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return path.read_bytes()


class Site:
    """The project on a database of its own: a web server, and workers that tests kill.

    workers: how many, which share all slots when the site is entered; env: further variables; connectors: entries of
    CONNECTORS.
    """

    def __init__(
        self, stack: Stack, folder: Path, *, workers: int = 1, env: dict[str, str] | None = None, **connectors: Any
    ) -> None:
        self.folder = folder
        self._database = folder / "site.sqlite3"
        self._env = {
            "DJANGO_SETTINGS_MODULE": "settings.test",
            "TEST_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
            "TEST_DATABASE_URL": f"sqlite:///{self._database}",
            "CONNECTORS": json.dumps(
                {"open": True, "folders": ["/tmp", str(folder)], "poll_seconds": 0.5, **connectors}
            ),
            "EVENTS_TOPIC_PARTITIONS": "1",
            "SINKS": json.dumps({"hdfs": None, "elasticsearch": None}),
            "LOG_LEVEL": "INFO",
            **(env or {}),
        }
        self._count = workers
        self.workers: list[Process] = []
        self.metrics_ports: list[int] = []
        self._web: Process | None = None
        self.port = choose_free(set())
        self.connect = Connect(f"http://{HOST}:{self.port}/connect")

    def __enter__(self) -> "Site":
        self._database.write_bytes(_migrated())
        self._web = Process(manage("runserver", "--noreload", f"{HOST}:{self.port}"), self._env)
        for _ in range(self._count):
            port = choose_free({self.port, *self.metrics_ports})
            self.metrics_ports.append(port)
            self.workers.append(Process(manage("run_connectors", "--metrics-port", str(port)), self._env))
        wait_until(lambda: http_get(self.port, "/connect/connectors"), seconds=60, what="the web server")
        wait_until(self._is_shared, seconds=60, what="workers: " + "\n".join(one.text for one in self.workers))
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers, self._web):
            if process is not None and process.is_running():
                process.kill()

    def _is_shared(self) -> bool:
        """Whether the workers have all slots, each some."""
        found = [worker for worker in self.workers if "of 60 slots" in worker.text]
        return len(found) == self._count and sum(_slots(worker) for worker in found) == 60


def _slots(worker: Process) -> int:
    """How many slots a worker has said last that it has."""
    return int(worker.text.rpartition(" of 60 slots")[0].rpartition(" ")[2])
