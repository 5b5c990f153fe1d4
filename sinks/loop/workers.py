"""Threads that run work step by step. Work that waits for its next try holds none of them."""

import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import TypeVar

from worker.retry import Steps

T = TypeVar("T")


class Workers:
    """A fixed number of threads and the jobs that wait for one of them, each for its time.

    name: of the threads. Jobs that are due are taken in the order of their times.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._is_closed = False
        self._changed = threading.Condition()
        for number in range(threads):
            # Daemons: a server that does not answer must not keep the process from ending.
            threading.Thread(target=self._run, name=f"{name}_{number}", daemon=True).start()

    def submit(self, job: Callable[[], None], *, after: float = 0.0) -> None:
        """Has a job run, in so many seconds at the earliest; after `close` it is dropped. job: must not raise."""
        with self._changed:
            if self._is_closed:
                return
            heapq.heappush(self._jobs, (time.monotonic() + after, next(self._numbers), job))
            self._changed.notify()

    def start(self, begin: Callable[[], Steps[T]]) -> Future[T]:
        """Has work run to its end. begin: makes the work when it is due."""
        outcome: Future[T] = Future()
        self.submit(lambda: self.go_on(begin(), outcome))
        return outcome

    def go_on(self, steps: Steps[T], outcome: Future[T]) -> None:
        """Runs work on the calling thread up to its next wait, after which the workers go on with it."""
        try:
            delay = next(steps)
        except StopIteration as end:
            outcome.set_result(end.value)
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the work
            outcome.set_exception(error)
        else:
            self.submit(lambda: self.go_on(steps, outcome), after=delay)

    def close(self) -> None:
        """Drops the jobs that have not begun; the threads end with what they are doing."""
        with self._changed:
            self._is_closed = True
            dropped, self._jobs = self._jobs, []
            self._changed.notify_all()
        # Python ends the work that waited for its next try as soon as nobody holds it: its `finally` blocks run here.
        del dropped

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job  # or a thread without work keeps what it has stored last, which the memory budget doesn't count

    def _next(self) -> Callable[[], None] | None:
        """Waits for a job that is due; None when there will be none any more."""
        with self._changed:
            while not self._is_closed:
                wait = self._jobs[0][0] - time.monotonic() if self._jobs else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._jobs)[2]
                self._changed.wait(wait)
            return None
