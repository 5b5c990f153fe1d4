"""What the practice page does with its own topic and consumer group."""

from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic
from django.utils.translation import gettext as _

from events.conf import events_settings
from kafka_client.clusters import kafka_cluster
from pipeline.conf import console_settings
from pipeline.console.pages import NotThere
from pipeline.console.topics.messages import Bounds, Reading, read_messages
from pipeline.errors import ServerError
from pipeline.guard import guard
from pipeline.kafka_reads import admin_client, server_error, server_name
from pipeline.offsets import PipelineTopic, Reader, offsets_in

GROUP = "console-practice"
PARTITIONS = 3
AT_A_TIME = 5
"""Records that one reading takes, of all partitions together, as kafka-console-consumer counts them."""


def practice_topic(cluster: str) -> PipelineTopic:
    """The practice topic with its group."""
    return PipelineTopic(cluster, console_settings().practice_topic, False, (Reader(GROUP, GROUP, cluster),))


def create_topic(cluster: str) -> bool:
    """Makes the practice topic; False when it is there already. Raises ServerError."""
    conf, timeout = console_settings(), console_settings().kafka_timeout_seconds
    new = NewTopic(conf.practice_topic, PARTITIONS, events_settings().topic_replication)
    with guard().read(server_name(cluster)):
        [future] = admin_client(kafka_cluster(cluster)).create_topics([new], request_timeout=timeout).values()
        try:
            future.result(timeout + 1)
        except (KafkaException, TimeoutError) as error:
            if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise server_error(cluster, error) from error
    return True


def consume(cluster: str) -> tuple[dict[int, int], dict[int, int]]:
    """Lets the practice group go on by some records: commits where it then is.

    Returns where it was and where it is, by partition. Raises ServerError.
    """
    topic = practice_topic(cluster)
    group = offsets_in(cluster, [topic]).groups[GROUP]
    if group.error is not None:
        raise ServerError(server_name(cluster), group.error)
    firsts, ends = _offsets(cluster, topic.name)
    begun = {n: min(max(group.committed.get((topic.name, n), firsts[n]), firsts[n]), end) for n, end in ends.items()}
    reached, left = {}, AT_A_TIME
    for number, offset in sorted(begun.items()):
        reached[number] = min(offset + left, ends[number])
        left -= reached[number] - offset
    _commit(cluster, topic.name, reached)
    return begun, reached


def start_over(cluster: str) -> None:
    """Lets the practice group begin again at the first records. Raises ServerError."""
    topic = console_settings().practice_topic
    firsts, _ends = _offsets(cluster, topic)
    _commit(cluster, topic, firsts)


def read_between(cluster: str, begun: Mapping[int, int], reached: Mapping[int, int]) -> Reading:
    """The records between two places of the practice group. Raises ServerError, NotThere."""
    conf = console_settings()
    firsts, ends = _offsets(cluster, conf.practice_topic)
    if unknown := sorted(begun.keys() - ends.keys()):
        raise NotThere(_("This topic has no partition {number}.").format(number=unknown[0]))
    ranges = {
        n: (max(first, firsts[n]), min(reached.get(n, first), first + AT_A_TIME, ends[n])) for n, first in begun.items()
    }
    bounds = Bounds(AT_A_TIME * len(ranges), conf.search_bytes, conf.search_seconds)
    with guard().read(server_name(cluster)):
        return read_messages(cluster, conf.practice_topic, ranges, bounds=bounds, keep=AT_A_TIME * len(ranges) + 1)


def _offsets(cluster: str, topic: str) -> tuple[dict[int, int], dict[int, int]]:
    """The first and the end offsets of a topic. Raises ServerError."""
    parts = offsets_in(cluster, [PipelineTopic(cluster, topic, False, ())]).topics.get(topic, [])
    for part in parts:
        if part.error is not None:
            raise ServerError(server_name(cluster), part.error)
    return {p.partition: p.first or 0 for p in parts}, {p.partition: p.end or 0 for p in parts}


def _commit(cluster: str, topic: str, offsets: Mapping[int, int]) -> None:
    if not offsets:
        return
    with guard().read(server_name(cluster)):
        consumer = Consumer({**kafka_cluster(cluster), "group.id": GROUP, "enable.auto.commit": False, "log_level": 0})
        places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]
        try:
            # A commit waits without a bound of its own for the group's coordinator; asking for offsets has one.
            consumer.committed(places, timeout=console_settings().kafka_timeout_seconds)
            for place in consumer.commit(offsets=places, asynchronous=False):
                if place.error is not None:
                    raise ServerError(server_name(cluster), place.error.str())
        except KafkaException as error:
            raise server_error(cluster, error) from error
        finally:
            consumer.close()
