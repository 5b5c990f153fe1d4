"""Records that a sink can't use go to a topic of their own, byte for byte, with the reason and their origin."""

import logging
import threading
from collections.abc import Sequence

from confluent_kafka import KafkaError, Message

from events.producer import EventProducer, KafkaUnavailable
from sinks.errors import Retriable
from sinks.records import Partition, Rejected

logger = logging.getLogger(__name__)

DELIVERY_SECONDS = 10.0
"""How long a round of dead letters may take before it is tried again."""


class DeadLetters:
    """Produces rejected records to the dead-letter topic of their topic.

    producer: one with acks=all; sink: its name, for the headers; topic: the dead-letter topic, in which
    `{topic}` stands for the record's own.

    The headers are the record's own and: dlq.reason, dlq.sink, dlq.topic, dlq.partition, dlq.offset, dlq.timestamp.
    """

    def __init__(self, producer: EventProducer, *, sink: str, topic: str) -> None:
        self._producer = producer
        self._sink = sink
        self._topic = topic

    def topic_for(self, topic: str) -> str:
        """The dead-letter topic of a topic."""
        return self._topic.replace("{topic}", topic)

    def deliver(self, partition: Partition, rejected: Sequence[Rejected]) -> None:
        """Returns once Kafka has acknowledged every one of them.

        Raises Retriable when Kafka did not; all may be delivered again then.
        """
        round_ = _Round(len(rejected))
        topic = self.topic_for(partition.topic)
        for record, reason in rejected:
            logger.warning("%s offset %d is a dead letter: %s", partition, record.offset, reason)
            headers = [
                *(record.headers or ()),
                ("dlq.reason", reason.encode()),
                ("dlq.sink", self._sink.encode()),
                ("dlq.topic", partition.topic.encode()),
                ("dlq.partition", b"%d" % partition.number),
                ("dlq.offset", b"%d" % record.offset),
                ("dlq.timestamp", b"%d" % record.timestamp),
            ]
            try:
                self._producer.produce(topic, record.value, key=record.key, headers=headers, on_delivery=round_.report)
            except KafkaUnavailable as error:
                raise Retriable(f"dead letters to {topic}: {error}") from error
        if not round_.complete.wait(DELIVERY_SECONDS):
            raise Retriable(f"dead letters to {topic}: no acknowledgement within {DELIVERY_SECONDS:g} s")
        if round_.error is not None:
            raise Retriable(f"dead letters to {topic}: {round_.error.str()}")


class _Round:
    """Waits for the delivery reports of one call."""

    def __init__(self, expected: int) -> None:
        self._missing = expected
        self._lock = threading.Lock()
        self.complete = threading.Event()
        self.error: KafkaError | None = None

    def report(self, error: KafkaError | None, _: Message) -> None:
        with self._lock:
            self.error = self.error or error
            self._missing -= 1
            if self._missing == 0:
                self.complete.set()
