"""What a task does for its group: it takes partitions, hands parts to their owners, and waits when there is nothing."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from kafka_client.log import Outage
from sources.config import SourceConfig
from sources.positions import OWNER
from sources.task import SourceTask
from tests.sources.memory import GO_ON, POSITIONS, Ground, source
from tests.sources.numbers import NumbersKind, NumbersTarget
from worker.errors import Fatal, Retriable


class Message:
    """A position that the consumer gives."""

    def __init__(self, offset: int, key: bytes, writer: str) -> None:
        self._offset, self._key, self._writer = offset, key, writer

    def error(self) -> None:
        return None

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return self._key

    def headers(self) -> list[tuple[str, bytes]]:
        return [(OWNER, self._writer.encode())]


class FakeConsumer:
    """Notes what the task asks of it; gives what a test puts into `messages`."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.waits: list[float] = []
        self.sought: list[int] = []

    def incremental_assign(self, _: Any) -> None:
        """Nothing to do."""

    pause = resume = incremental_assign

    def seek(self, tp: TopicPartition) -> None:
        self.sought.append(tp.offset)

    def consume(self, _: int, timeout: float) -> list[Message]:
        self.waits.append(timeout)
        messages, self.messages = self.messages, []
        return messages


class Tasks:
    """A task on Kafka in memory; `now` is the ground's."""

    def __init__(self, kind: NumbersKind | None = None, **values: Any) -> None:
        self.ground = Ground(source(NumbersTarget(topic="t", count=4), **values), kind or NumbersKind())
        self.ground.owner(())  # makes the work
        self.consumer = FakeConsumer()
        self.task = SourceTask(
            work=replace(self.ground.work),
            make_consumer=lambda: self.consumer,  # type: ignore[arg-type,return-value]
            check_topic=lambda: None,
            release=lambda: None,
            outage=Outage(logging.getLogger("test"), ""),
        )
        self.task._consumer = self.consumer  # type: ignore[assignment]

    def assign(self, number: int = 0) -> None:
        self.task._assign(self.consumer, [TopicPartition(POSITIONS.topic, number)])  # type: ignore[arg-type]

    def turn(self, times: int = 1, *, after: float = 0.0) -> None:
        for _ in range(times):
            self.ground.now += after
            self.task.run_once(GO_ON)


def test_a_task_without_partitions_waits_and_asks_for_no_parts() -> None:
    class Unasked(NumbersKind):
        def parts(self, source: SourceConfig) -> Iterable[str]:
            raise AssertionError

    tasks = Tasks(Unasked())
    tasks.turn(3)
    assert min(tasks.consumer.waits) > 0.1


def test_an_idle_task_waits_until_a_part_is_due() -> None:
    tasks = Tasks(poll_seconds=0.1)
    tasks.assign()
    tasks.turn(4, after=0.02)
    assert tasks.ground.kafka.values("t") == [f"a {number}" for number in range(4)]
    assert 0 < tasks.consumer.waits[-1] <= 0.1


def test_the_group_is_served_between_owners_that_take_long_and_all_of_them_have_their_turns() -> None:
    class Slow:
        watch_from = None

        def __init__(self, number: int) -> None:
            self.number = number
            self.due_at = 0.0

        def step(self, _: threading.Event) -> None:
            stepped.append(self.number)
            tasks.ground.now += 60
            self.due_at = tasks.ground.now

    tasks, stepped = Tasks(), list[int]()
    tasks.task._owners = {number: Slow(number) for number in range(3)}  # type: ignore[misc]
    tasks.task._list_at = float("inf")
    tasks.turn(6)
    assert stepped == [0, 1, 2, 0, 1, 2]
    assert len(tasks.consumer.waits) == 6


def test_parts_that_can_not_be_listed_are_asked_for_again_while_known_ones_go_on() -> None:
    class Away(NumbersKind):
        is_away = False

        def parts(self, source: SourceConfig) -> Iterable[str]:
            if self.is_away:
                raise Retriable("no answer")
            return ["a"]

    kind = Away()
    tasks = Tasks(kind, options={"transaction_records": 1, "retry_seconds": 0.1})
    tasks.assign()
    tasks.turn()
    kind.is_away = True
    tasks.turn(2, after=2.0)
    assert (tasks.task.status.report().state, tasks.task.status.report().reason) == (
        "backing off",
        "looking for parts: no answer",
    )
    assert [part.part for part in tasks.task.status.parts()] == ["a"]
    kind.is_away = False
    tasks.turn(after=2.0)
    assert tasks.task.status.report().state == "running"


def test_a_partition_beyond_those_that_are_expected_stops_the_source() -> None:
    with pytest.raises(Fatal, match="has got more partitions than positions_partitions says"):
        Tasks().assign(1)


def test_a_position_that_another_writes_reaches_the_owner_and_what_lies_before_it_does_not() -> None:
    tasks = Tasks(poll_seconds=0.1)
    tasks.assign()
    tasks.turn(2)
    offset, key, writer = tasks.ground.kafka.set_position("a", {"next": 2})
    assert tasks.consumer.sought == [0]
    tasks.consumer.messages = [Message(offset, key, writer)]
    tasks.turn(4, after=1.0)
    assert tasks.ground.kafka.values("t") == ["a 0", "a 1", "a 2", "a 3", "a 2", "a 3"]


def test_a_task_that_gives_a_partition_up_closes_its_owner() -> None:
    tasks = Tasks()
    tasks.assign()
    tasks.turn()
    assert tasks.task.status.partitions == {0}
    tasks.task._give_up(tasks.consumer, [TopicPartition(POSITIONS.topic, 0)])  # type: ignore[arg-type]
    assert (tasks.task.status.partitions, tasks.task.status.parts()) == (set(), [])


def test_a_source_that_is_told_to_stop_while_its_topic_is_missing_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise Retriable("no topic")

    tasks, stop = Tasks(), threading.Event()
    tasks.task.check_topic = missing
    left: list[str] = []
    monkeypatch.setattr("sources.task.leave_group", lambda _, name: left.append(name))
    tasks.consumer.subscribe = lambda *_, **__: None  # type: ignore[attr-defined]
    thread = threading.Thread(target=tasks.task.run, args=(stop,))
    thread.start()
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert left == ["n/0"]
