"""What a cluster says of its topics: partitions and their replicas, offsets, settings."""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import ConfigResource, ConfigSource
from django.utils.translation import gettext as _

from events.conf import events_settings
from kafka_client.clusters import kafka_cluster
from pipeline.conf import console_settings
from pipeline.console.pages import NotThere
from pipeline.console.paging import Part, part_of
from pipeline.guard import guard
from pipeline.kafka_reads import (
    PartitionOffsets,
    Replicas,
    Topics,
    admin_client,
    describe_topics,
    list_topics,
    read_offsets,
    server_error,
    server_name,
)
from pipeline.lag import total
from sinks.registry import sinks

_MAX_PARTITIONS = 2000
"""Of one page: beyond, topics are listed without their offsets."""


@dataclass(frozen=True)
class TopicSummary:
    """A topic in the list.

    replicas: of each partition, the fewest. lacking: partitions with a replica that is not in sync. offsets: how many
    lie between the first and the end, None when not known; there may be fewer records.
    """

    name: str
    partitions: int
    replicas: int
    lacking: int
    offsets: int | None
    is_internal: bool
    sinks: tuple[str, ...]
    is_events: bool
    is_dead_letters: bool


def partition_numbers(cluster: str, topic: str) -> list[int]:
    """The partitions of a topic; none when it does not exist. Raises ServerError."""
    with guard().read(server_name(cluster)):
        known = describe_topics(cluster, [topic], timeout=console_settings().kafka_timeout_seconds)
    return list(known.get(topic, ()))


def topic_summaries(cluster: str, *, text: str = "", with_internal: bool = False, page: int = 1) -> Part[TopicSummary]:
    """A page of a cluster's topics, those of the pipeline first. Raises ServerError.

    text: in the name, capital and small letters are the same. Offsets are read for the topics of the page alone.
    """
    timeout = console_settings().kafka_timeout_seconds
    events = events_settings()
    readers = [sink for sink in sinks().values() if sink.kafka == cluster]
    read = {topic for sink in readers for topic in sink.topics}
    dead = {topic for sink in readers for topic in sink.dead_letter_topics}

    def place(name: str) -> tuple[bool, bool, bool, bool, str]:
        is_events = (cluster, name) == (events.kafka, events.topic)
        return _is_internal(name), not is_events, name not in read, name not in dead, name

    with guard().read(server_name(cluster)):
        known = list_topics(cluster, timeout=timeout)
        found = [
            name for name in known if text.casefold() in name.casefold() and (with_internal or not _is_internal(name))
        ]
        shown = part_of(sorted(found, key=place), page, console_settings().records)
        counted = _counted(shown.items, known)
        offsets = read_offsets(cluster, topics=counted, groups={}, timeout=timeout, known=known).topics

    def summary(name: str) -> TopicSummary:
        partitions = known[name].values()
        return TopicSummary(
            name=name,
            partitions=len(partitions),
            replicas=min((len(part.all) for part in partitions), default=0),
            lacking=sum(bool(part.lacking) for part in partitions),
            offsets=total(part.held for part in offsets.get(name, [])),
            is_internal=_is_internal(name),
            sinks=tuple(sink.name for sink in readers if name in sink.topics),
            is_events=(cluster, name) == (events.kafka, events.topic),
            is_dead_letters=name in dead,
        )

    return Part([summary(name) for name in shown.items], shown.number, shown.total, shown.size)


def _is_internal(name: str) -> bool:
    return name.startswith("__")


def partition_states(cluster: str, topic: str) -> list[tuple[PartitionOffsets, Replicas]]:
    """The partitions of a topic, and who has them; none when it does not exist. Raises ServerError."""
    timeout = console_settings().kafka_timeout_seconds
    with guard().read(server_name(cluster)):
        known = describe_topics(cluster, [topic], timeout=timeout)
        offsets = read_offsets(cluster, topics=known, groups={}, timeout=timeout, known=known).topics
    return [(part, known[topic][part.partition]) for part in offsets.get(topic, [])]


def topic_settings(cluster: str, topic: str) -> list[tuple[str, str, bool]]:
    """A topic's settings: name, value, and whether it is set for this topic; these first. Raises ServerError, NotThere.

    Secrets are left out by Kafka.
    """
    timeout = console_settings().kafka_timeout_seconds
    deadline = time.monotonic() + timeout
    with guard().read(server_name(cluster)):
        client = admin_client(kafka_cluster(cluster))
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        [future] = client.describe_configs([resource], request_timeout=timeout).values()
        try:
            entries = future.result(max(0.1, deadline - time.monotonic()))
        except (KafkaException, TimeoutError) as error:
            if isinstance(error, KafkaException) and error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise NotThere(_("There is no topic of this name.")) from error
            raise server_error(cluster, error) from error
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    found = [(e.name, "" if e.value is None else str(e.value), e.source == own) for e in entries.values()]
    return sorted(found, key=lambda setting: (not setting[2], setting[0]))


def _counted(names: Iterable[str], known: Topics) -> list[str]:
    """The topics whose offsets are asked for: as many as have _MAX_PARTITIONS together."""
    counted, partitions = [], 0
    for name in names:
        partitions += len(known[name])
        if partitions > _MAX_PARTITIONS:
            break
        counted.append(name)
    return counted
