"""Looks at the topics of a source before it uses them."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource

from kafka_client.log import client_logger
from sources.positions import Positions
from worker.errors import Fatal, Retriable

_SECONDS = 10.0


def check_positions_topic(cluster: Mapping[str, Any], positions: Positions) -> None:
    """Raises Fatal when positions would not be kept in the topic or not be found, Retriable when it is not there yet.

    cluster: librdkafka options.
    """
    topic = positions.topic
    admin = AdminClient(dict(cluster), logger=client_logger("sources.librdkafka"))
    try:
        found = admin.list_topics(topic, timeout=_SECONDS).topics[topic]
    except KafkaException as error:
        raise Retriable(f"Kafka: topic {topic}: {error.args[0].str()}", reason="kafka") from error
    if found.error is not None:
        raise Retriable(f"Kafka: topic {topic}: {found.error.str()}: run `manage.py setup_pipeline`", reason="kafka")
    positions.check_partitions(found.partitions)
    (answer,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
    try:
        policy = answer.result(_SECONDS)["cleanup.policy"].value
    except (KafkaException, TimeoutError) as error:
        why = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
        raise Retriable(f"Kafka: the settings of topic {topic}: {why}", reason="kafka") from error
    if policy != "compact":
        raise Fatal(
            f"topic {topic} has a cleanup.policy of {policy!r}: Kafka would delete old positions, and parts would be "
            "read again from their beginning; it must be 'compact'"
        )
