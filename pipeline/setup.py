"""Makes what the pipeline needs on its servers: topics, index templates and indices, HDFS folders."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, PartitionMetadata

from events.conf import RECORD_OVERHEAD, EventsSettings, events_settings, kinds, largest_batch
from kafka_client.clusters import kafka_cluster
from kafka_client.log import client_logger
from sinks.registry import kind_of, sinks
from sources.positions import POSITIONS_CONFIG
from sources.registry import kind_of as source_kind_of
from sources.registry import sources, topics_of
from streams.registry import streams
from worker.errors import Fatal, Retriable

KAFKA_SECONDS = 30.0
ASK_AGAIN_SECONDS = 0.1


class SetupError(Exception):
    """A server is away, refuses, or would not take what it is going to get; the text names it."""


def set_up(*, add_partitions: bool = False) -> Iterator[str]:
    """Makes what is missing and yields a line on each thing; repeating it does no harm. Raises SetupError.

    add_partitions: whether topics of events get further partitions where they have fewer than the settings say.
    """
    events = events_settings()
    collected = {kind.topic for kind in kinds().values()} | {events.bad_events.topic} - {""}
    topics: dict[str, set[str]] = {events.kafka: set(collected)}
    for sink in sinks().values():
        topics.setdefault(sink.kafka, set()).update(sink.topics, sink.dead_letter_topics)
    positions: dict[str, dict[str, int]] = {}
    for source in sources().values():
        topics.setdefault(source.kafka, set()).update(topics_of(source))
        positions.setdefault(source.kafka, {})[source.positions_topic] = source.positions_partitions
    for stream in streams().values():
        topics.setdefault(stream.config.kafka, set()).update(stream.topics)
    for cluster, of_cluster in positions.items():
        yield from _make_positions_topics(cluster, of_cluster, events.topic_replication)
    for cluster, names in topics.items():
        own = collected if cluster == events.kafka else set()
        yield from _make_topics(cluster, sorted(names), events, collected=own, add_partitions=add_partitions)
    failures = []
    for sink in sinks().values():
        try:
            yield from kind_of(sink).prepare(sink)
        except (Fatal, Retriable) as error:
            failures.append(f"SINKS[{sink.name!r}]: {error}")  # a store that is away keeps none of the others waiting
    for source in sources().values():
        try:
            yield from source_kind_of(source).prepare(source)
        except (Fatal, Retriable) as error:
            failures.append(f"SOURCES[{source.name!r}]: {error}")
    yield from _check_sizes(sorted(collected), events)
    if failures:
        raise SetupError("\n".join(failures))


def _make_topics(
    cluster: str, names: list[str], events: EventsSettings, *, collected: set[str], add_partitions: bool
) -> Iterator[str]:
    """collected: topics of events, whose records have no keys."""
    admin = AdminClient(kafka_cluster(cluster), logger=client_logger("pipeline.librdkafka"))
    new = [
        NewTopic(name, num_partitions=events.topic_partitions, replication_factor=events.topic_replication)
        for name in names
    ]
    for name, future in admin.create_topics(new, request_timeout=KAFKA_SECONDS).items():
        try:
            outcome = f"made, {events.topic_partitions} partitions"
            if not _was_made(future):
                outcome = _compare(admin, name, events, may_grow=name in collected, add_partitions=add_partitions)
        except KafkaException as error:
            brokers = kafka_cluster(cluster)["bootstrap.servers"]
            raise SetupError(f"Kafka ({cluster}, {brokers}): topic {name}: {error.args[0].str()}") from error
        yield f"Kafka topic {name}: {outcome}"


def _make_positions_topics(cluster: str, topics: Mapping[str, int], replication: int) -> Iterator[str]:
    """topics: how many partitions each must have."""
    admin = AdminClient(kafka_cluster(cluster), logger=client_logger("pipeline.librdkafka"))
    new = [NewTopic(*topic, replication_factor=replication, config=POSITIONS_CONFIG) for topic in topics.items()]
    for name, future in admin.create_topics(new, request_timeout=KAFKA_SECONDS).items():
        try:
            outcome = "made, compacted"
            if not _was_made(future):
                count = len(_partitions_of(admin, name))
                outcome = f"there already, {count} partitions"
                if count != topics[name]:
                    raise SetupError(
                        f"topic {name} has {count} partitions where positions_partitions is {topics[name]}"
                    )
        except KafkaException as error:
            brokers = kafka_cluster(cluster)["bootstrap.servers"]
            raise SetupError(f"Kafka ({cluster}, {brokers}): topic {name}: {error.args[0].str()}") from error
        yield f"Kafka topic {name}: {outcome}"


def _was_made(answer: Future[None]) -> bool:
    """Whether a topic was made, and was not there before. Raises KafkaException."""
    try:
        answer.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
        return False
    return True


def _partitions_of(admin: AdminClient, name: str) -> list[PartitionMetadata]:
    """Those of a topic that is there. Raises KafkaException.

    The broker denies for a moment that it knows a topic which another `setup_pipeline` has made just now.
    """
    give_up_at = time.monotonic() + KAFKA_SECONDS
    while (topic := admin.list_topics(name, timeout=KAFKA_SECONDS).topics[name]).error is not None:
        if time.monotonic() > give_up_at:
            raise KafkaException(topic.error)
        time.sleep(ASK_AGAIN_SECONDS)
    return list(topic.partitions.values())


def _compare(admin: AdminClient, name: str, events: EventsSettings, *, may_grow: bool, add_partitions: bool) -> str:
    """Tells where a topic that is there differs from the settings. Raises KafkaException.

    may_grow: whether partitions may be added. Where records have keys, those of one key would go to another partition.
    """
    parts = _partitions_of(admin, name)
    count, wanted = len(parts), events.topic_partitions
    found = f"there already, {count} partitions"
    if count < wanted and may_grow and add_partitions:
        (added,) = admin.create_partitions([NewPartitions(name, wanted)], request_timeout=KAFKA_SECONDS).values()
        added.result()
        found += f" made {wanted}"
    elif count != wanted:
        found += f" where EVENTS_TOPIC_PARTITIONS is {wanted}"
        if count > wanted:
            found += " (Kafka takes none away)"
        elif may_grow:
            found += " (setup_pipeline --add-partitions adds the others)"
    replicas = min(len(part.replicas) for part in parts)
    if replicas != events.topic_replication:
        found += f", {replicas} replicas of each where EVENTS_TOPIC_REPLICATION is {events.topic_replication}"
    return found


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
