"""Asks Kafka about consumer groups in a process of its own: `python -m pipeline.console.groups.child`.

A broker that goes away while librdkafka asks for groups can end the whole process by an assertion
(https://github.com/confluentinc/librdkafka/issues/4605). So the website does not ask: this process does, for one
answer. The call comes pickled by standard input, because settings may hold functions; the answer goes out as JSON.
"""

import os
import pickle
import sys
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

import msgspec
from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, OffsetSpec

from kafka_client.structs import ready
from pipeline.console.paging import part_of
from pipeline.kafka_offsets import Partition, ask_offsets, held, seconds_left

_LISTING_SHARE, _GROUPS_SHARE = 0.5, 0.7
"""The part of the remaining time that listing may take, and then the groups: offsets need some, too."""


class Member(msgspec.Struct, frozen=True):
    """A member of a group. instance: its static name, empty without one."""

    id: str
    client: str
    host: str
    instance: str
    partitions: list[Partition]


class Offsets(msgspec.Struct, frozen=True):
    """A partition of a group: what it has committed, and which offsets it holds; None where not known, with `error`."""

    topic: str
    partition: int
    committed: int | None
    first: int | None = None
    end: int | None = None
    error: str = ""


@ready
class Group(msgspec.Struct, frozen=True):
    """A consumer group.

    state: Kafka's word for it, empty when not known; protocol: "classic" or "consumer"; is_simple: something committed
    without ever joining it. errors: what Kafka refused to tell. is_counted: whether its offsets were asked for.
    """

    name: str
    protocol: str = ""
    state: str = ""
    is_simple: bool = False
    assignor: str = ""
    coordinator: str = ""
    members: list[Member] = []
    offsets: list[Offsets] = []
    errors: list[str] = []
    is_counted: bool = True


@ready
class Listing(msgspec.Struct, frozen=True):
    """A page of a cluster's groups. number: counted from 1; total: groups that fit; errors: of brokers."""

    groups: list[Group]
    number: int
    total: int
    errors: list[str]


@ready
class Changed(msgspec.Struct, frozen=True):
    """What became of a wish to change offsets.

    group: as it was right before; refused: whether nothing was done because it is not as it was; errors: by partition.
    """

    group: Group
    refused: bool
    errors: list[tuple[Partition, str]] = []


@ready
class Failed(msgspec.Struct, frozen=True):
    """Kafka's error for the whole question."""

    code: int
    text: str


@ready
class Times(msgspec.Struct, frozen=True):
    """The first offset of a time or later by partition; -1 where there is none yet, an error where not known."""

    offsets: list[tuple[Partition, int]]
    errors: list[tuple[Partition, str]]


def list_page(
    client: AdminClient, deadline: float, *, text: str, number: int, size: int, most_partitions: int
) -> Listing:
    """A page of the groups that have a text in their name; what is read of them is read for this page alone."""
    seconds = _LISTING_SHARE * seconds_left(deadline)
    found = client.list_consumer_groups(request_timeout=seconds).result(seconds + 1)
    if not found.valid and found.errors:
        raise KafkaException(found.errors[0])
    names = sorted(group.group_id for group in found.valid if text.casefold() in group.group_id.casefold())
    part = part_of(names, number, size)
    groups = read_groups(client, deadline, names=part.items, most_partitions=most_partitions)
    return Listing(groups, part.number, part.total, [_text(KafkaException(error)) for error in found.errors])


def read_groups(
    client: AdminClient, deadline: float, *, names: Iterable[str], most_partitions: int | None = None
) -> list[Group]:
    """Groups by name, with their members and offsets.

    most_partitions: of how many the first and end offsets are asked for; groups beyond have no offsets.
    """
    names = list(names)
    if not names:
        return []
    until = time.monotonic() + _GROUPS_SHARE * seconds_left(deadline)
    described = client.describe_consumer_groups(names, request_timeout=seconds_left(until))
    fetched = {name: _ask_committed(client, name, until) for name in names}
    groups = [_group(name, described[name], fetched[name], until) for name in names]
    counted: list[str] = []
    wanted: dict[Partition, None] = {}
    for group in groups:
        more = dict.fromkeys((part.topic, part.partition) for part in group.offsets)
        if most_partitions is not None and len(wanted.keys() | more.keys()) > most_partitions:
            break
        wanted |= more
        counted.append(group.name)
    ends = ask_offsets(client, wanted, OffsetSpec.latest(), deadline)
    firsts = ask_offsets(client, wanted, OffsetSpec.earliest(), deadline)
    held = {part: _held(firsts[part], ends[part], deadline) for part in wanted}
    return [_with_offsets(group, held if group.name in counted else None) for group in groups]


def offsets_at(client: AdminClient, deadline: float, *, partitions: Iterable[Partition], milliseconds: int) -> Times:
    """The first offsets of that time or later."""
    times = Times([], [])
    futures = ask_offsets(client, partitions, OffsetSpec.for_timestamp(milliseconds), deadline)
    for part, future in futures.items():
        try:
            times.offsets.append((part, future.result(seconds_left(deadline)).offset))
        except (KafkaException, TimeoutError) as error:
            times.errors.append((part, _text(error)))
    return times


def change(
    client: AdminClient,
    deadline: float,
    *,
    name: str,
    expected: Mapping[Partition, int | None],
    wanted: Mapping[Partition, int],
) -> Changed:
    """Commits offsets for a group without members, unless something of it is not as expected.

    A consumer may still join right before the commit: then Kafka itself refuses it.
    """
    [group] = read_groups(client, deadline, names=[name])
    now = {(part.topic, part.partition): part.committed for part in group.offsets}
    if group.errors or group.members or {part: now.get(part) for part in expected} != dict(expected):
        return Changed(group, refused=True)
    places = [TopicPartition(topic, number, offset) for (topic, number), offset in wanted.items()]
    [future] = client.alter_consumer_group_offsets(
        [ConsumerGroupTopicPartitions(name, places)], request_timeout=seconds_left(deadline)
    ).values()
    answer = future.result(seconds_left(deadline) + 1).topic_partitions
    errors = [((p.topic, p.partition), _text(KafkaException(p.error))) for p in answer if p.error is not None]
    return Changed(group, refused=False, errors=errors)


def _group(name: str, described: "Future[Any]", fetched: "Future[Any]", deadline: float) -> Group:
    errors: list[str] = []
    about: ConsumerGroupDescription | None = None
    offsets: list[Offsets] = []
    try:
        about = described.result(seconds_left(deadline))
    except (KafkaException, TimeoutError) as error:
        errors.append(_text(error))
    try:
        for part in fetched.result(seconds_left(deadline)).topic_partitions:
            if part.error is not None or part.offset >= 0:
                refused = "" if part.error is None else part.error.str()
                offsets.append(Offsets(part.topic, part.partition, None if refused else part.offset, error=refused))
    except (KafkaException, TimeoutError) as error:
        if (text := _text(error)) not in errors:
            errors.append(text)
    if about is None:
        return Group(name, offsets=offsets, errors=errors)
    members = [
        Member(
            member.member_id,
            member.client_id,
            member.host.lstrip("/"),
            member.group_instance_id or "",
            sorted((part.topic, part.partition) for part in member.assignment.topic_partitions),
        )
        for member in about.members
    ]
    committed = {(part.topic, part.partition) for part in offsets}
    assigned = sorted({part for member in members for part in member.partitions} - committed)
    return Group(
        name=name,
        protocol=about.type.name.lower(),
        state="" if about.state is ConsumerGroupState.UNKNOWN else about.state.name.lower(),
        is_simple=about.is_simple_consumer_group,
        assignor=about.partition_assignor,
        coordinator=_broker(about.coordinator),
        members=sorted(members, key=lambda member: (member.client, member.host, member.id)),
        offsets=sorted(
            [*offsets, *(Offsets(topic, number, None) for topic, number in assigned)],
            key=lambda part: (part.topic, part.partition),
        ),
        errors=errors,
    )


def _broker(node: Any) -> str:
    return "" if node is None else f"{node.id} ({node.host}:{node.port})"


def _with_offsets(group: Group, held: Mapping[Partition, tuple[int | None, int | None, str]] | None) -> Group:
    if held is None:
        return msgspec.structs.replace(group, is_counted=False)
    offsets = []
    for part in group.offsets:
        first, end, error = held[part.topic, part.partition]
        offsets.append(Offsets(part.topic, part.partition, part.committed, first, end, part.error or error))
    return msgspec.structs.replace(group, offsets=offsets)


def _ask_committed(client: AdminClient, name: str, deadline: float) -> "Future[Any]":
    """What a group has committed; a name that librdkafka does not take is an error of this group alone."""
    future: Future[Any]
    try:
        [future] = client.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(name)], request_timeout=seconds_left(deadline)
        ).values()
    except (KafkaException, ValueError) as error:
        future = Future()
        future.set_exception(error if isinstance(error, KafkaException) else KafkaException(str(error)))
    return future


def _held(first: "Future[Any]", end: "Future[Any]", deadline: float) -> tuple[int | None, int | None, str]:
    try:
        return *held(first, end, deadline), ""
    except (KafkaException, TimeoutError) as error:
        return None, None, _text(error)


def _text(error: BaseException) -> str:
    if isinstance(error, KafkaException):
        [what, *_] = error.args
        return what if isinstance(what, str) else f"{what.name()}: {what.str()}"
    return "no answer in time"


CALLS = {call.__name__: call for call in (list_page, read_groups, offsets_at, change)}


def main() -> None:
    """Makes one call and writes its answer, or Failed."""
    name, config, seconds, given = pickle.load(sys.stdin.buffer)  # the website itself wrote it
    deadline = time.monotonic() + seconds
    try:
        answer: Any = CALLS[name](AdminClient({"log_level": 0, **config}), deadline, **given)
    except (KafkaException, TimeoutError) as error:
        code = error.args[0].code() if isinstance(error, KafkaException) else -185  # librdkafka's "timed out"
        answer = Failed(code, _text(error))
    sys.stdout.buffer.write(msgspec.json.encode({type(answer).__name__: answer}))
    sys.stdout.buffer.flush()
    os._exit(0)  # without waiting for brokers that do not answer


if __name__ == "__main__":
    main()
