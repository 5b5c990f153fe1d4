"""Copies of events that were rejected go to a topic of their own, as many as a rate allows. No Django here."""

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from events.counters import Counters
from events.metrics import BAD_EVENTS
from events.shortening import shortened
from kafka_client.log import repeating_logger
from kafka_client.producer import Record

loop_logger = repeating_logger(__name__)

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

    def note(self, given: object, reason: str, *, path: str, timestamp: str, user_agent: str) -> None:
        """An event, or a body (bytes), was rejected at `path` for `reason`. Never waits, never raises for Kafka."""
        if not (self._may_send() and self._send(given, reason, path, timestamp, user_agent)):
            self.counters.add((BAD_EVENTS, "dropped"))
            loop_logger.warning("bad events were left out of %s: too many, or Kafka does not take them", self.topic)

    def _send(self, given: object, reason: str, path: str, timestamp: str, user_agent: str) -> bool:
        try:
            value = given if isinstance(given, bytes) else json.dumps(given).encode()
        except (ValueError, RecursionError):  # a number of thousands of digits, thousands of brackets
            return False
        headers = [
            ("bad.reason", shortened(reason, _MAX_REASON).encode("utf-8", "replace")),
            ("bad.path", path.encode()),
            ("bad.timestamp", timestamp.encode()),
            ("bad.user_agent", user_agent.encode("utf-8", "replace")[:_MAX_AGENT_BYTES]),
        ]
        if len(value) > self.max_bytes:
            headers.append(("bad.size", b"%d" % len(value)))
        return bool(self.send([Record(self.topic, value[: self.max_bytes], headers)]))

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
