"""Runs the tasks of one sink as threads until a signal stops them or one of them can't go on."""

import logging
import os
import signal
import threading
from types import FrameType

from sinks.errors import Fatal
from sinks.task import SinkTask

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2


class Runner:
    """Starts tasks, stops them on SIGTERM or SIGINT, and reports how it went.

    tasks: not started yet.
    """

    def __init__(self, sink: str, tasks: list[SinkTask]) -> None:
        self._sink = sink
        self._tasks = tasks
        self._stop = threading.Event()
        self._failed = False

    def run(self) -> int:
        """Returns the exit code: 0 after a signal, 1 when a task failed. Must run on the main thread.

        The first signal stops reading, stores and commits what was read; a second one ends the process at once,
        which loses nothing: what was not committed is read again.
        """
        previous = {number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        threads = [threading.Thread(target=self._guard, args=(task,), name=task.name) for task in self._tasks]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    thread.join(_LOOK_SECONDS)  # in steps: a signal is handled between them
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        logger.info("%s: %s", self._sink, "failed" if self._failed else "stopped")
        return 1 if self._failed else 0

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._stop.is_set():
            os.write(2, f"{self._sink}: {name} again: ends at once\n".encode())
            os._exit(128 + number)
        os.write(2, f"{self._sink}: {name}: stores what was read and stops\n".encode())
        self._stop.set()

    def _guard(self, task: SinkTask) -> None:
        try:
            task.run(self._stop)
        except Fatal as error:
            logger.critical("%s: stops: %s", task.name, error)
            self._failed = True
        except Exception:
            logger.exception("%s: stops by an unexpected error", task.name)
            self._failed = True
        finally:
            if self._failed:
                self._stop.set()
