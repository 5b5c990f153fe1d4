"""The one way to try again: a step that fails is repeated with backoff until it works or its partition is given up.

Work of several steps is an `async def` function that awaits an `attempt` for each step. Whoever runs it decides how the
time between two tries is spent: `Retry` sleeps in it, for commands; `sinks.loop.workers` gives the thread to others.
"""

import logging
import random
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar, cast

from sinks.errors import Cancelled, Pending, Retriable
from sinks.reporting.states import PartitionStatus

logger = logging.getLogger(__name__)

T = TypeVar("T")

_PENDING_SECONDS = 0.5
"""The longest wait before a server that is still working on a request (Pending) is asked again."""


@dataclass(frozen=True)
class Backoff:
    """How long to wait between tries (seconds): doubling from `initial` up to `maximum`, each by "equal jitter"."""

    initial: float = 0.1
    maximum: float = 10.0

    def delays(self) -> Iterator[float]:
        """Waiting times without end; half of each is fixed, half random, so that tasks do not return in step."""
        ceiling = self.initial
        while True:
            yield ceiling / 2 + random.uniform(0, ceiling / 2)
            ceiling = min(ceiling * 2, self.maximum)


class Attempt(Generic[T]):
    """A step that can be repeated. To be awaited, which gives its result once it has worked."""

    __slots__ = ("action", "what")

    def __init__(self, what: str, action: Callable[[], T]) -> None:
        self.what = what
        self.action = action

    def __await__(self) -> Generator["Attempt[T]", T, T]:
        return (yield self)


def attempt(what: str, action: Callable[[], T]) -> Attempt[T]:
    """A step of work: `action` is called until it does not raise Retriable, of which Pending is no failure.

    what: names the step in the log. Awaiting it raises Cancelled when the partition was given up, and whatever else
    `action` raises.
    """
    return Attempt(what, action)


class Steps(Generic[T]):
    """Work on its way: runs from one wait to the next.

    who: does the work, for the log; cancelled: set when the partition is given up; status: is told when a step fails
    and when it goes on, None for a command. `result` is there at the end.
    """

    result: T

    def __init__(
        self,
        work: Coroutine[Any, Any, T],
        *,
        who: str,
        backoff: Backoff,
        cancelled: threading.Event,
        status: PartitionStatus | None = None,
    ) -> None:
        self._who = who
        self._backoff = backoff
        self._cancelled = cancelled
        self._status = status
        self._work = work
        self._go_on: Callable[[], Attempt[Any]] = partial(work.send, None)
        self._attempt: Attempt[Any] | None = None
        self._delays = backoff.delays()
        self._failures = 0

    def run(self) -> float | None:
        """Runs until a step is to be repeated, and returns after how many seconds; None at the end of the work.

        Raises what the work raises.
        """
        while True:
            if self._attempt is None:
                try:
                    self._attempt = self._go_on()
                except StopIteration as end:
                    self.result = cast(T, end.value)
                    return None
                self._delays, self._failures = self._backoff.delays(), 0
            if (delay := self._try(self._attempt)) is not None:
                return delay
            self._attempt = None

    def _try(self, step: Attempt[Any]) -> float | None:
        """Tries a step once; returns how long to wait for the next try, None when the work goes on."""
        try:
            if self._cancelled.is_set():
                raise Cancelled(step.what)
            result = step.action()
        except Pending as error:
            delay = min(next(self._delays), _PENDING_SECONDS)
            logger.debug("%s: %s is asked again in %.1f s: %s", self._who, step.what, delay, error)
            return delay
        except Retriable as error:
            delay = next(self._delays)
            self._failures += 1
            logger.warning(
                "%s: %s failed (try %d, next in %.1f s): %s", self._who, step.what, self._failures, delay, error
            )
            if self._status is not None:
                self._status.backing_off(self, step.what, error, self._failures)
            return delay
        except BaseException as error:  # noqa: BLE001 - raised where the work awaits the step
            self._go_on = partial(self._work.throw, error)
        else:
            if self._failures:
                logger.info("%s: %s worked at try %d", self._who, step.what, self._failures + 1)
            self._go_on = partial(self._work.send, result)
        if self._failures and self._status is not None:
            self._status.goes_on(self)
        return None


@dataclass(frozen=True)
class Retry:
    """Runs work in the thread that calls it, which sleeps between two tries: for commands.

    who: does the work, for the log; cancelled: set when nobody waits for it any more.
    """

    who: str
    backoff: Backoff
    cancelled: threading.Event
    status: PartitionStatus | None = None

    def __call__(self, what: str, action: Callable[[], T]) -> T:
        """Runs one step. Raises Cancelled, and whatever else `action` raises."""

        async def one_step() -> T:
            result: T = await attempt(what, action)
            return result

        return self.run(one_step())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs work of many steps to its end. Raises what the work raises."""
        steps = Steps(work, who=self.who, backoff=self.backoff, cancelled=self.cancelled, status=self.status)
        while (delay := steps.run()) is not None:
            self.cancelled.wait(delay)
        return steps.result
