"""Asks Kafka what sinks must know of a topic: whether it was made again, and the times of its records."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from kafka_client.log import client_logger
from sinks.errors import Retriable
from sinks.records import Partition

_SECONDS = 5.0

_END_OF_TIME = 2**42
"""No time is searched beyond it (ms; the year 2109)."""


class _Admin:
    """cluster: librdkafka options."""

    def __init__(self, cluster: Mapping[str, Any]) -> None:
        self._cluster = dict(cluster)
        self._admin: AdminClient | None = None

    def _ask(self, what: str, request: Callable[[AdminClient], dict[Any, Future[Any]]]) -> Any:
        admin = self._admin
        if admin is None:  # a client with nothing in its queue is false, too
            admin = AdminClient(self._cluster, logger=client_logger("sinks.librdkafka"))
        try:
            admin.poll(0)  # has it log
            (future,) = request(admin).values()
            answer = future.result(2 * _SECONDS)
        except (KafkaException, TimeoutError) as error:
            # The next try has a new client: one whose controller died waits for that one for minutes.
            if self._admin is admin:
                self._admin = None
            why = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
            raise Retriable(f"Kafka: {what}: {why}", reason="kafka") from error
        self._admin = admin
        return answer


class TopicIds(_Admin):
    """Called with a topic's name, gives its id (KIP-516). A topic that is made again has another id."""

    def __call__(self, topic: str) -> str:
        """Raises Retriable when Kafka does not answer."""
        what, topics = f"the id of topic {topic}", TopicCollection([topic])
        answer = self._ask(what, lambda admin: admin.describe_topics(topics, request_timeout=_SECONDS))
        return str(answer.topic_id)


class LatestTimes(_Admin):
    """Called with a partition and an offset, gives the latest time (ms) of the records below it, 0 for none."""

    def __call__(self, partition: Partition, offset: int) -> int:
        """Raises Retriable when Kafka does not answer."""
        latest, beyond = 0, _END_OF_TIME
        while beyond - latest > 1:
            middle = (latest + beyond) // 2
            if 0 <= self._first_offset_at(partition, middle) < offset:
                latest = middle
            else:
                beyond = middle
        return latest

    def _first_offset_at(self, partition: Partition, time: int) -> int:
        """Of the first record with this time or a later one; negative for none."""
        what, asked = f"the times of {partition}", {TopicPartition(*partition): OffsetSpec.for_timestamp(time)}
        answer = self._ask(what, lambda admin: admin.list_offsets(asked, request_timeout=_SECONDS))
        return int(answer.offset)
