"""The one way to try again: exponential backoff with jitter, until it works or the partition is given up."""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sinks.errors import Cancelled, Pending, Retriable
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.states import PartitionStatus

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


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


class Retry:
    """Tries steps for one partition again until they work or it is given up.

    who: the task, for the log; cancelled: set when the partition is given up; status: shows that it backs off.
    """

    def __init__(
        self, who: str, backoff: Backoff, cancelled: threading.Event, status: PartitionStatus | None = None
    ) -> None:
        self._who = who
        self._backoff = backoff
        self._cancelled = cancelled
        self._status = status or PartitionStatus(Partition("", 0), SinkMetrics())

    def __call__(self, what: str, action: Callable[[], Result]) -> Result:
        """Calls `action` until it does not raise Retriable, of which Pending is no failure; returns its result.

        what: the step, for the log. Raises Cancelled when the partition was given up, and whatever else `action`
        raises.
        """
        has_failed = False
        try:
            for attempt, delay in enumerate(self._backoff.delays(), start=1):
                if self._cancelled.is_set():
                    raise Cancelled(what)
                try:
                    result = action()
                except Pending as error:
                    logger.debug("%s: %s is asked again in %.1f s: %s", self._who, what, delay, error)
                    self._cancelled.wait(delay)
                except Retriable as error:
                    has_failed = True
                    logger.warning("%s: %s failed (try %d, next in %.1f s): %s", self._who, what, attempt, delay, error)
                    self._status.backing_off(what, error, attempt)
                    self._cancelled.wait(delay)
                else:
                    if has_failed:
                        logger.info("%s: %s worked at try %d", self._who, what, attempt)
                    return result
            raise AssertionError("delays() has no end")
        finally:
            self._status.goes_on()
