"""A child process of `devstack run`: its output goes to the console and to a log, and it ends when told."""

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from devstack.console import Console
from devstack.server import keep_previous


@dataclass(frozen=True)
class ChildSpec:
    """What to run.

    `stop_seconds` is how long it may take to end after SIGTERM; `answers`, if given, tells when it has started.
    """

    name: str
    command: tuple[str, ...]
    stop_seconds: float = 60.0
    answers: Callable[[], bool] | None = None


class Child:
    """A started process in a session of its own, so that Ctrl-C in the terminal does not reach it.

    The process id and start time are noted in `notes/<name>.json`, so that the next run can end what a killed
    run left behind.
    """

    def __init__(self, spec: ChildSpec, *, console: Console, logs: Path, notes: Path, cwd: Path) -> None:
        self.spec = spec
        self.log_file = logs / f"{spec.name}.log"
        self._console = console
        self._note = notes / f"{spec.name}.json"
        logs.mkdir(parents=True, exist_ok=True)
        notes.mkdir(parents=True, exist_ok=True)
        keep_previous(self.log_file)
        self._process = subprocess.Popen(
            spec.command,
            cwd=cwd,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with contextlib.suppress(psutil.NoSuchProcess):
            started = psutil.Process(self._process.pid).create_time()
            self._note.write_text(json.dumps({"pid": self._process.pid, "started": started}))
        self._reader = threading.Thread(target=self._copy_output, name=f"output-{spec.name}", daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end (SIGTERM); returns at once."""
        if self.exit_code is None:
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and the processes that it started, at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def join(self, seconds: float) -> bool:
        """Wait until it has ended and its output is read; whether that happened within `seconds`."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self.kill()  # workers that outlived it
        self._reader.join(5.0)
        self._note.unlink(missing_ok=True)
        return True

    def _copy_output(self) -> None:
        assert self._process.stdout is not None
        with self.log_file.open("wb") as log:
            for line in self._process.stdout:
                log.write(line)
                log.flush()
                self._console.line(self.spec.name, line.decode(errors="replace").rstrip())


def end_left_overs(notes: Path, report: Callable[[str], None], seconds: float = 60.0) -> None:
    """End the children that a killed `devstack run` left behind: SIGTERM, then SIGKILL after `seconds`."""
    left = []
    for note in notes.glob("*.json"):
        with contextlib.suppress(psutil.Error, ValueError, KeyError):
            known = json.loads(note.read_text())
            process = psutil.Process(known["pid"])
            if abs(process.create_time() - known["started"]) < 2.0:
                report(f"ending {note.stem} (pid {process.pid}), left behind by a run that was killed")
                process.terminate()
                left.append(process)
        note.unlink(missing_ok=True)
    _, alive = psutil.wait_procs(left, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()


def join_all(children: list[Child], console: Console) -> None:
    """Wait for children that were told to end; those that take too long are killed."""
    started = time.monotonic()
    for child in children:
        if not child.join(max(0.0, started + child.spec.stop_seconds - time.monotonic())):
            console.say(f"{child.spec.name} did not end within {child.spec.stop_seconds:.0f} s: killed")
            child.kill()
            child.join(10.0)
