"""Sources as processes on a real Kafka: killed, stopped, woken, rewound. Each record is committed once and in order."""

import signal
import threading
import uuid
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import StringIO
from itertools import cycle
from typing import Any

import pytest
from confluent_kafka import Producer
from django.core.management import call_command
from django.test import override_settings

from devstack.stack import Stack
from kafka_client.producer import Record
from sources import registry as sources_registry
from sources.build import make_transactions
from sources.positions import POSITIONS_CONFIG, Positions
from sources.rewind import answered
from sources.topics import check_positions_topic
from sources.transactions import PRODUCER_DEFAULTS, PRODUCER_REQUIRED
from tests.sources.dying_source import STEPS
from tests.sources.numbers import NumbersKind
from tests.sources.processes import Nursery, SourceProcess
from tests.support import kafka_alone, kafka_killed, make_topics, set_topic, wait_until
from worker.errors import Fatal, Fenced, Retriable
from worker.log_reader import MessageReader

pytestmark = pytest.mark.integration

PARTITIONS = 4
PARTS = ("a", "b", "c", "d")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Kafka of its own."""
    with kafka_alone(tmp_path_factory.mktemp("kafka")) as stack:
        yield stack


@pytest.fixture(scope="module")
def nursery(kafka: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Where sources are born; what still runs at the end is killed."""
    with Nursery(kafka.bootstrap_servers, tmp_path_factory.mktemp("sources")) as nursery:
        yield nursery


class Numbers:
    """A source of the kind `numbers` with topics of its own, and its processes."""

    def __init__(self, stack: Stack, nursery: Nursery, **target: Any) -> None:
        self._stack = stack
        self._nursery = nursery
        self.topic = f"n-{uuid.uuid4().hex[:8]}"
        self.positions = f"{self.topic}-positions"
        make_topics(stack, self.topic, partitions=1)
        make_topics(stack, self.positions, partitions=PARTITIONS, config=POSITIONS_CONFIG)
        self.target = {"topic": self.topic, "parts": PARTS, "chunk": 10, **target}
        self._reader = MessageReader({"bootstrap.servers": stack.bootstrap_servers}, group="tests-read")
        self._read_to = 0
        self._found: dict[str, list[int]] = defaultdict(list)

    @property
    def entry(self) -> dict[str, Any]:
        """Its entry of SOURCES."""
        return {
            "kind": "numbers",
            "target": self.target,
            "positions_topic": self.positions,
            "positions_partitions": PARTITIONS,
            "poll_seconds": 0.2,
            "options": {"transaction_records": 40, "retry_seconds": 1},
            "consumer": {"session.timeout.ms": 6000},
        }

    def run(self, *, fault: dict[str, Any] | None = None, **values: Any) -> SourceProcess:
        """Starts the source."""
        return self._nursery.start(self.topic, {**self.entry, **values}, fault=fault)

    def told(self, name: str, *arguments: str) -> str:
        """What a command on the source says."""
        sources_registry.sources.cache_clear()
        out = StringIO()
        with (
            override_settings(
                SOURCES={self.topic: self.entry},
                KAFKA={"default": {"bootstrap.servers": self._stack.bootstrap_servers}},
            ),
            suppress(SystemExit),
        ):  # its text says whether all is well
            call_command(name, "--source", self.topic, *arguments, stdout=out)
        return out.getvalue()

    def committed(self) -> dict[str, list[int]]:
        """The committed numbers of each part, in their order in Kafka."""
        for message in self._reader.messages(self.topic, 0, self._read_to, self._reader.ends(self.topic, 0)[1]):
            self._read_to = message.offset() + 1
            part, number = message.value().decode().split()
            self._found[part].append(int(number))
        return self._found

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
def numbers(kafka: Stack, nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes sources; their processes are killed at the end."""
    monkeypatch.setitem(sources_registry.KINDS, "numbers", NumbersKind())
    yield partial(Numbers, kafka, nursery)
    nursery.kill_all()


def test_killed_between_any_two_steps_each_record_is_committed_once(numbers: Any) -> None:
    source = numbers(count=1000)
    static = {"group.instance.id": "one"}  # so that Kafka waits for nobody who was killed
    for step, after in [*((step, False) for step in STEPS), ("commit", True)]:
        number = 0 if step in ("take over", "read positions") else 3
        fault = {"step": step, "after": after, "number": number, "signal": "SIGKILL"}
        assert source.run(consumer=static, fault=fault).wait() == -signal.SIGKILL
    process = source.run(consumer=static)
    source.check()
    assert process.stop() == 0
    assert "each is in Kafka once" in source.told("verify_source")


def test_a_zombie_that_wakes_adds_nothing(numbers: Any) -> None:
    source = numbers(count=1200, pause=0.01, parts=("a",))
    in_its_commit = {"step": "commit", "after": False, "number": 4, "signal": "SIGSTOP"}
    zombie = source.run(fault=in_its_commit)
    zombie.wait_stopped()
    heir = source.run()
    heir.wait_for("owns it")
    zombie.signal(signal.SIGCONT)
    source.check()
    zombie.wait_for("This instance has been fenced by a newer instance")
    assert heir.stop() == 0
    assert zombie.stop() == 0
    source.check()


@pytest.mark.parametrize("step", ["produce", "commit"])
def test_an_owner_that_is_fenced_within_a_transaction_is_told_so_at_each_step(kafka: Stack, step: str) -> None:
    name = f"t-{uuid.uuid4().hex[:8]}"
    make_topics(kafka, name, partitions=1)
    config = {**PRODUCER_DEFAULTS, **PRODUCER_REQUIRED, "bootstrap.servers": kafka.bootstrap_servers}
    old, new = (make_transactions(config, lambda _: None, name) for _ in range(2))
    try:
        answered(old.take_over)
        old.begin()
        old.produce([Record(name, b"1")])
        answered(new.take_over)
        steps: dict[str, Any] = {
            "produce": partial(wait_until, lambda: old.produce([Record(name, b"2")]), what="Kafka's answer"),
            "commit": partial(answered, old.commit),
        }
        with pytest.raises(Fenced):
            steps[step]()
    finally:
        old.close()
        new.close()


def test_two_processes_share_the_parts_and_one_goes_on_alone_when_the_other_is_killed(numbers: Any) -> None:
    source = numbers(count=500, pause=0.01, parts=tuple("abcdefgh"))
    both = [source.run(), source.run()]
    for process in both:
        process.wait_for("owns it")
    source.wait_count(500)
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
    source = numbers(count=800, pause=0.01)
    process = source.run()
    source.wait_count(300)
    with kafka_killed(kafka):
        process.wait_for("Kafka is away")
    source.check()
    assert process.stop() == 0


def test_an_open_transaction_of_another_source_hides_no_position(numbers: Any, kafka: Stack) -> None:
    source = numbers(count=50, parts=("a",))
    static = {"group.instance.id": "one"}
    other = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": source.topic})
    other.init_transactions(30)
    other.begin_transaction()
    for number in range(PARTITIONS):
        other.produce(source.positions, b"{}", key=b"other/x", partition=number)
    assert other.flush(30) == 0
    first = source.run(consumer=static)
    first.wait_for("a transaction is still open")
    assert source.count() == 0
    other.commit_transaction(30)
    source.check()
    assert first.stop() == 0


def test_sources_that_always_have_a_transaction_open_keep_no_other_from_starting(numbers: Any, kafka: Stack) -> None:
    source = numbers(count=50, parts=("a",))
    enough, is_open = threading.Event(), threading.Event()

    def keep_one_open() -> None:
        others = [
            Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"{source.topic}-{number}"})
            for number in range(2)
        ]
        for other in others:
            other.init_transactions(30)
        turns = cycle(others)
        begun = None
        while not enough.wait(0.1):
            other = next(turns)
            other.begin_transaction()
            for number in range(PARTITIONS):
                other.produce(source.positions, b"{}", key=b"other/x", partition=number)
            assert other.flush(30) == 0
            is_open.set()
            if begun is not None:
                begun.commit_transaction(30)
            begun = other

    with ThreadPoolExecutor(1) as pool:
        keeping = pool.submit(keep_one_open)
        try:
            assert is_open.wait(30)
            process = source.run()
            process.wait_for("owns it", seconds=20)
        finally:
            enough.set()
        keeping.result()
    assert "a transaction is still open" not in process.text


def test_a_topic_that_takes_less_at_once_stops_the_source_which_says_what_to_set(numbers: Any, kafka: Stack) -> None:
    source = numbers(count=100)
    set_topic(kafka, source.topic, **{"max.message.bytes": "200"})
    process = source.run()
    assert process.wait() == 1
    assert f"topic {source.topic} refuses a batch for its size: raise its max.message.bytes" in process.text
    assert source.count() == 0


def test_setup_pipeline_makes_the_topics_of_a_source_which_waits_for_them(
    numbers: Any, kafka: Stack, settings: Any
) -> None:
    source = numbers(count=20)
    source.topic = source.target["topic"] = f"{source.topic}-made"
    source.positions = f"{source.topic}-positions"
    process = source.run()
    process.wait_for("run `manage.py setup_pipeline`")
    settings.SINKS = {}
    settings.KAFKA = {"default": {"bootstrap.servers": kafka.bootstrap_servers}}
    settings.SOURCES = {source.topic: source.entry}
    settings.EVENTS = {**settings.EVENTS, "topic_partitions": 1}
    sources_registry.sources.cache_clear()
    out = StringIO()
    call_command("setup_pipeline", stdout=out, skip_checks=True)
    assert f"Kafka topic {source.positions}: made, compacted" in out.getvalue()
    source.check()
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("config", "partitions", "why"),
    [
        (POSITIONS_CONFIG, 3, "has 3 partitions where positions_partitions is 4"),
        ({"cleanup.policy": "delete"}, 4, "has a cleanup.policy of 'delete'"),
    ],
)
def test_a_positions_topic_that_would_lose_positions_is_refused(
    kafka: Stack, config: dict[str, str], partitions: int, why: str
) -> None:
    positions = Positions("n", f"p-{uuid.uuid4().hex[:8]}", PARTITIONS)
    make_topics(kafka, positions.topic, partitions=partitions, config=config)

    def refusal() -> str:
        try:
            check_positions_topic({"bootstrap.servers": kafka.bootstrap_servers}, positions)
        except Retriable:  # the broker denies for a moment that it knows a topic which was made just now
            return ""
        except Fatal as error:
            return str(error)
        raise AssertionError("it was not refused")

    assert why in wait_until(refusal, what="the broker to know the topic")


def test_without_its_positions_topic_a_source_waits_and_says_what_makes_it(kafka: Stack) -> None:
    with pytest.raises(Retriable, match=r"run `manage\.py setup_pipeline`"):
        check_positions_topic({"bootstrap.servers": kafka.bootstrap_servers}, Positions("n", "missing", 1))
