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
from types import coroutine
from typing import Any, Protocol, TypeVar, cast

from worker.errors import Cancelled, Pending, Retriable

logger = logging.getLogger(__name__)

T = TypeVar("T")

Steps = Generator[float, None, T]
"""Work on its way: gives the seconds until a step is to be repeated, each time that one is, and returns."""

_PENDING_SECONDS = 0.5
"""The longest wait before a server that is still working on a request (Pending) is asked again."""


class Progress(Protocol):
    """Is told how a piece of work goes; `work` identifies the piece."""

    def backing_off(self, work: object, what: str, error: Retriable) -> None:
        """A step has failed and will be tried again."""

    def goes_on(self, work: object) -> None:
        """The step that had failed has ended, well or not."""


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


@coroutine
def attempt(what: str, action: Callable[[], T]) -> Generator[tuple[str, Callable[[], T]], T, T]:
    """A step of work: `action` is called until it does not raise Retriable, of which Pending is no failure.

    what: names the step in the log. Awaiting it raises Cancelled when the partition was given up, and whatever else
    `action` raises.
    """
    return (yield what, action)


def in_steps(
    work: Coroutine[Any, Any, T],
    *,
    who: str,
    backoff: Backoff,
    cancelled: threading.Event,
    status: Progress | None = None,
) -> Steps[T]:
    """Does work step by step; raises what the work raises.

    who: does the work, for the log; cancelled: set when the partition is given up; status: is told when a step fails
    and when it goes on, None for a command.
    """
    go_on: Callable[[], tuple[str, Callable[[], Any]]] = partial(work.send, None)
    while True:
        try:
            what, action = go_on()
        except StopIteration as end:
            return cast(T, end.value)
        delays, failures = backoff.delays(), 0
        while True:
            try:
                if cancelled.is_set():
                    raise Cancelled(what)
                result = action()
            except Pending as error:
                delay = min(next(delays), _PENDING_SECONDS)
                logger.debug("%s: %s is asked again in %.1f s: %s", who, what, delay, error)
            except Retriable as error:
                delay, failures = next(delays), failures + 1
                logger.warning("%s: %s failed (try %d, next in %.1f s): %s", who, what, failures, delay, error)
                if status is not None:
                    status.backing_off(work, what, error)
            except BaseException as error:  # noqa: BLE001 - raised where the work awaits the step
                go_on = partial(work.throw, error)
                break
            else:
                go_on = partial(work.send, result)
                if failures:
                    logger.info("%s: %s worked at try %d", who, what, failures + 1)
                break
            yield delay
        if failures and status is not None:
            status.goes_on(work)


@dataclass(frozen=True)
class Retry:
    """Runs work in the thread that calls it, which sleeps between two tries: for commands.

    who: does the work, for the log; cancelled: set when nobody waits for it any more.
    """

    who: str
    backoff: Backoff
    cancelled: threading.Event
    status: Progress | None = None

    def __call__(self, what: str, action: Callable[[], T]) -> T:
        """Runs one step. Raises Cancelled, and whatever else `action` raises."""

        async def one_step() -> T:
            return await attempt(what, action)

        return self.run(one_step())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs work of many steps to its end. Raises what the work raises."""
        steps = in_steps(work, who=self.who, backoff=self.backoff, cancelled=self.cancelled, status=self.status)
        while True:
            try:
                delay = next(steps)
            except StopIteration as end:
                return cast(T, end.value)
            self.cancelled.wait(delay)
