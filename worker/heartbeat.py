"""Tells the project's database every few seconds what a process is doing, and asks what operators want of it.

The process does not depend on it: a thread of its own talks to the database, and one that is away is asked again later.
"""

import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection

logger = logging.getLogger(__name__)


class Heartbeat(ABC):
    """The thread that reports for a process.

    name: of the sink or source; every_seconds: between two beats.
    """

    def __init__(self, name: str, every_seconds: float) -> None:
        self._name = name
        self._every_seconds = every_seconds
        self.host = socket.gethostname()  # once: a host that gets another name is no other process
        self._failures: dict[str, tuple[type[Exception], str]] = {}  # the latest of each part of a beat that fails
        self._first = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-heartbeat", daemon=True)

    @abstractmethod
    def parts(self, *, stopped: bool) -> Iterable[tuple[str, Callable[[], None]]]:
        """What one beat does: what each part is for (it follows "can't" in the log), and its action.

        stopped: this is the last beat of the process.
        """

    def start(self, *, wait_seconds: float) -> None:
        """Starts the thread. Waits at most this long for the first beat, which fetches what operators want."""
        self._thread.start()
        if not self._first.wait(wait_seconds):
            logger.warning("%s: the database has not answered: starts without knowing what operators want", self._name)

    def stop(self, *, wait_seconds: float) -> None:
        """Reports a last time that the process stops. Waits at most this many seconds for the database."""
        self._leaving.set()
        self._thread.join(wait_seconds)

    def beat(self, *, stopped: bool = False) -> None:
        """Does each part once. A part that fails is tried again with the next beat, and stops no other part."""
        for what, part in self.parts(stopped=stopped):
            self._attempt(what, part)

    def _run(self) -> None:
        while True:
            stopped = self._leaving.is_set()
            self.beat(stopped=stopped)
            self._first.set()
            if stopped:
                return
            self._leaving.wait(self._every_seconds)

    def _attempt(self, what: str, part: Callable[[], None]) -> None:
        try:
            part()
        except (DatabaseError, ImproperlyConfigured) as error:
            if self._is_new(what, error):
                text = "%s: can't %s, the database says: %s; tries on, the work goes on"
                logger.warning(text, self._name, what, error)
            with suppress(DatabaseError):
                connection.close()  # it may be broken: the next query makes a new one
        except Exception as error:
            if self._is_new(what, error):
                logger.exception("%s: can't %s, by an unexpected error; tries on, the work goes on", self._name, what)
        else:
            if self._failures.pop(what, None) and not self._failures:
                logger.info("%s: reports to the database and asks it again", self._name)

    def _is_new(self, what: str, error: Exception) -> bool:
        """Notes a failure. Says whether it is to be told: neither this part nor another one has failed so before."""
        cause = type(error), str(error)
        of_part, _ = self._failures.get(what, (None, ""))
        is_known = of_part is type(error) or cause in self._failures.values()
        self._failures[what] = cause
        return not is_known
