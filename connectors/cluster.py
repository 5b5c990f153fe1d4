"""What the REST API asks Kafka itself."""

from functools import cache

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from connectors.conf import connectors_settings
from kafka_client.clusters import kafka_cluster
from kafka_client.log import client_logger

_SECONDS = 3.0


def cluster_id() -> str | None:
    """Kafka's own id of the cluster; None while it does not answer."""
    try:
        return _cluster_id(connectors_settings().kafka)
    except (KafkaException, TimeoutError):
        return None


@cache
def _cluster_id(alias: str) -> str:
    admin = AdminClient(kafka_cluster(alias), logger=client_logger("connectors.librdkafka"))
    return str(admin.describe_cluster(request_timeout=_SECONDS).result(_SECONDS).cluster_id)
