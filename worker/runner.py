"""Runs the tasks of a sink or source as threads until a signal stops them or one of them can't go on."""

import logging
import os
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Protocol

from worker.errors import Fatal

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2


class Task(Protocol):
    """What runs as a thread."""

    @property
    def name(self) -> str:
        """Names the thread and its lines in the log."""

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set, then finishes what it has begun. Raises Fatal when it can't go on."""


class Runner:
    """Starts tasks, stops them on SIGTERM or SIGINT, and reports how it went.

    name: of the sink or source; tasks: not started yet; stop_seconds: how long they may take to stop; stopping: what
    they do meanwhile, for the log.
    """

    def __init__(self, name: str, tasks: Sequence[Task], *, stop_seconds: float, stopping: str) -> None:
        self._name = name
        self._stopping = stopping
        self._tasks = tasks
        self._stop_seconds = stop_seconds
        self._stop = threading.Event()
        self._failed = False

    def run(self) -> int:
        """Returns the exit code: 0 after a signal, 1 when a task failed. Must run on the main thread.

        The first signal stops reading, and what was read is stored and committed; a second one ends the process at
        once, which loses nothing: what was not committed is read again.
        """
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        # Daemons: a server that does not answer must not keep the process from ending.
        threads = [
            threading.Thread(target=self._guard, args=(task,), name=task.name, daemon=True) for task in self._tasks
        ]
        try:
            for thread in threads:
                thread.start()
            while not self._stop.wait(_LOOK_SECONDS):  # in steps: a signal is handled between them
                pass
            deadline = time.monotonic() + self._stop_seconds
            while (running := [t for t in threads if t.is_alive()]) and time.monotonic() < deadline:
                running[0].join(_LOOK_SECONDS)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        for thread in running:
            text = "%s: did not stop within %g s; what it did not commit is read again"
            logger.warning(text, thread.name, self._stop_seconds)
        logger.info("%s: %s", self._name, "failed" if self._failed else "stopped")
        return 1 if self._failed else 0

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._stop.is_set():
            os.write(2, f"{self._name}: {name} again: ends at once\n".encode())
            os._exit(128 + number)
        os.write(2, f"{self._name}: {name}: {self._stopping}\n".encode())
        self._stop.set()

    def _guard(self, task: Task) -> None:
        ended_well = False
        try:
            task.run(self._stop)
            ended_well = True
        except Fatal as error:
            logger.critical("%s: stops: %s", task.name, error)
        except Exception:
            logger.exception("%s: stops by an unexpected error", task.name)
        finally:
            # Whatever ended it: confluent-kafka raises a KafkaError, which is no exception class, out of a callback.
            if not ended_well:
                self._failed = True
                self._stop.set()
