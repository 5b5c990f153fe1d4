"""What the REST API asks Kafka itself."""

from functools import cache

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from connectors.conf import connectors_settings
from kafka_client.clusters import kafka_cluster
from kafka_client.log import client_logger
from worker.errors import Fatal, Retriable

_SECONDS = 3.0
_MOVE_SECONDS = 10.0


def cluster_id() -> str | None:
    """Kafka's own id of the cluster; None while it does not answer."""
    try:
        return _cluster_id(connectors_settings().kafka)
    except (KafkaException, TimeoutError):
        return None


@cache
def _cluster_id(alias: str) -> str:
    admin = _admin(alias)  # lives until it has answered
    return str(admin.describe_cluster(request_timeout=_SECONDS).result(_SECONDS).cluster_id)


def _admin(alias: str) -> AdminClient:
    return AdminClient(kafka_cluster(alias), logger=client_logger("connectors.librdkafka"))


class GroupOffsets:
    """The committed offsets of a group without members."""

    def __init__(self, cluster: str, group: str) -> None:
        self._admin = _admin(cluster)
        self._group = group

    def move(self, topic: str, number: int, offset: int) -> None:
        """Commits an offset. Raises Fatal, for example when the group has members, and Retriable."""
        wish = ConsumerGroupTopicPartitions(self._group, [TopicPartition(topic, number, offset)])
        try:
            (future,) = self._admin.alter_consumer_group_offsets([wish], request_timeout=_MOVE_SECONDS).values()
            (done,) = future.result(_MOVE_SECONDS).topic_partitions
        except KafkaException as error:
            raise Fatal(f"Kafka: group {self._group}: {error.args[0].str()}") from error
        except TimeoutError as error:
            raise Retriable(f"Kafka: group {self._group}: no answer", reason="kafka") from error
        if done.error is not None:
            raise Fatal(f"Kafka: group {self._group}: {topic}-{number}: {done.error.str()}")
