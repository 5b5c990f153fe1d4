"""Copies of events that were rejected go to a topic of their own, as many as a rate allows. No Django here."""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from events.counters import Counters
from events.metrics import BAD_EVENTS
from events.shortening import shortened
from kafka_client.producer import Record

logger = logging.getLogger(__name__)

PREFIX = "bad."
"""The prefix of the headers that describe a bad event."""

_LOG_SECONDS = 60.0
_MAX_REASON = 1000
_MAX_AGENT_BYTES = 1000


@dataclass(eq=False)
class BadEvents:
    """Sends bad events.

    topic: the topic of bad events; per_second: the most copies that are sent in a second; max_bytes: a longer copy is
    cut off there; send: hands records to Kafka at once, and returns how many Kafka's client took; counters: of this
    process.

    The value of a copy is the rejected event as JSON, or the body where it is no JSON. The headers of a copy are
    bad.reason, bad.path, bad.timestamp and bad.user_agent, and where the value was cut off, bad.size: its full length
    in bytes.
    """

    topic: str
    per_second: float
    max_bytes: int
    send: Callable[[Sequence[Record]], int]
    counters: Counters
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._burst = self._tokens = max(1.0, self.per_second)
        self._filled_at = self.clock()
        self._dropped = 0
        self._told_at = -_LOG_SECONDS

    def note(self, given: object, reason: str, *, path: str, timestamp: str, user_agent: str) -> None:
        """An event, or a body (bytes), was rejected at `path` for `reason`. Never waits, never raises for Kafka."""
        if not self._may_send():
            self._drop()
            return
        try:
            value = given if isinstance(given, bytes) else json.dumps(given).encode()
        except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
            self._drop()
            return
        headers = [
            ("bad.reason", shortened(reason, _MAX_REASON).encode("utf-8", "replace")),
            ("bad.path", path.encode()),
            ("bad.timestamp", timestamp.encode()),
            ("bad.user_agent", user_agent.encode("utf-8", "replace")[:_MAX_AGENT_BYTES]),
        ]
        if len(value) > self.max_bytes:
            headers.append(("bad.size", b"%d" % len(value)))
        if not self.send([(self.topic, value[: self.max_bytes], headers)]):
            self._drop()

    def _may_send(self) -> bool:
        """A bucket of tokens."""
        with self._lock:
            now = self.clock()
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self.per_second)
            self._filled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def _drop(self) -> None:
        self.counters.add((BAD_EVENTS, "dropped"))
        with self._lock:
            self._dropped += 1
            if (now := self.clock()) - self._told_at < _LOG_SECONDS:
                return
            self._told_at = now
        logger.warning("bad events were left out of %s, %d so far", self.topic, self._dropped)
