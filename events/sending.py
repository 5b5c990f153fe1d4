"""Sends clicks to the pipeline at a pace, through the HTTP endpoint or by the endpoint's own code straight to Kafka."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

import urllib3

from events.process_collector import process_collector, process_delivery
from events.synthetic import Click

HTTP_SECONDS = 15.0
"""How long an answer of the endpoint is waited for."""

PATIENCE_SECONDS = 60.0
"""How long Kafka may take nothing before its events count as refused, or as undelivered."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5


class Unreachable(Exception):
    """Nothing answers at the address."""


class HttpDoor:
    """The way into the pipeline by the endpoint, over kept-alive connections."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=connections, block=True, retries=False, timeout=HTTP_SECONDS)
        self._has_answered = False

    def send(self, click: Click) -> str | None:
        """None when the click was accepted, otherwise the reason why not. Raises Unreachable. Safe for threads."""
        try:
            fields = {"color": click.color, "user": click.user}
            response = self._pool.request("GET", self._url, fields=fields, headers={"User-Agent": click.user_agent})
        except urllib3.exceptions.HTTPError as error:
            if not self._has_answered:
                raise Unreachable(f"{self._url} does not answer: {error}") from error
            time.sleep(_LONGEST_PAUSE)
            return f"no answer ({type(error).__name__})"
        self._has_answered = True
        if response.status in (201, 202):
            return None
        reason = ""
        with suppress(ValueError, AttributeError):  # an answer that is not the collector's
            answer = response.json()
            reason = answer.get("errors") or answer.get("detail") or ""
        return f"HTTP {response.status} {reason}".rstrip()

    def finish(self) -> int:
        """How many accepted clicks were not delivered: none, the delivery is the server's."""
        self._pool.clear()
        return 0


class KafkaDoor:
    """The way into the pipeline by this process's collector, without HTTP."""

    def send(self, click: Click) -> str | None:
        """As HttpDoor; waits and tries again while events are not taken."""
        pause = _SHORTEST_PAUSE
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = process_collector().select({"color": click.color, "user": click.user}, user_agent=click.user_agent)
            if answer.status in (201, 202):
                return None
            if answer.status != 503 or time.monotonic() > deadline:
                return str(answer.body.get("detail") or answer.body.get("errors"))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def finish(self) -> int:
        """Waits as long as Kafka takes events; returns how many accepted clicks were not delivered."""
        delivery = process_delivery()
        waiting = delivery.undelivered()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waiting and time.monotonic() < deadline:
            time.sleep(_SHORTEST_PAUSE)
            if (now := delivery.undelivered()) < waiting:
                waiting = now
                deadline = time.monotonic() + PATIENCE_SECONDS
        return waiting + delivery.counts().failed


def paced(
    clicks: Iterator[Click], *, count: int | None = None, seconds: float | None = None, rate: float | None = None
) -> Generator[Click]:
    """Yields each click when it is due.

    count, seconds: the end, whichever comes first; rate: clicks per second, without one as fast as they are taken.
    """
    started_at = time.monotonic()
    for number, click in enumerate(islice(clicks, count)):
        now = time.monotonic()
        due = started_at + number / rate if rate else now
        if seconds is not None and max(due, now) >= started_at + seconds:
            return
        if due > now:
            time.sleep(due - now)
        yield click


Door = HttpDoor | KafkaDoor


@dataclass
class Tally:
    """How the clicks of a run fared."""

    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    undelivered: int = 0
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        """Clicks that came to an end, either way."""
        return self.accepted + self.refused.total()


def send_all(
    clicks: Generator[Click], door: Door, *, threads: int, progress: Callable[[int], object] = lambda _: None
) -> Tally:
    """Sends every click and waits for its delivery; an interrupt (Ctrl-C) ends it early.

    progress: called with how many more were sent. Raises Unreachable.
    """
    tally = Tally()
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:  # also while the next click is not due yet: then none is
                click = next(clicks, None)
            if click is None:
                return
            reason = door.send(click)
            with lock:
                if reason is None:
                    tally.accepted += 1
                else:
                    tally.refused[reason] += 1
                progress(1)

    started_at = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(work) for _ in range(threads)]
        with suppress(KeyboardInterrupt):
            wait(workers, return_when=FIRST_EXCEPTION)
        with lock:
            clicks.close()
    for worker in workers:
        worker.result()  # raises what ended it
    tally.undelivered = door.finish()
    tally.seconds = time.monotonic() - started_at
    return tally
