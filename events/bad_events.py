"""Copies of events that were rejected go to a topic of their own, as many as a rate allows. No Django here."""

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence

from events.counters import Counters
from events.metrics import BAD_EVENTS
from events.shortening import shortened
from kafka_client.producer import Record

logger = logging.getLogger(__name__)

PREFIX = "bad."
"""What the headers that tell of a bad event begin with."""

_LOG_SECONDS = 60.0
_MAX_REASON = 1000
_MAX_AGENT_BYTES = 1000


class BadEvents:
    """Sends bad events.

    topic: theirs; per_second: how many at most; max_bytes: of one, what is longer is cut off there; send: hands records
    to Kafka at once, or returns that it did not; counters: of this process.

    A record's value is what came: the event as JSON, or a body that is none. Its headers are bad.reason, bad.path,
    bad.timestamp and bad.user_agent, and bad.size, in bytes, where it was cut off.
    """

    def __init__(
        self,
        topic: str,
        *,
        per_second: float,
        max_bytes: int,
        send: Callable[[Sequence[Record]], int],
        counters: Counters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._topic = topic
        self._per_second = per_second
        self._max_bytes = max_bytes
        self._send = send
        self._counters = counters
        self._clock = clock
        self._lock = threading.Lock()
        self._burst = max(1.0, per_second)
        self._tokens = self._burst
        self._filled_at = clock()
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
        if len(value) > self._max_bytes:
            headers.append(("bad.size", b"%d" % len(value)))
        if not self._send([(self._topic, value[: self._max_bytes], headers)]):
            self._drop()

    def _may_send(self) -> bool:
        """A bucket of tokens."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
            self._filled_at = now
            if self._tokens < 1:
                return False
            self._tokens -= 1
            return True

    def _drop(self) -> None:
        self._counters.add((BAD_EVENTS, "dropped"))
        with self._lock:
            self._dropped += 1
            if (now := self._clock()) - self._told_at < _LOG_SECONDS:
                return
            self._told_at = now
        logger.warning("bad events were left out of %s, %d so far", self._topic, self._dropped)
