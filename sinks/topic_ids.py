"""Asks Kafka for the identity of a topic: it changes when a topic is deleted and made again under the same name."""

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from kafka_client.log import client_logger
from sinks.errors import Retriable

_SECONDS = 5.0


class TopicIds:
    """Called with a topic's name, gives its id (KIP-516).

    cluster: librdkafka options.
    """

    def __init__(self, cluster: Mapping[str, Any]) -> None:
        self._cluster = dict(cluster)
        self._admin: AdminClient | None = None

    def __call__(self, topic: str) -> str:
        """Raises Retriable when Kafka does not answer."""
        admin = self._admin
        if admin is None:  # a client with nothing in its queue is false, too
            admin = AdminClient(self._cluster, logger=client_logger("sinks.librdkafka"))
        try:
            admin.poll(0)  # has it log
            (future,) = admin.describe_topics(TopicCollection([topic]), request_timeout=_SECONDS).values()
            topic_id = str(future.result(2 * _SECONDS).topic_id)
        except (KafkaException, TimeoutError) as error:
            # The next try has a new client: one whose controller died waits for that one for minutes.
            if self._admin is admin:
                self._admin = None
            why = error.args[0].str() if isinstance(error, KafkaException) else "no answer"
            raise Retriable(f"Kafka: the id of topic {topic}: {why}", reason="kafka") from error
        self._admin = admin
        return topic_id
