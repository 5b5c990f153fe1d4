"""Stands in for Kafka in tests of the doors."""

import json
from typing import Any

from events.producer import KafkaUnavailable


class FakeProducer:
    """Keeps what is produced; refuses it while `refusal` is set."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes]] = []
        self.refusal: Exception | None = None

    def produce(self, topic: str, value: bytes | None) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert value is not None
        self.records.append((topic, value))

    def refuse(self, reason: str = "the queue to Kafka is full") -> None:
        self.refusal = KafkaUnavailable(reason)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(value) for _, value in self.records]
