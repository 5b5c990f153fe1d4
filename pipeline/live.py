"""Reads for pages that ask every few seconds: a server that is slow or away holds no thread of the website.

Each server's reads go on a few threads of their own; who asks waits a moment and finds what is late later.
"""

import math
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from kafka_client.log import repeating_logger
from pipeline.errors import ServerError
from pipeline.shared_answers import SharedAnswers, shared_answers

logger = repeating_logger(__name__)

Answer = dict[str, Any]
"""What JSON can hold; `error` where the server could not be read."""

THREADS = 4
"""Reads of one server that go on at a time; fewer than the guard lets through."""

FRESH_SECONDS = 1.0
"""An answer so young is given to whoever asks the same."""

REST = 3.0
"""An answer also stays fresh for so many times as long as its read took: pages that ask again and again keep a server
busy with one question for a quarter of the time at most."""

MOST_FRESH_SECONDS = 15.0

FORGOTTEN_SECONDS = 60.0


@dataclass(frozen=True)
class Question:
    """Something to read. key: what is the same for the same question, in each process; server: whose threads read it.

    What it reads can be pickled.
    """

    key: Hashable
    server: str
    read: Callable[[], Answer]


class _Asked:
    """A read under way or done, with the seconds that it took.

    before: the answer of the read before it, if that was not long ago; was_given: somebody has its answer.
    """

    def __init__(self, future: "Future[tuple[Answer, float]]", at: float, before: "_Asked | None") -> None:
        self.future = future
        self.at = at
        self.was_given = False
        self._before = before.future.result() if before is not None else ({}, 0.0)
        self._before_at = before.at if before is not None else -math.inf

    def answer(self) -> Answer | None:
        """None while the server is being asked."""
        return self.future.result()[0] if self.future.done() else None

    def before(self, now: float) -> Answer | None:
        """The answer of the read before, None when that is too old."""
        answer, seconds = self._before
        return answer if now - self._before_at <= seconds + MOST_FRESH_SECONDS else None

    def is_fresh(self, now: float) -> bool:
        """Whether its answer is good enough for who asks now; one that nobody was given waits for who asked for it."""
        if not self.future.done():
            return True
        answer, seconds = self.future.result()
        return now - self.at <= seconds + (_fresh_seconds(answer, seconds) if self.was_given else MOST_FRESH_SECONDS)


def _fresh_seconds(answer: Answer, seconds: float) -> float:
    """For how long an answer is good enough for others, once its read of so many seconds has ended."""
    rest = 0.0 if "error" in answer else min(REST * seconds, MOST_FRESH_SECONDS)
    return max(rest, FRESH_SECONDS)


class LiveReads:
    """Answers questions of several pages with one read each.

    clock: monotonic seconds; shared: the answers of the website's other processes, None where each reads for itself.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, shared: SharedAnswers | None = None) -> None:
        self._clock = clock
        self._shared = shared
        self._lock = threading.Lock()
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._asked: dict[Hashable, _Asked] = {}

    def begin(self, questions: Iterable[Question]) -> None:
        """Starts to read what `answers` is soon asked for."""
        with self._lock:
            for question in questions:
                self._ask(question)

    def answers(
        self, questions: Mapping[str, Question], *, wait_seconds: float, or_before: bool = False
    ) -> dict[str, Answer | None]:
        """The answer to each question by its name, None to those that are still being read after so many seconds.

        or_before: in place of None the answer before, where there was one a moment ago.
        """
        with self._lock:
            self._forget_old()
            asked = {name: self._ask(question) for name, question in questions.items()}
        wait([read.future for read in asked.values()], timeout=wait_seconds)
        found: dict[str, Answer | None] = {}
        for name, read in asked.items():
            answer = read.answer()
            read.was_given = read.was_given or answer is not None
            found[name] = read.before(self._clock()) if answer is None and or_before else answer
        return found

    def forget(self) -> None:
        """What was read until now is not given to those who ask from now on: somebody has changed something."""
        with self._lock:
            self._asked.clear()
        if self._shared is not None:
            self._shared.forget()

    def _ask(self, question: Question) -> _Asked:
        asked, now = self._asked.get(question.key), self._clock()
        if asked is None or not asked.is_fresh(now):
            pool = self._pools.get(question.server)
            if pool is None:
                pool = self._pools[question.server] = ThreadPoolExecutor(THREADS, f"read-{question.server}")
            asked = self._asked[question.key] = _Asked(pool.submit(self._read, question), now, asked)
        return asked

    def _forget_old(self) -> None:
        now = self._clock()
        for key in [key for key, asked in self._asked.items() if now - asked.at > FORGOTTEN_SECONDS]:
            del self._asked[key]

    def _read(self, question: Question) -> tuple[Answer, float]:
        found = self._shared.find(question.key) if self._shared is not None else None
        if found is not None and found.answer is not None:
            return found.answer, 0.0
        begun = self._clock()
        answer = _answer(question.read)
        seconds = self._clock() - begun
        if self._shared is not None and found is not None:
            self._shared.give(found.name, answer, seconds=_fresh_seconds(answer, seconds))
        return answer, seconds


def _answer(read: Callable[[], Answer]) -> Answer:
    try:
        return read()
    except ServerError as error:
        return error.answer()
    except Exception as error:  # a mistake in one panel must not take the others from the page
        logger.exception("a panel could not be read")
        text = format_lazy("{error}. {more}", error=type(error).__name__, more=_("The log of the website has more."))
        return {"error": {"server": "Django", "text": text}}


@cache
def live_reads() -> LiveReads:
    """The reads of this process, made at their first use, so after a server's fork."""
    return LiveReads(shared=shared_answers())
