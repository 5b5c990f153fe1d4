"""Fills topics with events and reads them with a plain consumer, the yardstick of every sink."""

import multiprocessing
import threading
import time
import uuid
from collections.abc import Callable, Sequence

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from devstack.stack import Stack

PARTITIONS = 3
EVENT_BYTES = 195


def event(number: int) -> bytes:
    """An event of EVENT_BYTES bytes."""
    head = b'{"timestamp":"2026-11-20T10:15:%02d.%03d+0900","userAgent":"' % (number % 60, number % 1000)
    tail = b'","colorName":"%s","userName":"user-%07d"}' % ((b"red", b"blue")[number % 2], number % 10_000_000)
    agent = b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0" + b" " * 100
    return head + agent[: EVENT_BYTES - len(head) - len(tail)] + tail


def make_topic(stack: Stack) -> str:
    """An empty topic of PARTITIONS partitions, with its dead-letter topic."""
    name = f"bench-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.create_topics([NewTopic(name, PARTITIONS, 1), NewTopic(f"{name}.dlq", 1, 1)]).values():
        future.result()
    return name


def fill(stack: Stack, topic: str, count: int) -> None:
    """Produces `count` events, the same number to each partition."""
    producer = Producer(
        {"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 20, "queue.buffering.max.messages": 500_000}
    )
    for number in range(count):
        while True:
            try:
                producer.produce(topic, event(number), partition=number % PARTITIONS)
                break
            except BufferError:
                producer.poll(0.05)
    if producer.flush(120):
        raise RuntimeError("Kafka did not take all events")


class Committed:
    """The sum of a group's committed offsets, asked again and again."""

    def __init__(self, stack: Stack, group: str, topic: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": group})
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]

    def __call__(self) -> int:
        """As it is now."""
        return sum(max(0, tp.offset) for tp in self._consumer.committed(self._partitions, timeout=30))

    def close(self) -> None:
        """Closes the connections."""
        self._consumer.close()


def consume_only(stack: Stack, topic: str, count: int, threads: int) -> float:
    """Records/s of a loop that only reads: plain confluent-kafka, its best settings, partitions shared by `threads`."""

    def read(partitions: Sequence[int]) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": stack.bootstrap_servers,
                "group.id": "bench-plain",
                "enable.auto.commit": False,
                "fetch.queue.backoff.ms": 10,
            }
        )
        consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
        missing = sum(len(range(number, count, PARTITIONS)) for number in partitions)
        while missing > 0:
            missing -= sum(1 for message in consumer.consume(10_000, timeout=1) if message.error() is None)
        consumer.close()

    workers = [threading.Thread(target=read, args=(range(number, PARTITIONS, threads),)) for number in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return count / (time.perf_counter() - begin)


def reading_alone_and_beside(
    stack: Stack, count: int, threads: int, write: Callable[[], object]
) -> tuple[float, float]:
    """Records/s of a loop that only reads; and of reading while `write` runs, each in a process of its own.

    No sink that writes the same can do more than the latter on these cores, for it does both.
    """
    topic = make_topic(stack)
    fill(stack, topic, count)
    alone = consume_only(stack, topic, count, threads)
    writing = multiprocessing.get_context("fork").Process(target=write)
    begin = time.perf_counter()
    writing.start()
    consume_only(stack, topic, count, threads)
    writing.join()
    if writing.exitcode:
        raise RuntimeError("writing failed")
    return alone, count / (time.perf_counter() - begin)
