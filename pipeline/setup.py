"""Makes what the pipeline needs on its servers: topics, index templates and indices, HDFS folders."""

from collections.abc import Iterator

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

from events.conf import RECORD_OVERHEAD, EventsSettings, events_settings, kinds, largest_batch
from kafka_client.clusters import kafka_cluster
from kafka_client.log import client_logger
from sinks.config import SinkConfig
from sinks.errors import Fatal, Retriable
from sinks.registry import kind_of, sinks

KAFKA_SECONDS = 30.0


class SetupError(Exception):
    """A server is away, refuses, or would not take what it is going to get; the text names it."""


def set_up() -> Iterator[str]:
    """Makes what is missing and yields a line on each thing; repeating it does no harm. Raises SetupError."""
    events = events_settings()
    collected = {kind.topic for kind in kinds().values()} | {events.bad_events.topic} - {""}
    topics: dict[str, set[str]] = {events.kafka: set(collected)}
    for sink in sinks().values():
        topics.setdefault(sink.kafka, set()).update(sink.topics, sink.dead_letter_topics)
    for cluster, names in topics.items():
        yield from _make_topics(cluster, sorted(names), events)
    for sink in sinks().values():
        yield from _prepare_target(sink)
    yield from _check_sizes(sorted(collected), events)


def _make_topics(cluster: str, names: list[str], events: EventsSettings) -> Iterator[str]:
    admin = AdminClient(kafka_cluster(cluster), logger=client_logger("pipeline.librdkafka"))
    new = [
        NewTopic(name, num_partitions=events.topic_partitions, replication_factor=events.topic_replication)
        for name in names
    ]
    for name, future in admin.create_topics(new, request_timeout=KAFKA_SECONDS).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                brokers = kafka_cluster(cluster)["bootstrap.servers"]
                raise SetupError(f"Kafka ({cluster}, {brokers}): topic {name}: {error.args[0].str()}") from error
            yield f"Kafka topic {name}: there already"
        else:
            yield f"Kafka topic {name}: made, {events.topic_partitions} partitions"


def _check_sizes(topics: list[str], events: EventsSettings) -> Iterator[str]:
    """Raises SetupError when a topic takes less at once than the collector may send: all of it would be given up."""
    largest = largest_batch(events)
    cluster = kafka_cluster(events.kafka)
    admin = AdminClient(cluster, logger=client_logger("pipeline.librdkafka"))
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    for resource, future in admin.describe_configs(resources, request_timeout=KAFKA_SECONDS).items():
        try:
            limit = int(future.result()["max.message.bytes"].value)
        except KafkaException as error:
            yield f"Kafka topic {resource.name}: its max.message.bytes can't be read: {error.args[0].str()}"
            continue
        if limit < largest:
            raise SetupError(
                f"Kafka ({events.kafka}, {cluster['bootstrap.servers']}): topic {resource.name} has a "
                f"max.message.bytes of {limit}, and the collector sends up to {largest} bytes at once, which Kafka "
                f"would refuse for good: raise it, or set message.max.bytes in EVENTS_PRODUCER_OPTIONS to {limit} and "
                f"EVENTS_MAX_EVENT_BYTES to {limit - RECORD_OVERHEAD} at most"
            )


def _prepare_target(sink: SinkConfig) -> Iterator[str]:
    try:
        yield from kind_of(sink).prepare(sink)
    except (Fatal, Retriable) as error:
        raise SetupError(f"SINKS[{sink.name!r}]: {error}") from error
