"""The site under its production web server, as a process."""

import signal
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from devstack.ports import choose_free
from events.spool.reader import SpoolReader
from tests.support import Process, wait_until

WORKERS = 2


class Web:
    """granian; options: more of its command line."""

    def __init__(self, env: dict[str, str], *options: str, workers: int = WORKERS) -> None:
        self.port = choose_free(set())
        self.url = f"http://127.0.0.1:{self.port}"
        granian = str(Path(sys.executable).with_name("granian"))
        self._env = env
        self._workers = workers
        self._command = [
            *(granian, "--interface", "wsgi", "--workers", str(workers), "--port", str(self.port)),
            *("--blocking-threads", "8", *options, "pipeline.wsgi:application"),
        ]
        self.start()

    def start(self) -> None:
        """Starts it, or starts it again at the same address when it has ended; waits until it answers."""
        self.process = Process(self._command, self._env)
        # A SIGTERM that meets a worker before it has started is lost.
        wait_until(self._answers, seconds=60, what=f"the web server:\n{self.process.text}")

    def kill(self) -> None:
        """Kills it and its workers, which would go on without it."""
        workers = self.workers()
        self.process.signal(signal.SIGKILL)  # first, for it would start other workers
        for worker in workers:
            worker.kill()
        self.process.wait()

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return [child for child in psutil.Process(self.process.pid).children() if _is_worker(child)]

    def _answers(self) -> bool:
        assert self.process.is_running(), self.process.text
        if self.process.text.count("Started worker-") < self._workers:
            return False
        try:
            return status_of(f"{self.url}/healthz") == 200
        except OSError:
            return False


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "resource_tracker" not in " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie, too
        return False


def status_of(url: str, data: Any = None) -> int:
    """The status of a GET, or of a POST of JSON."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as answer:
        return answer.code


def spooled_bytes(spool: Path) -> int:
    """How much of the spools of all processes is not delivered, by their cursors."""
    return sum(_undelivered(folder) for folder in spool.iterdir() if (folder / "lock").exists())


def _undelivered(folder: Path) -> int:
    return sum(map(len, SpoolReader(folder).read(1_000_000, 2**30)))
