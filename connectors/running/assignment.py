"""Which slots this worker has: Kafka's group protocol shares the partitions of a topic without records.

The topic has a partition for each slot, and every task of a connector has a slot. Kafka's assignor `roundrobin` gives
partition p to worker p modulo their number; so tasks, which fill the slots from the lowest on, are spread evenly
whatever their number is. A worker that dies is missed by Kafka after its session, and its slots go to the others.

Two workers may run one task for a moment. That does no harm: sinks and sources are themselves members of groups of
Kafka, which fence each other in the store. So a worker keeps its tasks while the group forms anew, and also while
Kafka is away, and stops only those that it does not get again.
"""

import logging
import threading
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from connectors.conf import ConnectorsSettings
from kafka_client.clusters import kafka_cluster
from kafka_client.log import Outage, client_logger
from worker.errors import Fatal, Retriable

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_SECONDS = 10.0
_AWAY = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError.REQUEST_TIMED_OUT}


class Assignment:
    """A member of the group of workers. settings: name group, topic and slots; client: names it in Kafka's lists."""

    def __init__(self, settings: ConnectorsSettings, client: str) -> None:
        self._settings = settings
        self._client = client
        self._slots: frozenset[int] = frozenset()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name="assignment", daemon=True)

    @property
    def slots(self) -> frozenset[int]:
        """Those of this worker now."""
        return self._slots

    @property
    def is_alive(self) -> bool:
        """Whether it still takes part; it does until `leave`, unless an error that nobody has foreseen ends it."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    def leave(self) -> None:
        """Leaves the group at once: the other workers get the slots while this one still stores what it has."""
        self._leaving.set()
        self._thread.join(_SECONDS)

    def _run(self) -> None:
        outage = Outage(logger, "the tasks go on")
        milliseconds = int(self._settings.session_seconds * 1000)
        config = {
            **kafka_cluster(self._settings.kafka),
            "group.id": self._settings.group,
            "client.id": self._client,
            "partition.assignment.strategy": "roundrobin",
            "session.timeout.ms": milliseconds,
            "heartbeat.interval.ms": max(300, milliseconds // 6),
            "enable.auto.commit": False,
            "error_cb": outage.note,
        }
        consumer = Consumer(config, logger=client_logger("connectors.librdkafka"))
        consumer.subscribe([self._settings.topic], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke)
        while not self._leaving.is_set():
            message = consumer.poll(_POLL_SECONDS)
            if message is not None and (error := message.error()) is not None:
                outage.note(error)  # for example that the group or the topic is forbidden
        consumer.close()

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        slots = frozenset(partition.partition for partition in partitions)
        if slots != self._slots:
            logger.info("this worker has %d of %d slots", len(slots), self._settings.slots)
        self._slots = slots
        consumer.assign(partitions)
        consumer.pause(partitions)

    def _revoke(self, consumer: Consumer, _: list[TopicPartition]) -> None:
        consumer.unassign()


def make_topics(cluster: str, topics: dict[str, int], *, replication: int, config: dict[str, str]) -> None:
    """Makes the topics that are missing, with so many partitions each. Raises Retriable and Fatal."""
    admin = AdminClient(kafka_cluster(cluster), logger=client_logger("connectors.librdkafka"))
    new = [NewTopic(name, count, replication, config=config) for name, count in topics.items()]
    for name, future in admin.create_topics(new, request_timeout=_SECONDS).items():
        try:
            future.result(2 * _SECONDS)
            logger.info("made topic %s with %d partitions", name, topics[name])
        except KafkaException as error:
            _check(name, error.args[0])
        except TimeoutError as error:
            raise Retriable(f"Kafka: topic {name}: no answer", reason="kafka") from error


def prepare(settings: ConnectorsSettings, *, replication: int) -> None:
    """Makes the topic of the slots. Raises Retriable, and Fatal where it has another number of partitions."""
    make_topics(settings.kafka, {settings.topic: settings.slots}, replication=replication, config={})
    admin = AdminClient(kafka_cluster(settings.kafka), logger=client_logger("connectors.librdkafka"))
    try:
        found: Any = admin.list_topics(settings.topic, timeout=_SECONDS).topics[settings.topic]
    except KafkaException as error:
        raise Retriable(f"Kafka: {error.args[0].str()}", reason="kafka") from error
    if found.error is not None:
        raise Retriable(f"Kafka: topic {settings.topic}: {found.error.str()}", reason="kafka")
    if len(found.partitions) != settings.slots:
        raise Fatal(
            f"topic {settings.topic} has {len(found.partitions)} partitions where CONNECTORS['slots'] is "
            f"{settings.slots}: tasks of the others would run nowhere"
        )


def _check(name: str, error: KafkaError) -> None:
    if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
        return
    text = f"Kafka: topic {name}: {error.str()}"
    if error.retriable() or error.code() in (
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError.REQUEST_TIMED_OUT,
    ):
        raise Retriable(text, reason="kafka")
    raise Fatal(text)
