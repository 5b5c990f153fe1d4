"""Sources as processes that tests start, stop, kill and wait for; see dying_source."""

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from tests.sinks.sink_processes import SinkProcess as SourceProcess
from tests.support import PROJECT


class Nursery:
    """Starts sources; a context manager that kills what still runs. folder: for their logs."""

    def __init__(self, kafka: str, folder: Path) -> None:
        self._kafka = kafka
        self._folder = folder
        self._numbers = itertools.count(1)
        self._started: queue.Queue[int] = queue.Queue()
        self._ended: dict[int, int] = {}
        self._sources: list[SourceProcess] = []

    def __enter__(self) -> Self:
        env = {**os.environ, "DJANGO_SETTINGS_MODULE": "settings.test", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "tests.sources.dying_source"]
        self._server = subprocess.Popen(command, cwd=PROJECT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)

    def kill_all(self) -> None:
        """Kills all sources that run."""
        for source in self._sources:
            source.kill()

    def start(self, name: str, entry: dict[str, Any], *, fault: dict[str, Any] | None = None) -> SourceProcess:
        """Starts a source. fault: see dying_source."""
        log = self._folder / f"source-{next(self._numbers):04d}.log"
        job = {"name": name, "entry": entry, "fault": fault, "kafka": self._kafka, "log": str(log)}
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(job).encode() + b"\n")
        self._server.stdin.flush()
        source = SourceProcess(self._started.get(timeout=60), log, self._ended)
        self._sources.append(source)
        return source

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            message = json.loads(line)
            if "started" in message:
                self._ended.pop(message["started"], None)  # a pid may be used again by the system
                self._started.put(message["started"])
            else:
                self._ended[message["ended"]] = message["code"]
