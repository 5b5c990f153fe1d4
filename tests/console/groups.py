"""What tests of consumer groups share: groups that have committed, and consumers that live in a group."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient

from devstack.stack import Stack
from tests.support import wait_until

GROUPS = "/admin/console/groups/default/"


def group_page(name: str, path: str = "") -> str:
    """An address of a group's page."""
    return f"{GROUPS}group/{path}?{urlencode({'name': name})}"


def commit(stack: Stack, offsets: Mapping[int, int], *groups: str, topic: str) -> None:
    """Commits offsets (by partition) for groups without members; a broker that has just started is asked again."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    places = [TopicPartition(topic, number, offset) for number, offset in offsets.items()]

    def committed() -> bool:
        asked = [
            future
            for group in groups
            for future in admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)]).values()
        ]
        return all(part.error is None for future in asked for part in future.result(30).topic_partitions)

    wait_until(committed, what=f"the commits of {groups[0]}")


@contextmanager
def living(stack: Stack, group: str, topic: str, *, count: int = 1, **config: Any) -> Iterator[list[list[int]]]:
    """Consumers that are in a group and commit nothing; gives the partitions that each of them has."""
    options = {"bootstrap.servers": stack.bootstrap_servers, "group.id": group, "enable.auto.commit": False, **config}
    assigned: list[list[int]] = [[] for _ in range(count)]
    ended = threading.Event()

    def live(number: int) -> None:
        consumer = Consumer({**options, "client.id": f"client-{number}"})
        consumer.subscribe([topic])
        while not ended.is_set():
            consumer.poll(0.1)
            assigned[number] = sorted(part.partition for part in consumer.assignment())
        consumer.close()

    threads = [threading.Thread(target=live, args=[number], daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: all(assigned) and sorted(chain(*assigned)) == [0, 1, 2], what=f"the members of {group}")
        yield assigned
    finally:
        ended.set()
        for thread in threads:
            thread.join(30)
