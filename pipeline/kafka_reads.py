"""Bounded reads of Kafka for operators: offsets of topics and of consumer groups. They join no consumer group."""

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ClusterMetadata, ConfigResource, OffsetSpec, TopicMetadata
from django.utils.translation import gettext as _

from events.forking import never_destroy
from kafka_client.clusters import kafka_cluster
from pipeline.errors import ServerAway, ServerError
from pipeline.kafka_offsets import Partition, ask_offsets, held, seconds_left

MAX_PARTITION = 2**31 - 1
MAX_OFFSET = 2**63 - 1
"""What Kafka has room for: larger numbers are refused by its client with an error of Python."""

_MAX_THREADS = 8
_GROUPS_SHARE = 0.6
"""The part of the time that groups may take: a group without a coordinator must leave some for the ends."""

_VERSION_SECONDS = 300.0

_SOME_TOPIC = "__consumer_offsets"
"""Who asks for the brokers must name a topic, or gets all of them. It need not be there."""

_AWAY = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._SSL,
    KafkaError._TIMED_OUT,
    KafkaError._TIMED_OUT_QUEUE,
    KafkaError._TRANSPORT,
    KafkaError.BROKER_NOT_AVAILABLE,
    KafkaError.NETWORK_EXCEPTION,
}
"""What tells of the cluster; all else is about what was asked, which others do not ask."""
_NOT_THERE = {
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.LEADER_NOT_AVAILABLE,
}
"""What Kafka answers for one topic of several: none has this name, or none yet, or this client may not see it."""

# Nobody serves these clients' logs; what goes wrong is told by the panel.
_QUIET = {"log_level": 0}

_lock = threading.Lock()
_admins: dict[str, AdminClient] = {}
_consumers: dict[str, Consumer] = {}
_versions: dict[str, tuple[str | None, float]] = {}
"""The version of each cluster, and until when it is taken for true."""


@dataclass(frozen=True)
class PartitionOffsets:
    """The offsets that a partition holds: from `first` up to `end` (excluded); None, with `error`, when not known."""

    partition: int
    first: int | None
    end: int | None
    error: str | None = None

    @property
    def held(self) -> int | None:
        """How many offsets it holds, None when not known; there may be fewer records."""
        return None if self.first is None or self.end is None else self.end - self.first


@dataclass(frozen=True)
class Replicas:
    """The brokers that have a partition, by their numbers; leader: None without one."""

    leader: int | None
    all: tuple[int, ...]
    in_sync: tuple[int, ...]

    @property
    def lacking(self) -> tuple[int, ...]:
        """Those that are not in sync."""
        return tuple(replica for replica in self.all if replica not in self.in_sync)


Topics = Mapping[str, Mapping[int, Replicas]]
"""Topics by name, each with its partitions by number."""


@dataclass(frozen=True)
class Brokers:
    """How many brokers a cluster has, and as much of their version as can be known; None when nothing is."""

    count: int
    version: str | None


@dataclass(frozen=True)
class GroupOffsets:
    """What a consumer group has committed; a partition that is missing has no commit. `error`: why it is not known."""

    committed: Mapping[Partition, int] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True)
class ClusterOffsets:
    """A snapshot of some topics and groups of one cluster; a topic that does not exist is missing."""

    topics: Mapping[str, list[PartitionOffsets]]
    groups: Mapping[str, GroupOffsets]


def read_offsets(
    cluster: str,
    *,
    topics: Iterable[str],
    groups: Mapping[str, Iterable[str]],
    timeout: float,
    known: Topics | None = None,
) -> ClusterOffsets:
    """First and end offsets of `topics`, and what `groups` (name -> the topics it reads) have committed.

    cluster: an alias of settings.KAFKA; timeout: seconds for all of it; known: the topics, if they have just been read.
    Raises ServerError when the cluster does not answer; an error of one partition or group stands in its place.
    """
    config = kafka_cluster(cluster)
    deadline = time.monotonic() + timeout
    client = admin_client(config)
    known = describe_topics(cluster, topics, timeout=timeout) if known is None else known
    partitions = {topic: sorted(known[topic]) for topic in topics if topic in known}
    wanted = {
        group: [(topic, n) for topic in read for n in partitions.get(topic, [])] for group, read in groups.items()
    }
    # Commits before ends: a sink that goes on meanwhile must not seem to be ahead of its partition.
    committed = _read_groups(config, wanted, time.monotonic() + _GROUPS_SHARE * seconds_left(deadline))
    every = [(topic, number) for topic, numbers in partitions.items() for number in numbers]
    ends = ask_offsets(client, every, OffsetSpec.latest(), deadline)
    firsts = ask_offsets(client, every, OffsetSpec.earliest(), deadline)
    return ClusterOffsets(
        topics={
            topic: [_partition(firsts[topic, number], ends[topic, number], number, deadline) for number in numbers]
            for topic, numbers in partitions.items()
        },
        groups=committed,
    )


def list_topics(cluster: str, *, timeout: float) -> Topics:
    """All topics of a cluster; timeout: in seconds. Raises ServerError."""
    return {name: _partitions(topic) for name, topic in _metadata(cluster, None, timeout).topics.items()}


def describe_topics(cluster: str, names: Iterable[str], *, timeout: float) -> Topics:
    """Those of the topics that are there. Asks for these alone, and makes none. Raises ServerError."""
    deadline = time.monotonic() + timeout
    found = {}
    for name in dict.fromkeys(names):
        topic = _metadata(cluster, name, seconds_left(deadline)).topics[name]
        if topic.error is None:
            found[name] = _partitions(topic)
        elif topic.error.code() not in _NOT_THERE:
            raise server_error(cluster, KafkaException(topic.error))
    return found


def _metadata(cluster: str, topic: str | None, timeout: float) -> ClusterMetadata:
    """What any broker says of the cluster and of a topic, or of all topics. Raises ServerError.

    AdminClient.describe_topics and describe_cluster ask one broker alone, the controller: when that one dies, they time
    out, for more than 10 seconds, although the cluster has another one (seen with 2.16.0).
    """
    try:
        return admin_client(kafka_cluster(cluster)).list_topics(topic, timeout=timeout)
    except KafkaException as error:
        raise server_error(cluster, error) from error


def _partitions(topic: TopicMetadata) -> Mapping[int, Replicas]:
    return {
        number: Replicas(part.leader if part.leader >= 0 else None, tuple(part.replicas), tuple(part.isrs))
        for number, part in topic.partitions.items()
    }


def read_brokers(cluster: str, *, timeout: float) -> Brokers:
    """The brokers of a cluster; timeout: in seconds. Raises ServerError."""
    deadline = time.monotonic() + timeout
    brokers = list(_metadata(cluster, _SOME_TOPIC, timeout).brokers)
    version, until = _versions.get(cluster, (None, 0.0))
    if until < time.monotonic():
        version = _read_version(admin_client(kafka_cluster(cluster)), brokers[0], deadline)
        _versions[cluster] = version, time.monotonic() + _VERSION_SECONDS
    return Brokers(len(brokers), version)


def _read_version(client: AdminClient, broker: int, deadline: float) -> str | None:
    """A broker tells its clients no version; until Kafka 4.0 it had a setting that was as good as one."""
    resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
    try:
        [future] = client.describe_configs([resource], request_timeout=seconds_left(deadline)).values()
        settings = future.result(seconds_left(deadline))
    except (KafkaException, TimeoutError):
        return None  # not allowed to this client; that the cluster answers is known by then
    entry = settings.get("inter.broker.protocol.version")
    return "≥ 4.0" if entry is None else str(entry.value)


def offsets_at(
    cluster: str, topic: str, partitions: Iterable[int], milliseconds: int, *, timeout: float
) -> dict[int, int | None]:
    """The offset of each partition's first record of that time or later, None when there is none.

    milliseconds: since the epoch, not negative; timeout: in seconds. Raises ServerError.
    """
    deadline = time.monotonic() + timeout
    client = admin_client(kafka_cluster(cluster))
    wanted = [(topic, number) for number in partitions]
    futures = ask_offsets(client, wanted, OffsetSpec.for_timestamp(milliseconds), deadline)
    try:
        found = {number: future.result(seconds_left(deadline)).offset for (_, number), future in futures.items()}
    except (KafkaException, TimeoutError) as error:
        raise server_error(cluster, error) from error
    return {number: offset if offset >= 0 else None for number, offset in found.items()}


def server_name(cluster: str) -> str:
    """A cluster's name for people."""
    return f"Kafka ({kafka_cluster(cluster)['bootstrap.servers']})"


def admin_client(config: dict[str, Any]) -> AdminClient:
    """The client of this process for a cluster, made at its first use, so after a server's fork."""
    with _lock:
        if (key := _key(config)) not in _admins:
            # Of itself it would let a broker make the topic that it is asked for.
            _admins[key] = AdminClient({**_QUIET, **config, "allow.auto.create.topics": False})
        return _admins[key]


def _consumer(config: dict[str, Any], group: str) -> Consumer:
    """The consumer of this process that asks for a group's offsets.

    It subscribes to nothing and so never joins the group. AdminClient.list_consumer_group_offsets can do the same, but
    after a broker's restart it only times out, and then an assertion of librdkafka ends the whole process (seen with
    2.16.0; https://github.com/confluentinc/librdkafka/issues/3663).
    """
    own = {**_QUIET, **config, "group.id": group, "enable.auto.commit": False}
    with _lock:
        if (key := _key(own)) not in _consumers:
            _consumers[key] = Consumer(own)
        return _consumers[key]


def _key(config: dict[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, default=str)


def _partition(first: "Future[Any]", end: "Future[Any]", number: int, deadline: float) -> PartitionOffsets:
    try:
        return PartitionOffsets(number, *held(first, end, deadline))
    except (KafkaException, TimeoutError) as error:
        return PartitionOffsets(number, None, None, error_text(error))


def _read_groups(
    config: dict[str, Any], wanted: Mapping[str, list[Partition]], deadline: float
) -> dict[str, GroupOffsets]:
    with ThreadPoolExecutor(max_workers=min(_MAX_THREADS, max(1, len(wanted)))) as pool:
        futures = {group: pool.submit(_read_group, config, group, wanted[group], deadline) for group in wanted}
        return {group: future.result() for group, future in futures.items()}


def _read_group(config: dict[str, Any], group: str, wanted: list[Partition], deadline: float) -> GroupOffsets:
    if not wanted:
        return GroupOffsets()
    partitions = [TopicPartition(topic, number) for topic, number in wanted]
    try:
        answer: list[TopicPartition] = _consumer(config, group).committed(partitions, timeout=seconds_left(deadline))
    except KafkaException as error:
        return GroupOffsets(error=error_text(error))
    return GroupOffsets({(p.topic, p.partition): p.offset for p in answer if p.error is None and p.offset >= 0})


def server_error(cluster: str, error: Exception) -> ServerError:
    """What to raise for a KafkaException or a future's timeout: ServerAway only when the cluster did not answer."""
    away = not isinstance(error, KafkaException) or error.args[0].code() in _AWAY
    return (ServerAway if away else ServerError)(server_name(cluster), error_text(error))


def error_text(error: Exception) -> str:
    """What Kafka says went wrong; KafkaException, or a future's timeout."""
    if isinstance(error, KafkaException):
        return str(error.args[0].str())
    return _("no answer in time")


def _forget_parents_clients() -> None:
    global _lock
    _lock = threading.Lock()
    for client in (*_admins.values(), *_consumers.values()):
        never_destroy(client)
    _admins.clear()
    _consumers.clear()


os.register_at_fork(after_in_child=_forget_parents_clients)
