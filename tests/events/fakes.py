"""Stands in for Kafka in tests of the doors."""

import json
from collections.abc import Sequence
from typing import Any

from events.counters import Counters
from events.delivery import Mode, Refusal
from kafka_client.producer import DeliveryCounts, Record


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
        return [(topic, value) for topic, value, _ in self.taken]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(value) for _, value, _ in self.taken]
