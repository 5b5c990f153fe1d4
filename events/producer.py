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


class KafkaUnavailable(Exception):
    """An event was refused: the queue is full, or Kafka has taken nothing for too long."""


@dataclass(frozen=True)
class DeliveryCounts:
    """What became of the events of this process so far (records)."""

    delivered: int
    failed: int
    waiting: int


class EventProducer:
    """Produces to Kafka in the background; one thread of its own serves delivery reports.

    config: librdkafka options, those of DEFAULTS may be overridden.
    away_seconds: when events have been waiting for so long with no delivery, further ones are refused.
    Raises KafkaException for an option that librdkafka does not know.
    """

    def __init__(self, config: Mapping[str, Any], *, away_seconds: float) -> None:
        self._producer = Producer(
            {**DEFAULTS, **config, "error_cb": _log_error},
            logger=logging.getLogger("events.librdkafka"),
        )
        self._away_seconds = away_seconds
        self._delivered = 0
        self._failed = 0
        self._progressed_at = time.monotonic()
        self._closed = threading.Event()
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

        on_delivery: called from the reports' thread, after the outcome was counted. Raises KafkaUnavailable.
        """
        waiting = len(self._producer)
        if waiting == 0:
            self._progressed_at = time.monotonic()
        elif time.monotonic() - self._progressed_at > self._away_seconds:
            raise KafkaUnavailable(f"Kafka has taken no event for {self._away_seconds:g} s; {waiting} wait")
        report = self._report if on_delivery is None else self._report_to(on_delivery)
        try:
            self._producer.produce(topic, value, key=key, headers=headers or None, on_delivery=report)
        except BufferError as error:
            raise KafkaUnavailable(f"the queue to Kafka is full ({waiting} events wait)") from error

    def counts(self) -> DeliveryCounts:
        """Deliveries so far."""
        return DeliveryCounts(self._delivered, self._failed, len(self._producer))

    def close(self, timeout: float) -> int:
        """Waits up to `timeout` seconds until everything is delivered; returns how many events were not."""
        self._closed.set()
        self._poller.join()
        undelivered: int = self._producer.flush(timeout)
        if undelivered:
            logger.error("%d events were not delivered to Kafka within %g s of shutdown", undelivered, timeout)
        return undelivered

    def _serve_reports(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(_POLL_SECONDS)

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is None:
            self._delivered += 1
            self._progressed_at = time.monotonic()
        else:
            self._failed += 1
            logger.error("event not delivered to %s: %s: %r", message.topic(), error.str(), message.value())

    def _report_to(self, on_delivery: DeliveryReport) -> DeliveryReport:
        def report(error: KafkaError | None, message: Message) -> None:
            self._report(error, message)
            on_delivery(error, message)

        return report


def check_options(config: Mapping[str, Any]) -> None:
    """Raises ValueError when librdkafka knows no such option or value; connects to nothing."""
    try:
        Producer({**DEFAULTS, **{key: value for key, value in config.items() if key != "bootstrap.servers"}})
    except KafkaException as error:
        raise ValueError(error.args[0].str()) from error
    except TypeError as error:
        raise ValueError(str(error)) from error


def _log_error(error: KafkaError) -> None:
    logger.warning("Kafka: %s", error.str())
