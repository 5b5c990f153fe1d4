"""What one process of the website has read from a server, for its other processes: kept in a cache of Django's."""

import hashlib
import time
import uuid
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import BaseCache, caches

from kafka_client.log import repeating_logger

logger = repeating_logger(__name__)

ALIAS = "console"
"""The entry of CACHES that holds the answers. Without it, each process reads for itself."""

BUSY_SECONDS = 15.0
"""A process waits for another one's read for so long at most. Then it reads for itself: the other may have died."""

ASK_AGAIN_SECONDS = 0.05

_GENERATION = "console-generation"


class Found(NamedTuple):
    """What was found of a question. name: changes when answers are forgotten; answer: None when there is none."""

    name: str
    answer: dict[str, Any] | None


class SharedAnswers:
    """Answers of all processes that reach the same cache. A cache that fails costs a read, never an answer.

    cache: returns it, for the calling thread; may raise, as when its folder can't be made.
    """

    def __init__(self, cache: Callable[[], BaseCache]) -> None:
        self._cache = cache

    def find(self, key: Hashable) -> Found:
        """Looks for the answer of another process to this question; waits for one that is reading now.

        Without an answer the caller is to read, and to `give` what it found.
        """
        name, answer = "", None
        with _that_may_fail():
            cache = self._cache()
            name = _name(cache, key)
            give_up_at = time.monotonic() + BUSY_SECONDS
            while (answer := cache.get(name)) is None:
                if cache.add(f"{name}-busy", True, BUSY_SECONDS) or time.monotonic() > give_up_at:
                    break
                time.sleep(ASK_AGAIN_SECONDS)
        return Found(name, answer)

    def give(self, name: str, answer: dict[str, Any], *, seconds: float) -> None:
        """Keeps an answer for the others, for so many seconds. name: under which `find` has looked before the read."""
        with _that_may_fail():
            cache = self._cache()
            try:
                cache.set(name, answer, seconds)
            finally:
                cache.delete(f"{name}-busy")

    def forget(self) -> None:
        """No answer that was read until now is found from now on."""
        with _that_may_fail():
            self._cache().set(_GENERATION, uuid.uuid4().hex, None)


@contextmanager
def _that_may_fail() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - each backend of a cache raises errors of its own
        logger.warning(
            'CACHES["%s"] failed (%s: %s): each process of the website reads for itself',
            ALIAS,
            type(error).__name__,
            error,
        )


def _name(cache: BaseCache, key: Hashable) -> str:
    question = f"{cache.get(_GENERATION)} {key!r}"
    return f"console-answer-{hashlib.sha256(question.encode()).hexdigest()}"


def shared_answers() -> SharedAnswers | None:
    """Those in the cache of the settings; None where they have none."""
    return SharedAnswers(lambda: caches[ALIAS]) if ALIAS in settings.CACHES else None
