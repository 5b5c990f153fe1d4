"""Stands in for Kafka: for what the doors collect, and as the producer of delivery and feeder."""

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from events.counters import Counters
from events.delivery import Mode, Refusal
from kafka_client.producer import DeliveryCounts, Record, TopicUnavailable


class FakeDelivery:
    """Keeps what it takes; while `refusal` is set it refuses, from record `refuses_from` of a batch on."""

    def __init__(self) -> None:
        self.taken: list[Record] = []
        self.bad: list[Record] = []
        self.takes_bad = True
        self.counters = Counters(None)
        self.modes: list[Mode] = []
        self.refusal: str | Exception | None = None
        self.refuses_from = 0

    def take(self, records: Sequence[Record], mode: Mode) -> Refusal | None:
        if isinstance(self.refusal, Exception):
            raise self.refusal
        count = len(records) if self.refusal is None else self.refuses_from
        self.taken += records[:count]
        self.modes.append(mode)
        return None if self.refusal is None else Refusal(range(count, len(records)), self.refusal)

    def send_bad(self, records: Sequence[Record]) -> int:
        if not self.takes_bad:
            return 0
        self.bad += records
        return len(records)

    def counts(self) -> DeliveryCounts:
        return DeliveryCounts(len(self.taken), 0, 0, 0)

    def undelivered(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def refuse(self, reason: str = "the spool is full") -> None:
        self.refusal = reason

    @property
    def records(self) -> list[tuple[str, bytes]]:
        return [(record.topic, record.value or b"") for record in self.taken]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(value) for _, value in self.records]


class FakeProducer:
    """A producer that delivers at once.

    missing: topics that Kafka does not have: it says so at once, or, with `code`, in the report. silent: topics whose
    records have no report before `time_out`. A value longer than `largest` is never taken.
    """

    is_away = False
    largest = 1000

    def __init__(self, *missing: str, code: int | None = None) -> None:
        self.missing = set(missing)
        self.code = code
        self.silent: set[str] = set()
        self.is_reached = True
        self.asked: list[str] = []
        self.delivered: list[tuple[str, bytes | None]] = []
        self._waiting: list[Callable[..., None]] = []
        self._lock = threading.Lock()

    def produce(self, topic: str, value: bytes, *, on_delivery: Callable[..., None], **_: object) -> None:
        with self._lock:
            self.asked.append(topic)
            if len(value) > self.largest:
                raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
            if topic in self.missing and self.code is None:
                raise TopicUnavailable("Unknown topic")
            if topic in self.silent:
                self._waiting.append(on_delivery)
                return
            if topic not in self.missing:
                self.delivered.append((topic, value))
        on_delivery(KafkaError(self.code) if topic in self.missing else None, None)

    def produce_all(self, records: Sequence[Record]) -> list[int]:
        with self._lock:
            left = [index for index, record in enumerate(records) if record.topic in self.missing]
            self.delivered += [(each.topic, each.value) for each in records if each.topic not in self.missing]
        return left

    def time_out(self) -> int:
        """Gives the records that wait back; returns how many."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for on_delivery in waiting:
            on_delivery(KafkaError(KafkaError._MSG_TIMED_OUT), None)
        return len(waiting)

    def close(self, timeout: float) -> None:
        pass
