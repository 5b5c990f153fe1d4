"""A local server process: started detached, found again by its pid file, stopped, killed or paused by pid."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from devstack.errors import DevstackError
from devstack.ports import HOST, Port, is_free

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class ServerStatus:
    """What `devstack status` shows of one server; `memory` is the resident set in bytes."""

    name: str
    state: str
    pid: int | None
    address: str
    memory: int
    log_file: Path

    @property
    def is_ready(self) -> bool:
        """Whether the server answers."""
        return self.state == "ready"


@dataclass
class Server:
    """One server process on fixed ports with a folder of its own.

    The pid file alone could name a process that took over a recycled pid, so the process must also carry
    `marker` (one argument of `command`, unique to the folder) in its command line.
    """

    name: str
    title: str
    command: Sequence[str]
    marker: str
    folder: Path
    log_file: Path
    ports: Sequence[Port]
    address: str
    answers: Callable[[], bool]
    prepare: Callable[[], None]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    _child: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.marker not in self.command:
            raise ValueError(f"{self.name}: the marker is not an argument of the command")

    @property
    def port(self) -> int:
        """The port that clients use."""
        return self.ports[0].number

    @property
    def pid(self) -> int | None:
        """The pid of the running process, None when it does not run."""
        process = self._process()
        return None if process is None else process.pid

    @property
    def exit_code(self) -> int | None:
        """How the process ended: known only when this object started it; negative for a signal."""
        return None if self._child is None else self._child.poll()

    def is_running(self) -> bool:
        """Whether the process lives (it may be starting or paused)."""
        return self._process() is not None

    def is_ready(self) -> bool:
        """Whether the process lives and answers its own protocol now."""
        return self.is_running() and self.answers()

    def start(self) -> None:
        """Start the process unless it runs already; does not wait until it answers.

        Raises DevstackError when a port is taken or the data folder cannot be prepared.
        """
        if self.is_running():
            return
        self.check_ports()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.prepare()
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        keep_previous(self.log_file)
        with self.log_file.open("ab") as log:
            # A session of its own: Ctrl-C in the terminal must not reach it, it is stopped in order.
            self._child = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_file.write_text(f"{self._child.pid}\n")

    def check_ports(self) -> None:
        """Raise DevstackError when another process listens on a port that this server wants."""
        for port in self.ports:
            port.check_free()

    def wait_ready(self, timeout: float = 60.0, give_up: threading.Event | None = None) -> None:
        """Return as soon as the server answers. `timeout` is in seconds; `give_up` ends the waiting early.

        Raises DevstackError when the process ends first, the time is over or `give_up` is set.
        """
        give_up = give_up or threading.Event()
        deadline = time.monotonic() + timeout
        while True:
            if not self.is_running():
                code = "" if self.exit_code is None else f" (exit code {self.exit_code})"
                raise DevstackError(f"{self.title} stopped while starting{code}; see {self.log_file}{self._why()}")
            if self.answers():
                return
            if time.monotonic() > deadline:
                raise DevstackError(
                    f"{self.title} does not answer after {timeout:.0f} s; see {self.log_file}{self._why()}"
                )
            if give_up.wait(_POLL_SECONDS):
                raise DevstackError(f"{self.title}: no longer waited for")

    def stop(self, grace: float = 30.0) -> None:
        """End the process with SIGTERM, and with SIGKILL after `grace` seconds. Nothing to do when it is down."""
        if not self._signal(signal.SIGTERM):
            return
        self._signal(signal.SIGCONT)  # a paused process could not handle the SIGTERM
        if not self._wait_gone(grace):
            self.kill()
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the process with SIGKILL, as a crash would; returns when it is gone."""
        if self._signal(signal.SIGKILL) and not self._wait_gone(10.0):
            raise DevstackError(f"{self.title} (pid {self.pid}) does not go away after SIGKILL")

    def pause(self) -> None:
        """Stop the process's clock with SIGSTOP: connections stay open, nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self._signal(signal.SIGCONT)

    def status(self) -> ServerStatus:
        """A snapshot for people."""
        process = self._process()
        if process is None:
            return ServerStatus(self.name, "down", None, self.address, 0, self.log_file)
        try:
            paused = process.status() == psutil.STATUS_STOPPED
            memory = process.memory_info().rss
        except psutil.Error:
            return ServerStatus(self.name, "down", None, self.address, 0, self.log_file)
        state = "paused" if paused else "ready" if self.answers() else "not ready"
        return ServerStatus(self.name, state, process.pid, self.address, memory, self.log_file)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(int(self._pid_file.read_text()))
            if self._child is not None and process.pid == self._child.pid:
                # Our own child is known for sure (and reaped here); its command line is empty for a moment
                # while it begins and while it ends.
                return process if self._child.poll() is None else None
            if self.marker in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except (OSError, ValueError, psutil.Error):
            pass
        return None

    def _signal(self, number: signal.Signals) -> bool:
        process = self._process()
        if process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        return True

    def _wait_gone(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        # A killed process counts as gone when its first thread is; its sockets close with the last one.
        while time.monotonic() < deadline and not all(is_free(port.number) for port in self.ports):
            time.sleep(0.02)
        return True

    def _why(self) -> str:
        line = last_error_line(self.log_file)
        return f": {line}" if line else ""


def keep_previous(log_file: Path) -> None:
    """Make room for a new log: the former one is kept as `<name>.1`."""
    if log_file.exists():
        os.replace(log_file, log_file.with_name(log_file.name + ".1"))


def last_error_line(log_file: Path) -> str:
    """The last line of a log that tells of an error, else its last line; shortened; empty without a log."""
    try:
        tail = log_file.read_bytes()[-200_000:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    lines = [line.strip() for line in tail if line.strip() and not line.lstrip().startswith("at ")]
    pattern = re.compile(r"\b(ERROR|FATAL)\b|Exception\b|Error:")
    errors = [line for line in lines if pattern.search(line) and "Program will exit" not in line]
    return (errors or lines or [""])[-1][:300]


def get_json(port: int, path: str, timeout: float = 2.0) -> Any:
    """The JSON answer of a local HTTP server, None when there is none (refused, slow, not 200, not JSON)."""
    answer = http_get(port, path, timeout)
    if answer is None or answer[0] != 200:
        return None
    try:
        return json.loads(answer[1])
    except ValueError:
        return None


def http_get(port: int, path: str, timeout: float = 2.0) -> tuple[int, bytes] | None:
    """Status and body that a local HTTP server answers within `timeout` seconds, None when it does not."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
