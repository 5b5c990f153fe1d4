"""Streams as processes on a real Kafka, and what they have written, as a reader of committed records sees it."""

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from devstack.stack import Stack
from tests.support import Process, committed_count, end_offsets, make_topics, manage, stack_env, wait_until

OPTIONS = {
    "consumer": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300},
    "producer": {"transaction.timeout.ms": 3000},
    "commit_seconds": 0.2,
}
"""A process that was killed holds up the others for less than the defaults do."""


BEGIN = int(time.time()) // 60 * 60_000 - 3_600_000
"""A time for the first record. Kafka soon deletes records that are older than a week, and takes none of the future."""


class RunningStream:
    """A stream with topics of its own. folder: for its state; env: further variables of its processes."""

    def __init__(self, stack: Stack, folder: Path, entry: dict[str, Any], *topics: str, **env: str) -> None:
        self.stack = stack
        self.name = f"s-{uuid.uuid4().hex[:8]}"
        self.group = f"stream-{self.name}"
        self.dead_letters = f"{self.name}.dlq"
        self._entry = {**OPTIONS, **entry}
        self._folder = folder
        self._env = env
        make_topics(stack, *topics, self.dead_letters)

    def state(self, number: int = 0) -> Path:
        """The folder of the state of a process."""
        return self._folder / self.name / str(number)

    def command(self, *arguments: str, number: int = 0) -> Process:
        """Starts a process. number: chooses the folder of its state."""
        streams = json.dumps({self.name: self._entry})
        env = stack_env(self.stack, STREAMS=streams, STREAMS_STATE_PATH=str(self.state(number)), **self._env)
        return Process(manage("run_stream", self.name, *arguments), env)

    @contextmanager
    def running(self, *arguments: str, number: int = 0) -> Iterator[Process]:
        """Around a process, which is killed in the end if it still runs."""
        process = self.command(*arguments, number=number)
        try:
            yield process
        finally:
            if process.is_running():
                process.kill()

    def count_read(self, topic: str) -> int:
        """How many records of a topic were read and committed."""
        try:
            return committed_count(self.stack, self.group, topic)
        except KafkaException:
            return 0  # the broker is making the topic of the groups' offsets

    def wait_read(self, topic: str, count: int, *processes: Process, seconds: float = 40) -> None:
        """Waits until so many records of a topic were read and committed, by processes that run."""

        def read() -> bool:
            assert all(process.is_running() for process in processes), [process.text for process in processes]
            return self.count_read(topic) >= count

        wait_until(read, seconds=seconds, what=f"{count} records read")

    def wait_read_all(self, topic: str, *processes: Process) -> None:
        """Waits until all of a topic was read."""
        self.wait_read(topic, sum(end_offsets(self.stack, topic)), *processes)


def send(stack: Stack, topic: str, records: list[tuple[int, int, bytes | None]]) -> None:
    """Produces records: partition, time in milliseconds, value; returns once Kafka has them."""
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 5})
    errors = []

    def note(error: KafkaError | None, _: Message) -> None:
        errors.extend(filter(None, [error]))

    for partition, timestamp, value in records:
        producer.produce(topic, value, partition=partition, timestamp=timestamp, on_delivery=note)
        producer.poll(0)
    assert producer.flush(30) == 0
    assert errors == []


def read_committed(stack: Stack, topic: str, *, at_least: int = 0) -> list[Message]:
    """All records that a topic has by now, but for those of transactions that are open or were aborted.

    at_least: how many are waited for.
    """
    config = {
        "bootstrap.servers": stack.bootstrap_servers,
        "group.id": "tests-read",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
    }
    consumer = Consumer(config)
    try:
        left = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, number, 0) for number in left])
        found = []

        def at_the_end() -> bool:
            for message in consumer.consume(10_000, timeout=0.2):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
            return not left and len(found) >= at_least

        wait_until(at_the_end, what=f"{at_least} records in {topic}")
    finally:
        consumer.close()
    return found
