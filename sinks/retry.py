"""The one way to try again: exponential backoff with jitter, until it works or the partition is given up."""

import logging
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sinks.errors import Cancelled, Retriable

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


def retry(action: Callable[[], Result], *, what: str, backoff: Backoff, cancelled: threading.Event) -> Result:
    """Calls `action` until it does not raise Retriable; returns its result.

    what: the step, for the log. Raises Cancelled as soon as `cancelled` is set, and whatever else `action` raises.
    """
    for attempt, delay in enumerate(backoff.delays(), start=1):
        if cancelled.is_set():
            raise Cancelled(what)
        try:
            result = action()
        except Retriable as error:
            logger.warning("%s failed (try %d, next in %.1f s): %s", what, attempt, delay, error)
            cancelled.wait(delay)
        else:
            if attempt > 1:
                logger.info("%s worked at try %d", what, attempt)
            return result
    raise AssertionError("delays() has no end")
