"""Asks Kafka what sinks must know of a topic: whether it was made again, is compacted, and the times of its records."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, OffsetSpec

from kafka_client.log import client_logger
from sinks.records import Partition
from worker.errors import Retriable

_SECONDS = 5.0

_END_OF_TIME = 2**42
"""No time is searched beyond it (ms; the year 2109)."""


class TopicAdmin:
    """Asks a cluster about its topics. Every method raises Retriable when Kafka does not answer.

    cluster: librdkafka options.
    """

    def __init__(self, cluster: Mapping[str, Any]) -> None:
        self._cluster = dict(cluster)
        self._admin: AdminClient | None = None

    def topic_id(self, topic: str) -> str:
        """Kafka's own id of a topic (KIP-516). A topic that is made again has another id."""
        what, topics = f"the id of topic {topic}", TopicCollection([topic])
        answer = self._ask(what, lambda admin: admin.describe_topics(topics, request_timeout=_SECONDS))
        return str(answer.topic_id)

    def is_compacted(self, topic: str) -> bool:
        """Whether Kafka removes records of a topic once there are newer ones with their keys."""
        what, resource = f"settings of {topic}", ConfigResource(ConfigResource.Type.TOPIC, topic)
        found = self._ask(what, lambda admin: admin.describe_configs([resource], request_timeout=_SECONDS))
        return "compact" in found["cleanup.policy"].value.split(",")

    def latest_time(self, partition: Partition, offset: int) -> int:
        """The latest time (ms) of a partition's records below an offset, 0 for none."""
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
