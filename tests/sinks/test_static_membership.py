"""A sink with group.instance.id: Kafka keeps the partitions of its tasks for it while its process restarts."""

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from devstack.stack import Stack
from tests.support import Process, committed_offsets, event, produce, wait_assigned, wait_until

pytestmark = pytest.mark.integration

Owners = dict[str, list[int]]


def owners(stack: Stack, group: str) -> Owners:
    """The partitions of each static member of a group, by group.instance.id."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    description = admin.describe_consumer_groups([group])[group].result(timeout=30)
    return {
        member.group_instance_id: [tp.partition for tp in member.assignment.topic_partitions]
        for member in description.members
    }


@pytest.fixture
def entry(topic: str, index: str) -> dict[str, Any]:
    """A sink whose three tasks are static members."""
    return {
        "kind": "elasticsearch",
        "topics": [topic],
        "target": {"index": index, "replicas": 0},
        "group": f"{topic}-group",
        "consumer": {"group.instance.id": "shop", "session.timeout.ms": 30_000},
    }


def test_a_restart_finds_each_task_with_the_partition_that_it_had(
    stack: Stack, topic: str, entry: dict[str, Any], run_sink: Callable[..., Process]
) -> None:
    group = entry["group"]
    sink = run_sink(entry)
    wait_until(lambda: sorted(owners(stack, group).values()) == [[0], [1], [2]], what="a partition for each task")
    before = owners(stack, group)
    assert sorted(before) == ["shop-0", "shop-1", "shop-2"]
    produce(stack, topic, [event(number) for number in range(30)])
    wait_until(lambda: committed_offsets(stack, group, topic) == [10, 10, 10], what="all committed")
    assert sink.stop() == 0
    assert owners(stack, group) == before
    again = run_sink(entry)
    wait_assigned(again)
    assert owners(stack, group) == before
    assert again.stop() == 0


def test_a_sink_that_another_one_shuts_out_says_so_and_ends(
    entry: dict[str, Any], run_sink: Callable[..., Process]
) -> None:
    older = run_sink(entry)
    wait_assigned(older)
    newer = run_sink(entry)
    assert older.wait() == 1
    assert "Static consumer fenced by other consumer with same group.instance.id" in older.text
    assert "Traceback" not in older.text
    wait_assigned(newer)
    assert newer.stop() == 0
