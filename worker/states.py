"""Keeps the state of a task; the threads that do the work report what happens."""

import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from events.shortening import shortened
from worker import garbage
from worker.reports import RecentError, State, TaskReport

UNHEALTHY_SECONDS = 5.0
"""What backs off for this long makes its process unhealthy. A single failed try does not."""

_KEPT_ERRORS = 10
_ERROR_LENGTH = 500


class _Since(NamedTuple):
    state: State
    moment: float
    reason: str = ""
    tries: int = 0


class WorstState:
    """The worst state of all that serve one task or partition: failed, then backing off, then what was set."""

    def __init__(self, first: State, wall_clock: Callable[[], float]) -> None:
        self.wall_clock = wall_clock
        self._lock = threading.Lock()
        self._was_set = _Since(first, wall_clock())
        self._backing_off: dict[object, _Since] = {}  # by what waits, since the first failure of its step
        self._failure: _Since | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it has ended by an error."""
        return self._failure is not None

    def goes_on(self, work: object) -> None:
        """The step of a piece of work has ended, well or not; of a task: what it was waiting for is there."""
        with self._lock:
            if self._backing_off.pop(work, None) and not self._backing_off:
                self._was_set = self._was_set._replace(moment=self.wall_clock())

    def set_state(self, state: State, reason: str = "") -> None:
        """The state of what neither fails nor backs off."""
        with self._lock:
            self._was_set = _Since(state, self.wall_clock(), reason)

    def back_off(self, work: object, reason: str) -> int:
        """A step of `work` has failed and will be tried again. Says for which time in a row."""
        garbage.may_be_there()
        with self._lock:
            earlier = self._backing_off.get(work) or _Since("backing off", self.wall_clock())
            self._backing_off[work] = earlier._replace(reason=reason, tries=earlier.tries + 1)
            return earlier.tries + 1

    def fail(self, reason: str) -> None:
        """It has ended by an error, for good."""
        with self._lock:
            self._failure = _Since("failed", self.wall_clock(), reason)

    def state(self) -> dict[str, Any]:
        """The fields that every report of a state has: those of TaskReport from `state` on."""
        with self._lock:
            longest = min(self._backing_off.values(), key=lambda since: since.moment, default=None)
            now = self._failure or longest or self._was_set
        backs_off_for = self.wall_clock() - now.moment if now.state == "backing off" else 0.0
        return {
            "state": now.state,
            "since": datetime.fromtimestamp(now.moment, UTC),
            "healthy": now.state != "failed" and backs_off_for < UNHEALTHY_SECONDS,
            "reason": now.reason,
            "tries": now.tries,
        }


class TaskState(WorstState):
    """The state of a task, with its latest errors."""

    def __init__(self, name: str, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__("running", wall_clock)
        self.name = name
        self._errors: deque[RecentError] = deque(maxlen=_KEPT_ERRORS)

    def backing_off(self, what: object, why: str) -> None:
        """The task waits for `what` (Kafka, or a topic), which was not there."""
        if self.back_off(what, why) == 1:
            self.add_error(self.name, why)

    def failed(self, error: BaseException) -> None:
        """The task has ended by an error."""
        why = str(error) or type(error).__name__
        self.add_error(self.name, why)
        self.fail(why)

    def add_error(self, where: str, text: str) -> None:
        """Keeps an error of the task or of what it works on."""
        moment = datetime.fromtimestamp(self.wall_clock(), UTC)
        self._errors.append(RecentError(moment=moment, where=where, text=shortened(text, _ERROR_LENGTH)))

    def report(self) -> TaskReport:
        """The task at this moment."""
        return TaskReport(task=self.name, **self.state(), errors=list(self._errors))
