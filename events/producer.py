"""The Kafka producer of one process: never waits for Kafka, counts every delivery, says no when it can't keep up.

No Django here: sinks use it for their dead letters too.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from events.kafka_log import Outage, client_logger

logger = logging.getLogger(__name__)

Headers = list[tuple[str, bytes]]
DeliveryReport = Callable[[KafkaError | None, Message], None]

DEFAULTS: dict[str, Any] = {
    "acks": 1,
    # What waits for Kafka is bounded; above it, produce() refuses.
    "queue.buffering.max.kbytes": 64 * 1024,
    "queue.buffering.max.messages": 100_000,
    "linger.ms": 5,
}
"""librdkafka options that the settings may override; everything else is librdkafka's default."""

_POLL_SECONDS = 0.1
_PURGE_SECONDS = 5.0


class KafkaUnavailable(Exception):
    """An event was refused: the queue is full, or Kafka has taken nothing for too long."""


@dataclass(frozen=True)
class DeliveryCounts:
    """What became of the events of this process so far (records)."""

    delivered: int
    failed: int
    refused: int
    waiting: int


class EventProducer:
    """Produces to Kafka in the background; one thread of its own serves delivery reports. Made without connecting.

    config: librdkafka options, those of DEFAULTS may be overridden.
    away_seconds: when events have been waiting for so long (beyond linger) with no delivery, further ones are refused.
    Raises KafkaException for an option that librdkafka does not know.
    """

    def __init__(self, config: Mapping[str, Any], *, away_seconds: float) -> None:
        options = {**DEFAULTS, **config}
        self._outage = Outage(logger, "events wait for it")
        self._producer = Producer({**options, "error_cb": self._outage.note}, logger=client_logger("events.librdkafka"))
        linger = options.get("queue.buffering.max.ms", options["linger.ms"])  # the same option by its older name
        self._away_seconds = away_seconds
        self._linger_seconds = float(linger) / 1000
        # Only the thread that serves reports writes these: the poller, then the closer once the poller has ended.
        self._delivered = 0
        self._failed = 0
        # Callers' threads write these, under the lock.
        self._lock = threading.Lock()
        self._refused = 0
        self._is_refusing = False
        self._is_closed = False
        # Both kinds of threads set this to "now", whoever is last.
        self._progressed_at = time.monotonic()
        self._stop_polling = threading.Event()
        self._poller = threading.Thread(target=self._serve_reports, name="kafka-delivery-reports", daemon=True)
        self._poller.start()

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        on_delivery: DeliveryReport | None = None,
    ) -> None:
        """Hands one record to librdkafka and returns at once.

        on_delivery: called from the reports' thread, after the outcome was counted. Raises KafkaUnavailable, and
        KafkaException for a record that librdkafka will never take (too large).
        """
        report = self._report if on_delivery is None else self._report_to(on_delivery)
        # The lock makes close() exact: a record is either refused or in the queue before the last flush begins.
        with self._lock:
            waiting = len(self._producer)
            if self._is_closed:
                raise self._refusal("the producer is closed")
            if waiting == 0:
                self._progressed_at = time.monotonic()
            elif time.monotonic() - self._progressed_at > self._away_seconds + self._linger_seconds:
                raise self._refusal(f"Kafka has taken no event for {self._away_seconds:g} s")
            try:
                self._producer.produce(topic, value, key=key, headers=headers or None, on_delivery=report)
            except BufferError:
                raise self._refusal("the queue to Kafka is full") from None
            except KafkaException as error:
                if error.args[0].code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    raise
                raise self._refusal(error.args[0].str()) from error
            if self._is_refusing:
                self._is_refusing = False
                logger.info("events are taken again; %d were refused so far", self._refused)

    def counts(self) -> DeliveryCounts:
        """Deliveries so far."""
        return DeliveryCounts(self._delivered, self._failed, self._refused, len(self._producer))

    @property
    def is_closed(self) -> bool:
        """Whether close() was called: every further event is refused."""
        return self._is_closed

    def close(self, timeout: float) -> int:
        """Refuses further events and waits up to `timeout` seconds for the delivery of those that wait.

        Returns how many were not delivered by then.
        """
        with self._lock:
            self._is_closed = True
        self._stop_polling.set()
        self._poller.join()
        undelivered: int = self._producer.flush(timeout)
        if undelivered:
            logger.error("%d events were not delivered to Kafka within %g s of shutdown:", undelivered, timeout)
            # Fails each of them, so that it is counted and logged.
            self._producer.purge()
            self._producer.flush(_PURGE_SECONDS)
        return undelivered

    def _refusal(self, reason: str) -> KafkaUnavailable:
        self._refused += 1
        if not self._is_refusing:
            self._is_refusing = True
            logger.error("events are refused: %s; %d wait", reason, len(self._producer))
        return KafkaUnavailable(reason)

    def _serve_reports(self) -> None:
        while not self._stop_polling.is_set():
            try:
                self._producer.poll(_POLL_SECONDS)
            except Exception:
                # One on_delivery that fails must not end the reports of all others.
                logger.exception("a delivery report could not be handled")

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
            self._progressed_at = time.monotonic()
            self._outage.over("it takes events again")
        else:
            self._failed += 1
            value = (message.value() or b"").decode(errors="backslashreplace")
            logger.error("event not delivered to %s: %s: %r", message.topic(), error.str(), value)

    def _report_to(self, on_delivery: DeliveryReport) -> DeliveryReport:
        def report(error: KafkaError | None, message: Message) -> None:
            self._report(error, message)
            on_delivery(error, message)

        return report


def check_options(config: Mapping[str, Any]) -> None:
    """Raises ValueError when librdkafka knows no such option or value; connects to nothing."""
    options = {key: value for key, value in config.items() if key != "bootstrap.servers"}
    try:
        Producer({**DEFAULTS, **options, "log_level": 0})
    except KafkaException as error:
        raise ValueError(error.args[0].str()) from error
    except TypeError as error:
        raise ValueError(str(error)) from error
