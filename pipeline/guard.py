"""Keeps a server that hangs from holding all threads of the website."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

from django.utils.translation import ngettext

from pipeline.conf import console_settings
from pipeline.errors import ServerAway, ServerError


class Guard:
    """Lets a few reads of a server go on at a time, and none for some seconds after it was away.

    at_once: reads of one server; remember_seconds: how long its failure is the answer to further reads.
    """

    def __init__(self, *, at_once: int, remember_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._at_once = at_once
        self._remember_seconds = remember_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._reading: Counter[str] = Counter()
        self._away: dict[str, tuple[float, ServerAway]] = {}

    @contextmanager
    def read(self, server: str) -> Iterator[None]:
        """Around each read of a server; ServerAway raised inside is remembered, no other error.

        server: what identifies it in this process. Raises ServerError instead of reading.
        """
        self._enter(server)
        try:
            yield
        except ServerAway as error:
            with self._lock:
                self._away[server] = self._clock() + self._remember_seconds, error
            raise
        else:
            with self._lock:
                self._away.pop(server, None)
        finally:
            with self._lock:
                self._reading[server] -= 1

    def _enter(self, server: str) -> None:
        with self._lock:
            until, error = self._away.get(server, (0.0, None))
            if error is not None and self._clock() < until:
                raise ServerError(error.server, error.text)
            if self._reading[server] >= self._at_once:
                text = ngettext(
                    "{n} read of this process is waiting for it already",
                    "{n} reads of this process are waiting for it already",
                    self._at_once,
                )
                raise ServerError(server, text.format(n=self._at_once))
            self._reading[server] += 1


@cache
def guard() -> Guard:
    """The guard of this process."""
    conf = console_settings()
    return Guard(at_once=conf.reads_at_once, remember_seconds=conf.away_seconds)
