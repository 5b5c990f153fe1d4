"""Sources as processes on a real Kafka: killed, stopped, woken, rewound. Each record is committed once and in order."""

import json
import signal
import sys
import uuid
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Producer

from devstack.stack import Stack
from pipeline.setup import POSITIONS_CONFIG
from tests.support import Process, kafka_alone, kafka_killed, make_topics, stack_env, wait_until
from worker.errors import Retriable
from worker.log_reader import MessageReader

pytestmark = pytest.mark.integration

PARTITIONS = 4
PARTS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Kafka of its own."""
    with kafka_alone(tmp_path_factory.mktemp("kafka")) as stack:
        yield stack


class Numbers:
    """A source of the kind `numbers` with topics of its own, and its processes."""

    def __init__(self, stack: Stack, **target: Any) -> None:
        self._stack = stack
        self.topic = f"n-{uuid.uuid4().hex[:8]}"
        self.positions = f"{self.topic}-positions"
        make_topics(stack, self.topic, partitions=1)
        make_topics(stack, self.positions, partitions=PARTITIONS, config=POSITIONS_CONFIG)
        self.target = {"topic": self.topic, "parts": PARTS, "chunk": 10, **target}
        self.processes: list[Process] = []

    def entry(self, **values: Any) -> dict[str, Any]:
        """Its entry of SOURCES."""
        return {
            "kind": "numbers",
            "target": self.target,
            "positions_topic": self.positions,
            "positions_partitions": PARTITIONS,
            "poll_seconds": 0.2,
            "options": {"transaction_records": 40, "retry_seconds": 1},
            "consumer": {"session.timeout.ms": 6000},
            **values,
        }

    def command(self, name: str, *arguments: str, **values: Any) -> Process:
        """Runs a management command for the source."""
        env = stack_env(self._stack, SOURCES=json.dumps({self.topic: self.entry(**values)}))
        command = [sys.executable, "-m", "tests.sources.numbers", name, "--source", self.topic, *arguments]
        process = Process(command, env)
        self.processes.append(process)
        return process

    def run(self, **values: Any) -> Process:
        """Starts the source."""
        return self.command("run_source", **values)

    def told(self, name: str, *arguments: str) -> str:
        """What a command says that ends well."""
        process = self.command(name, *arguments)
        assert process.wait() == 0, process.text
        return process.text

    def committed(self) -> dict[str, list[int]]:
        """The committed numbers of each part, in their order in Kafka."""
        reader = MessageReader({"bootstrap.servers": self._stack.bootstrap_servers}, group="tests-read")
        found = defaultdict(list)
        try:
            for message in reader.messages(self.topic, 0, *reader.ends(self.topic, 0)):
                part, number = message.value().decode().split()
                found[part].append(int(number))
        finally:
            reader.close()
        return found

    def count(self) -> int:
        """How many numbers are committed; -1 while a transaction hides some, or Kafka is away."""
        try:
            return sum(map(len, self.committed().values()))
        except Retriable:
            return -1

    def wait_count(self, count: int, *, seconds: float = 40) -> None:
        """Waits until so many numbers are committed; no process may have failed."""
        wait_until(lambda: self.count() >= count, seconds=seconds, what=f"{count} numbers of {self.topic}")

    def check(self) -> None:
        """Each number of each part is committed once, in order."""
        self.wait_count(len(self.target["parts"]) * self.target["count"])
        numbers = list(range(self.target["count"]))
        assert self.committed() == dict.fromkeys(self.target["parts"], numbers)


@pytest.fixture
def numbers(kafka: Stack) -> Iterator[Any]:
    """Makes sources; their processes are killed at the end."""
    made: list[Numbers] = []

    def make(**target: Any) -> Numbers:
        made.append(Numbers(kafka, **target))
        return made[-1]

    yield make
    for process in (process for source in made for process in source.processes):
        if process.is_running():
            process.signal(signal.SIGCONT)
            process.kill()


def test_killed_again_and_again_each_record_is_committed_once(numbers: Any) -> None:
    source = numbers(count=300, pause=0.01)
    static = {"consumer": {"group.instance.id": "one", "session.timeout.ms": 6000}}  # Kafka waits for nobody
    for number in range(4):
        process = source.run(**static)
        source.wait_count(150 * (number + 1))
        process.kill()
    process = source.run(**static)
    source.check()
    assert process.stop() == 0
    assert "each is in Kafka once" in source.told("verify_source")


def test_a_zombie_that_wakes_adds_nothing(numbers: Any) -> None:
    source = numbers(count=1500, pause=0.01)
    zombie = source.run()
    source.wait_count(200)
    zombie.signal(signal.SIGSTOP)
    heir = source.run()
    heir.wait_for("owns it")
    source.wait_count(source.count() + 200)
    zombie.signal(signal.SIGCONT)
    source.check()
    assert heir.stop() == 0
    assert zombie.stop() == 0
    assert "another owner took it over" in zombie.text


def test_two_processes_share_the_parts_and_one_goes_on_alone_when_the_other_is_killed(numbers: Any) -> None:
    source = numbers(count=800, pause=0.01, parts=tuple("abcdefgh"))
    both = [source.run(), source.run()]
    for process in both:
        process.wait_for("owns it")
    source.wait_count(1200)
    both[0].kill()
    source.check()
    assert both[1].stop() == 0


def test_rewound_while_it_is_idle_it_reads_again_at_once(numbers: Any) -> None:
    source = numbers(count=50)
    process = source.run()
    source.check()
    told = source.told("rewind_source", "--part", "b", "--to", '{"next": 47}')
    assert 'b: from {"next": 50} to {"next": 47}' in told
    assert "Nothing was changed" in told
    source.told("rewind_source", "--part", "b", "--to", '{"next": 47}', "--yes")
    source.wait_count(203)
    assert source.committed()["b"] == [*range(50), 47, 48, 49]
    assert 'b: {"next": 50}' in source.told("rewind_source")
    assert process.stop() == 0


def test_a_kafka_that_is_killed_is_waited_for(numbers: Any, kafka: Stack) -> None:
    source = numbers(count=1000, pause=0.01)
    process = source.run()
    source.wait_count(300)
    with kafka_killed(kafka):
        process.wait_for("Kafka is away")
    source.check()
    assert process.stop() == 0


def test_an_open_transaction_of_another_source_hides_no_position(numbers: Any, kafka: Stack) -> None:
    source = numbers(count=50)
    assert source.run().wait_for("owns it") is None
    source.check()
    source.processes[0].stop()
    other = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": source.topic})
    other.init_transactions(30)
    for number in range(PARTITIONS):  # behind the positions of the source, then before newer ones
        other.begin_transaction()
        other.produce(source.positions, b"{}", key=b"other/x", partition=number)
        assert other.flush(30) == 0
        if number < PARTITIONS - 1:
            other.commit_transaction(30)
    process = source.run()
    process.wait_for("a transaction is still open")
    other.commit_transaction(30)
    wait_until(lambda: process.text.count("owns it") >= 3, what="all partitions with parts")
    source.check()
    assert process.stop() == 0


def test_a_positions_topic_with_another_number_of_partitions_or_not_compacted_stops_the_source(
    numbers: Any, kafka: Stack
) -> None:
    source = numbers(count=5)
    process = source.run(positions_partitions=3)
    assert process.wait() == 1
    assert f"topic {source.positions} has 4 partitions where positions_partitions is 3" in process.text
    process = source.run(positions_topic=source.topic, positions_partitions=1)
    assert process.wait() == 1
    assert "must be topics that hold nothing else" in process.text
    make_topics(kafka, f"{source.topic}-x", partitions=PARTITIONS)
    process = source.run(positions_topic=f"{source.topic}-x")
    assert process.wait() == 1
    assert "has a cleanup.policy of 'delete'" in process.text
