"""Sends clicks to the pipeline at a pace, through the HTTP endpoint or by the endpoint's own code straight to Kafka."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Protocol

import urllib3

from events.process_collector import process_collector, process_delivery
from events.synthetic import Click

HTTP_SECONDS = 15.0
"""How long an answer of the endpoint is waited for."""

PATIENCE_SECONDS = 60.0
"""How long Kafka may take nothing before its events count as refused, or as undelivered."""

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5
_LOOK_SECONDS = 0.1


class Unreachable(Exception):
    """Nothing answers at the address."""


class Door(Protocol):
    """A way into the pipeline."""

    def send(self, click: Click) -> str | None:
        """None when the click was accepted, otherwise the reason why not. Raises Unreachable. Safe for threads."""

    def finish(self) -> int:
        """Waits until what was accepted is delivered; returns how many events were not."""


class HttpDoor:
    """The endpoint, over kept-alive connections."""

    def __init__(self, url: str, *, connections: int) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(maxsize=connections, block=True, retries=False, timeout=HTTP_SECONDS)
        self._has_answered = False

    def send(self, click: Click) -> str | None:
        """One GET; a server that has never answered is Unreachable."""
        try:
            response = self._pool.request(
                "GET",
                self._url,
                fields={"color": click.color, "user": click.user},
                headers={"User-Agent": click.user_agent},
            )
        except urllib3.exceptions.HTTPError as error:
            if not self._has_answered:
                raise Unreachable(f"{self._url} does not answer: {error}") from error
            time.sleep(_LONGEST_PAUSE)
            return f"no answer ({type(error).__name__})"
        self._has_answered = True
        if response.status == 202:
            return None
        return f"HTTP {response.status} {_reason(response.data)}".rstrip()

    def finish(self) -> int:
        """Nothing: the delivery is the server's."""
        self._pool.clear()
        return 0


class KafkaDoor:
    """This process's collector, without HTTP."""

    def __init__(self) -> None:
        self._collector = process_collector()
        self._delivery = process_delivery()
        self._failed_before = self._delivery.counts().failed

    def send(self, click: Click) -> str | None:
        """Waits and tries again while events are not taken."""
        pause = _SHORTEST_PAUSE
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self._collector.select({"color": click.color, "user": click.user}, user_agent=click.user_agent)
            if answer.status in (201, 202):
                return None
            if answer.status != 503 or time.monotonic() > deadline:
                return str(answer.body.get("detail") or answer.body.get("errors"))
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def finish(self) -> int:
        """Waits as long as Kafka takes events."""
        waiting = self._delivery.undelivered()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while waiting and time.monotonic() < deadline:
            time.sleep(_SHORTEST_PAUSE)
            if (now := self._delivery.undelivered()) < waiting:
                waiting = now
                deadline = time.monotonic() + PATIENCE_SECONDS
        return waiting + self._delivery.counts().failed - self._failed_before


@dataclass(eq=False)
class Schedule:
    """Deals out clicks, one at a time, when they are due. Safe for threads.

    count, seconds: the end, whichever comes first; rate: clicks per second, without one as fast as they are taken.
    """

    clicks: Iterator[Click]
    count: int | None = None
    seconds: float | None = None
    rate: float | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._started_at: float | None = None
        self._dealt = 0
        self._is_stopped = False

    def stop(self) -> None:
        """Ends it: no further click is dealt."""
        self._is_stopped = True

    def next_click(self) -> Click | None:
        """Waits until the next click is due; None at the end."""
        with self._lock:
            now = self.clock()
            if self._started_at is None:
                self._started_at = now
            due = self._started_at + self._dealt / self.rate if self.rate else now
            if self._is_stopped or (self.count is not None and self._dealt >= self.count):
                return None
            if self.seconds is not None and max(due, now) >= self._started_at + self.seconds:
                return None
            self._dealt += 1
            click = next(self.clicks)
        if due > now:
            self.sleep(due - now)
        return click


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
    schedule: Schedule, door: Door, *, threads: int, progress: Callable[[int], object] = lambda _: None
) -> Tally:
    """Sends every click of the schedule and waits for its delivery; an interrupt (Ctrl-C) ends it early.

    progress: called now and then with how many more were sent. Raises Unreachable.
    """
    tally = Tally()
    lock = threading.Lock()

    def work() -> None:
        while (click := schedule.next_click()) is not None:
            reason = door.send(click)
            with lock:
                if reason is None:
                    tally.accepted += 1
                else:
                    tally.refused[reason] += 1

    started_at = time.monotonic()
    shown = 0
    with ThreadPoolExecutor(threads) as pool:
        workers = [pool.submit(work) for _ in range(threads)]
        pending = set(workers)
        try:
            while pending:
                done, pending = wait(workers, timeout=_LOOK_SECONDS, return_when=FIRST_EXCEPTION)
                if any(worker.exception() for worker in done):
                    schedule.stop()
                sent = tally.sent
                progress(sent - shown)
                shown = sent
        except KeyboardInterrupt:
            schedule.stop()
    for worker in workers:
        worker.result()  # raises what ended it
    tally.undelivered = door.finish()
    tally.seconds = time.monotonic() - started_at
    return tally


def _reason(body: bytes) -> str:
    try:
        answer = json.loads(body)
        return str(answer.get("errors") or answer.get("detail") or "")
    except (ValueError, AttributeError):
        return ""
