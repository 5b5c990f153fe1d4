"""What tests on real servers share: waiting for a condition, Kafka records, HDFS lines, processes of the project."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from devstack.config import StackConfig
from devstack.stack import Stack
from tests.stores import HdfsFiles, visible

PROJECT = Path(__file__).resolve().parent.parent

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, seconds: float = 30.0, what: str = "condition") -> T:
    """The first true answer of `condition`; fails the test when there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := condition():
            return answer
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}; last answer: {answer!r}"
        time.sleep(0.05)


def make_topics(stack: Stack, *names: str, partitions: int = 3, config: dict[str, str] | None = None) -> None:
    """Makes topics and waits until the broker knows them."""
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    topics = [NewTopic(name, partitions, 1, config=config or {}) for name in names]
    for future in admin.create_topics(topics).values():
        future.result(timeout=30)

    def known() -> bool:
        found = admin.list_topics(timeout=30).topics
        made = [found[name].partitions.values() for name in names if name in found and found[name].error is None]
        return len(made) == len(names) and all(
            len(those) == partitions and all(one.leader >= 0 for one in those) for those in made
        )

    wait_until(known, what=f"the topics {', '.join(names)}")


@contextmanager
def three_brokers(folder: Path) -> Iterator[Stack]:
    """A Kafka of three brokers, without the other servers; folder: for its data."""
    with kafka_alone(folder, brokers=3) as cluster:
        yield cluster


@contextmanager
def kafka_alone(folder: Path, *, brokers: int = 1) -> Iterator[Stack]:
    """A Kafka without the other servers; folder: for its data."""
    cluster = Stack(StackConfig.on_free_ports(folder, brokers=brokers, kafka_heap="256m"))
    try:
        for broker in cluster.kafka:
            broker.start()
        for broker in cluster.kafka:
            broker.wait_ready(120)
        yield cluster
    finally:
        cluster.kill()


@contextmanager
def kafka_killed(stack: Stack) -> Iterator[None]:
    """Kafka is killed, and is back when the block has ended."""
    stack.kafka[0].kill()
    try:
        yield
    finally:
        stack.kafka[0].start()
        stack.kafka[0].wait_ready()


@contextmanager
def kafka_paused(stack: Stack) -> Iterator[None]:
    """Kafka hangs until the block has ended: its connections stay open."""
    stack.kafka[0].pause()
    try:
        yield
    finally:
        stack.kafka[0].resume()


def set_topic(stack: Stack, topic: str, **config: str) -> None:
    """Changes settings of a topic."""
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    for name, value in config.items():
        resource.add_incremental_config(ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET))
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=30)


COMPACTED = range(1_996, 2_002)
"""The offsets that `compact` leaves of partition 0."""


def make_compactable_topic(stack: Stack, topic: str) -> None:
    """Makes a topic of one partition with 1,997 records of one key."""
    # Kafka compacts all but the last segment. Set from the beginning: Kafka obeys a change a little later.
    config = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"}
    make_topics(stack, topic, partitions=1, config=config)
    hour = 3_600_000
    values = [event(number) for number in range(1_997)]
    # So old that whatever comes later begins another segment.
    produce(stack, topic, values, partition=0, keys=[b"one"] * 1_997, timestamp=int(time.time() * 1000) - hour)


def compact(stack: Stack, topic: str) -> None:
    """Writes 5 records of other keys, and waits until these and the last one of the first key are left."""
    set_topic(stack, topic, **{"cleanup.policy": "compact"})
    values = [event(number) for number in range(1_997, 2_002)]
    produce(stack, topic, values, partition=0, keys=[b"%d" % number for number in range(5)])
    config = {"bootstrap.servers": stack.bootstrap_servers, "group.id": "tests-read", "enable.partition.eof": True}

    def left() -> list[int]:
        consumer = Consumer(config)
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[int] = []
        while not (messages := consumer.consume(10_000, timeout=1.0)) or messages[-1].error() is None:
            found += [message.offset() for message in messages]
        consumer.close()
        return found + [message.offset() for message in messages[:-1]]

    wait_until(lambda: left() == list(COMPACTED), seconds=60, what=f"the compaction of {topic}")


def event(number: int, **fields: Any) -> bytes:
    """A valid event that its number identifies."""
    values = {
        "timestamp": f"2026-11-20T10:15:{number % 60:02d}.{number % 1000:03d}+0900",
        "userAgent": f"test-agent/{number % 7}",
        "colorName": ("red", "yellow", "green", "blue")[number % 4],
        "userName": f"user-{number}",
        **fields,
    }
    return json.dumps(values, separators=(",", ":")).encode()


def produce(
    stack: Stack,
    topic: str,
    values: Sequence[bytes | None],
    *,
    partition: int | None = None,
    keys: Sequence[bytes] | None = None,
    timestamp: int = 0,
) -> None:
    """Produces values and waits until Kafka has them all; without a partition they go round. timestamp: 0 for now."""
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "acks": "all"})
    for number, value in enumerate(values):
        chosen = number % 3 if partition is None else partition
        while True:
            try:
                producer.produce(topic, value, key=keys and keys[number], partition=chosen, timestamp=timestamp)
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(60) == 0


def end_offsets(stack: Stack, topic: str, partitions: int = 3) -> list[int]:
    """The offset after the last record of each partition; a broker that has just started is asked again."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": "tests-look"})

    def ask() -> list[int] | None:
        try:
            return [
                consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
                for number in range(partitions)
            ]
        except KafkaException:
            return None

    try:
        return wait_until(ask, what=f"the offsets of {topic}") or []
    finally:
        consumer.close()


def committed_offsets(stack: Stack, group: str, topic: str, partitions: int = 3) -> list[int]:
    """What Kafka holds for the group; a negative number where there is nothing."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": group})
    try:
        asked = [TopicPartition(topic, number) for number in range(partitions)]
        return [tp.offset for tp in consumer.committed(asked, timeout=30)]
    finally:
        consumer.close()


def committed_count(stack: Stack, group: str, topic: str) -> int:
    """How many records the group has committed, of a topic that was read from its beginning."""
    return sum(max(0, offset) for offset in committed_offsets(stack, group, topic))


def read_topic(stack: Stack, topic: str, count: int, *, seconds: float = 30.0) -> list[Any]:
    """The first `count` messages of a topic, joining no group."""
    consumer = Consumer(
        {"bootstrap.servers": stack.bootstrap_servers, "group.id": "tests-read", "enable.auto.commit": False}
    )
    metadata = consumer.list_topics(topic, timeout=30)
    consumer.assign([TopicPartition(topic, number, 0) for number in metadata.topics[topic].partitions])
    messages: list[Any] = []
    try:

        def enough() -> bool:
            messages.extend(m for m in consumer.consume(1000, timeout=0.2) if m.error() is None)
            return len(messages) >= count

        wait_until(enough, seconds=seconds, what=f"{count} messages in {topic}")
    finally:
        consumer.close()
    return messages


def read_whole_topic(stack: Stack, topic: str, *, seconds: float = 60.0) -> list[Any]:
    """All messages that a topic has by now, joining no group."""
    consumer = Consumer(
        {"bootstrap.servers": stack.bootstrap_servers, "group.id": "tests-read", "enable.auto.commit": False}
    )
    try:
        metadata = consumer.list_topics(topic, timeout=30)
        partitions = [TopicPartition(topic, number) for number in metadata.topics[topic].partitions]
        ends = [consumer.get_watermark_offsets(partition, timeout=30) for partition in partitions]
    finally:
        consumer.close()
    return read_topic(stack, topic, sum(high - low for low, high in ends), seconds=seconds)


def hdfs_files(stack: Stack, path: str) -> dict[str, bytes]:
    """The visible files of an HDFS sink by path below its folder, with their content."""
    return visible(HdfsFiles(stack.webhdfs_url), path)


def hdfs_lines(stack: Stack, path: str) -> list[bytes]:
    """All lines of all visible files of a sink, by file name."""
    return [line for _, content in sorted(hdfs_files(stack, path).items()) for line in content.splitlines()]


def leave(page: Any) -> None:
    """Closes a page of the live server, and waits for the requests that it has made: the database is emptied next."""
    page.unroute_all(behavior="ignoreErrors")  # else what a handler meets now is an error of the next test
    page.context.close()
    wait_until(
        lambda: not any("process_request_thread" in thread.name for thread in threading.enumerate()),
        what="the requests of a page that was closed",
    )


class Process:
    """A process of the project (a management command, a server) under test; its output is kept."""

    def __init__(self, command: Sequence[str], env: dict[str, str]) -> None:
        self.output: list[str] = []
        self._process = subprocess.Popen(
            command,
            cwd=PROJECT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line.rstrip())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def text(self) -> str:
        """All output so far."""
        return "\n".join(self.output)

    def wait_for(self, text: str, *, seconds: float = 30.0) -> None:
        """Waits until its output contains the text."""

        def said_or_ended() -> bool:
            assert text in self.text or self._process.poll() is None, f"ended early:\n{self.text}"
            return text in self.text

        wait_until(said_or_ended, seconds=seconds, what=f"{text!r} in the output:\n{self.text}")

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 60.0) -> int:
        """Its exit code."""
        code = self._process.wait(seconds)
        self._reader.join(5)
        return code

    def stop(self, seconds: float = 60.0) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self.wait()

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


def wait_assigned(*sinks: Process, partitions: int = 3) -> None:
    """Waits until the sinks together read all partitions (they move between tasks while a group forms)."""

    def owned() -> int:
        return sum(sink.text.count(": reads ") - sink.text.count(": leaves ") for sink in sinks)

    wait_until(lambda: owned() == partitions, seconds=60, what="all partitions assigned")


def manage(*arguments: str) -> list[str]:
    """The command line of a management command."""
    return [sys.executable, "manage.py", *arguments]


def stack_env(stack: Stack, **variables: str) -> dict[str, str]:
    """The environment in which a process of the project uses the test's servers."""
    return {
        "DJANGO_SETTINGS_MODULE": "settings.test",
        "TEST_KAFKA_BOOTSTRAP_SERVERS": stack.bootstrap_servers,
        "TEST_HDFS_URL": stack.webhdfs_url,
        "TEST_ELASTICSEARCH_URL": stack.elasticsearch_url,
        **variables,
    }
