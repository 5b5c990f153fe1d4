"""Sinks as processes that tests start, stop, kill and wait for; see dying_sink."""

import contextlib
import itertools
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support import PROJECT, wait_until


class SinkProcess:
    """One sink. Its log tells each operation on its store as "operation <number>: <step>: <path>"."""

    def __init__(self, pid: int, log: Path, ended: dict[int, int]) -> None:
        self.pid = pid
        self.log = log
        self._ended = ended

    @property
    def text(self) -> str:
        """All output so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    @property
    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        return self._ended.get(self.pid)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.code is None

    @property
    def steps(self) -> list[str]:
        """The steps of the protocol that it has begun."""
        return re.findall(r"operation \d+: ([a-z ]+):", self.text)

    def wait_for(self, text: str, *, seconds: float = 60.0) -> None:
        """Waits until its output contains the text."""

        def said_or_ended() -> bool:
            running = self.is_running
            said = text in self.text
            assert said or running, f"ended early ({self.code}):\n{self.text[-8000:]}"
            return said

        wait_until(said_or_ended, seconds=seconds, what=f"{text!r} in {self.log}")

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit code."""
        deadline = time.monotonic() + seconds
        while (code := self.code) is None:
            assert time.monotonic() < deadline, f"still running after {seconds:g} s:\n{self.text[-8000:]}"
            time.sleep(0.02)
        return code

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, if it still runs."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self, seconds: float = 90.0) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def wait_stopped(self, seconds: float = 60.0) -> None:
        """Waits until it is stopped by SIGSTOP."""
        stat = Path(f"/proc/{self.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(") ")[2][0] == "T", seconds=seconds, what="the SIGSTOP")


class Nursery:
    """Starts sinks; a context manager that kills what still runs.

    kafka, hdfs, elasticsearch: the addresses that they use unless told otherwise; folder: for their logs, and
    for what tests store.
    """

    def __init__(self, *, kafka: str, hdfs: str = "", elasticsearch: str = "", folder: Path) -> None:
        self._kafka = kafka
        self._hdfs = hdfs
        self._elasticsearch = elasticsearch
        self.folder = folder
        self._numbers = itertools.count(1)
        self._started: queue.Queue[int] = queue.Queue()
        self._ended: dict[int, int] = {}
        self._starting = threading.Lock()
        self._sinks: list[SinkProcess] = []

    def __enter__(self) -> "Nursery":
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.sinks.dying_sink"],
            cwd=PROJECT,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "settings.test",
                "LOG_LEVEL": "DEBUG",
                "PYTHONUNBUFFERED": "1",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        threading.Thread(target=self._read, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for sink in self._sinks:
            sink.kill()
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(30)

    def start(
        self,
        entry: dict[str, Any],
        *,
        command: Sequence[str] = (),
        fault: dict[str, Any] | None = None,
        name: str = "under-test",
        files_per_commit: int = 32,
        old_records: int = 8,
        kafka: str | None = None,
        hdfs: str | None = None,
        elasticsearch: str | dict[str, Any] | None = None,
        s3: dict[str, Any] | None = None,
        environment: dict[str, str] | None = None,
        hdfs_timeout: float = 20.0,
        elasticsearch_timeout: float = 20.0,
    ) -> SinkProcess:
        """Starts a sink, or another command, for an entry of SINKS.

        fault: see dying_sink; elasticsearch: an address, or an entry of settings.ELASTICSEARCH_DSL; s3: an entry of
        settings.S3; environment: further variables.
        """
        cluster = elasticsearch or self._elasticsearch
        if isinstance(cluster, str):
            cluster = {"hosts": [cluster], "request_timeout": elasticsearch_timeout}
        log = self.folder / f"sink-{next(self._numbers):04d}.log"
        job = {
            "entry": entry,
            "command": command,
            "name": name,
            "fault": fault,
            "files_per_commit": files_per_commit,
            "old_records": old_records,
            "kafka": kafka or self._kafka,
            "hdfs": hdfs or self._hdfs,
            "elasticsearch": cluster,
            "s3": s3 or {},
            "environment": environment or {},
            "hdfs_timeout": hdfs_timeout,
            "log": str(log),
        }
        assert self._server.stdin is not None
        with self._starting:
            self._server.stdin.write(json.dumps(job).encode() + b"\n")
            self._server.stdin.flush()
            sink = SinkProcess(self._started.get(timeout=30), log, self._ended)
            self._sinks.append(sink)
        return sink

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            message = json.loads(line)
            if "started" in message:
                # A pid may be used again by the system.
                self._ended.pop(message["started"], None)
                self._started.put(message["started"])
            else:
                self._ended[message["ended"]] = message["code"]
