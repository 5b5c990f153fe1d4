"""The options of a stream's Kafka clients, and where a stream begins to read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaException, Producer, TopicPartition
from django.core.exceptions import ImproperlyConfigured

from kafka_client.clusters import kafka_cluster
from kafka_client.log import client_logger
from streams.config import StreamConfig
from worker.errors import Fatal, Retriable

# A process that was killed holds its partitions until the first of these has passed, and what it had sent hides later
# records of the same partitions from readers until the second one has.
_CONSUMER_DEFAULTS = {"session.timeout.ms": 10_000, "heartbeat.interval.ms": 2_000}
_PRODUCER_DEFAULTS = {
    "transaction.timeout.ms": 10_000,
    "linger.ms": 5,
    # Whatever the topics took, headers added; the broker has the last word.
    "message.max.bytes": 256 * 1024 * 1024,
}

_CONSUMER_REQUIRED = {"isolation.level": "read_committed"}
_PRODUCER_REQUIRED = {"acks": "all", "enable.idempotence": True}

_LEFT_TO_THE_CONSUMER = (
    *_CONSUMER_REQUIRED,
    *("group.id", "auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store"),
    "partition.assignment.strategy",
)
_LEFT_TO_THE_PRODUCER = (*_PRODUCER_REQUIRED, "transactional.id")

_SECONDS = 30.0


def consumer_options(config: StreamConfig) -> dict[str, Any]:
    """The librdkafka options of the consumer, but for the group and what Quix Streams sets itself."""
    return {**_CONSUMER_DEFAULTS, **kafka_cluster(config.kafka), **config.consumer, **_CONSUMER_REQUIRED}


def producer_options(config: StreamConfig) -> dict[str, Any]:
    """The librdkafka options of the producer, but for the transactional id."""
    return {**_PRODUCER_DEFAULTS, **kafka_cluster(config.kafka), **config.producer, **_PRODUCER_REQUIRED}


def check_kafka_options(config: StreamConfig) -> None:
    """Raises ImproperlyConfigured when librdkafka refuses the stream's options; connects to nothing."""
    where = f"STREAMS[{config.name!r}]"
    cluster = kafka_cluster(config.kafka)
    for options, given in ((_LEFT_TO_THE_PRODUCER, config.producer), (_LEFT_TO_THE_CONSUMER, config.consumer)):
        for option in options:
            if option in given or option in cluster:
                raise ImproperlyConfigured(f"{where}: {option} must be left to the stream, or counts could be wrong")
    nowhere = {"bootstrap.servers": "", "log_level": 0}
    try:
        Producer({**producer_options(config), **nowhere, "transactional.id": "check"})
        Consumer({**consumer_options(config), **nowhere, "group.id": "check"}).close()
    except KafkaException as error:
        raise ImproperlyConfigured(f"{where}: Kafka options: {error.args[0].str()}") from error
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: Kafka options: {error}") from error


def begin_at(config: StreamConfig, topics: Sequence[str], place: str | datetime) -> None:
    """Commits where the group of a stream begins to read. place: "earliest", "latest" or a moment.

    Raises Fatal when the group has read before: its state holds what it has read, so that reading it again would count
    twice, and leaving out would not be seen. Raises Retriable when Kafka does not answer.
    """
    consumer = Consumer(
        {**consumer_options(config), "group.id": config.group_id}, logger=client_logger("streams.librdkafka")
    )
    try:
        partitions = [tp for topic in topics for tp in _partitions(consumer, topic)]
        if any(tp.offset != OFFSET_INVALID for tp in consumer.committed(partitions, timeout=_SECONDS)):
            raise Fatal(
                f"the group {config.group_id} has begun already, and goes on where it was without --from; to read "
                f"anew, give STREAMS[{config.name!r}] another group, whose state is empty"
            )
        consumer.commit(offsets=_offsets(consumer, partitions, place), asynchronous=False)
    except KafkaException as error:
        raise Retriable(f"Kafka: {error.args[0].str()}", reason="kafka") from error
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[TopicPartition]:
    found = consumer.list_topics(topic, timeout=_SECONDS).topics[topic]
    if found.error is not None:
        raise Retriable(f"Kafka: topic {topic}: {found.error.str()}: run `manage.py setup_pipeline`", reason="kafka")
    return [TopicPartition(topic, number) for number in found.partitions]


def _offsets(consumer: Consumer, partitions: list[TopicPartition], place: str | datetime) -> list[TopicPartition]:
    ends = [consumer.get_watermark_offsets(tp, timeout=_SECONDS) for tp in partitions]
    if isinstance(place, datetime):
        moment = int(place.timestamp() * 1000)
        asked = [TopicPartition(tp.topic, tp.partition, moment) for tp in partitions]
        found = [tp.offset for tp in consumer.offsets_for_times(asked, timeout=_SECONDS)]
    else:
        found = [low if place == "earliest" else high for low, high in ends]
    # A moment after the last record has no offset: the end of the partition is meant.
    return [
        TopicPartition(tp.topic, tp.partition, offset if offset >= 0 else high)
        for tp, offset, (_, high) in zip(partitions, found, ends, strict=True)
    ]
