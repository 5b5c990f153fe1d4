"""What is stuck in one partition, topic or dead-letter topic stops nothing else: everything else flows on."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition

from events.schema import check_for
from sinks.config import SinkOptions
from sinks.loop.letter_limit import LetterLimit
from sinks.loop.memory import MemoryBudget
from sinks.loop.task import SinkTask
from sinks.records import Batch, Partition, Rejected
from tests.sinks.test_task import FakeMessage, running, unwatched
from tests.support import event, wait_until
from worker.errors import Retriable
from worker.retry import attempt

STUCK, *OTHERS = PARTITIONS = [Partition("topic", number) for number in range(4)]
BAD = b"no JSON"
PLENTY = 5_000
"""So many records of a partition are more than its share of the memory."""


class Record(FakeMessage):
    """A record of any partition. value: of each record of the partition."""

    def __init__(self, partition: Partition, offset: int, value: bytes) -> None:
        super().__init__(offset)
        self._place = partition
        self._value = value

    def topic(self) -> str:
        return self._place.topic

    def partition(self) -> int:
        return self._place.number

    def value(self) -> bytes:
        return self._value


class Endless:
    """A consumer that has more records of each of its partitions whenever it is asked. values: of their records."""

    def __init__(self, partitions: list[Partition], values: dict[Partition, bytes]) -> None:
        self._partitions = [TopicPartition(*partition) for partition in partitions]
        self._values = values
        self._positions: dict[Partition, int] = {}
        self._paused: set[Partition] = set()

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        self._on_revoke = on_revoke
        on_assign(self, self._partitions)

    def unsubscribe(self) -> None:
        revoked, self._partitions = self._partitions, []
        self._on_revoke(self, revoked)

    def assignment(self) -> list[TopicPartition]:
        return self._partitions

    def consume(self, _: int, timeout: float) -> list[Record]:
        found = []
        for partition in self._positions.keys() - self._paused:
            first = self._positions[partition]
            self._positions[partition] += 20
            value = self._values.get(partition, event(1))
            found += [Record(partition, offset, value) for offset in range(first, first + 20)]
        return found

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(tp.topic, tp.partition, -1001) for tp in partitions]

    def seek(self, tp: TopicPartition) -> None:
        self._positions[Partition(tp.topic, tp.partition)] = max(0, tp.offset)

    def pause(self, partitions: list[TopicPartition]) -> None:
        self._paused |= {Partition(tp.topic, tp.partition) for tp in partitions}

    def resume(self, partitions: list[TopicPartition]) -> None:
        self._paused -= {Partition(tp.topic, tp.partition) for tp in partitions}

    def get_watermark_offsets(self, tp: TopicPartition, **_: Any) -> tuple[int, int]:
        return 0, 1_000_000

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None: ...

    def incremental_assign(self, _: list[TopicPartition]) -> None: ...

    def close(self) -> None: ...


def away() -> None:
    """What a server that is away does to a step."""
    raise Retriable("away", reason="unreachable")


class Counting:
    """A writer that counts the records it has stored. stuck: the partitions for which a step (open, store) fails."""

    ordered = True
    group = 10

    def __init__(self, *, open: Sequence[Partition] = (), store: Sequence[Partition] = ()) -> None:
        self._stuck_opening, self._stuck_storing = open, store
        self.stored = dict.fromkeys(PARTITIONS, 0)

    async def open(self, partition: Partition, committed: int | None) -> Any:
        if partition in self._stuck_opening:
            await attempt("opening", away)
        return CountingPartition(self, partition)

    async def store(self, partition: Partition, batches: Sequence[Batch]) -> list[Rejected]:
        if partition in self._stuck_storing:
            await attempt("storing", away)
        self.stored[partition] += sum(batch.count for batch in batches)
        return []


class CountingPartition:
    """Its part of one partition."""

    resume_at = 0

    def __init__(self, writer: Counting, partition: Partition) -> None:
        self._writer = writer
        self._partition = partition

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        return await self._writer.store(self._partition, batches)

    async def rest(self, *, leaving: bool) -> None: ...


class Letters:
    """Delivers at once, but for the dead letters of some partitions, whose topic is missing."""

    def __init__(self, stuck: Sequence[Partition] = ()) -> None:
        self._stuck = stuck
        self.delivered = dict.fromkeys(PARTITIONS, 0)

    def round(self, partition: Partition, rejected: Sequence[Rejected]) -> Callable[[], None]:
        def deliver() -> None:
            if partition in self._stuck:
                away()
            self.delivered[partition] += len(rejected)

        return deliver


def options(**others: Any) -> SinkOptions:
    return SinkOptions(**{"flush_records": 100, "flush_bytes": 10**6, "in_flight": 1, "drain_seconds": 0, **others})


@contextmanager
def sink(
    writer: Counting,
    letters: Letters,
    *,
    values: dict[Partition, bytes] | None = None,
    tasks: Sequence[list[Partition]] = (PARTITIONS,),
    threads: int = 1,
) -> Iterator[list[SinkTask]]:
    """Runs the tasks of a sink on 400 kB of memory. values: of the records; threads: those of a task that store."""
    budget = MemoryBudget(400_000)
    made = [
        SinkTask(
            name=f"task-{number}",
            make_consumer=lambda _, partitions=partitions: Endless(partitions, values or {}),
            writer=writer,
            check=check_for("select-color"),
            dead_letters=letters.round,
            budget=budget,
            topics=("topic",),
            options=options(in_flight=threads, dead_letters_per_minute=1_000_000, dead_letter_share=1.0),
            **unwatched(),
        )
        for number, partitions in enumerate(tasks)
    ]
    with ExitStack() as stack:
        for task in made:
            stack.enter_context(running(task))
        yield made


def states(tasks: list[SinkTask]) -> dict[int, tuple[str, str]]:
    """State and reason of each partition."""
    reports = [report for task in tasks for report in task.status.partitions()]
    return {report.partition: (report.state, report.reason) for report in reports}


def wait_for(writer: Counting, partitions: Sequence[Partition], count: int = PLENTY) -> None:
    wait_until(lambda: all(writer.stored[partition] >= count for partition in partitions), what="the others flow")


ONE_TASK = (PARTITIONS,)
A_TASK_EACH = tuple([partition] for partition in PARTITIONS)


@pytest.mark.parametrize("tasks", [ONE_TASK, A_TASK_EACH], ids=["one task", "a task each"])
def test_a_missing_dead_letter_topic_stops_its_own_partition_alone(tasks: Sequence[list[Partition]]) -> None:
    writer, letters = Counting(), Letters(stuck=[STUCK])
    with sink(writer, letters, values={STUCK: BAD}, tasks=tasks) as made:
        wait_for(writer, OTHERS)
        assert states(made)[STUCK.number][0] == "backing off"
        assert "delivering dead letters: away" in states(made)[STUCK.number][1]
    assert letters.delivered[STUCK] == writer.stored[STUCK] == 0


@pytest.mark.parametrize("tasks", [ONE_TASK, A_TASK_EACH], ids=["one task", "a task each"])
def test_partitions_that_can_not_be_stored_leave_the_only_thread_to_the_others(
    tasks: Sequence[list[Partition]],
) -> None:
    writer = Counting(store=PARTITIONS[:3])
    with sink(writer, Letters(), tasks=tasks) as made:
        wait_for(writer, PARTITIONS[3:])
        assert [states(made)[number][0] for number in range(3)] == ["backing off"] * 3


def test_a_partition_that_is_slow_is_paused_and_does_not_set_the_pace_of_the_others() -> None:
    class Slow(Counting):
        group = 1

        async def store(self, partition: Partition, batches: Sequence[Batch]) -> list[Rejected]:
            if partition == STUCK:
                await attempt("storing", lambda: slowly.wait(0.15))
            return await super().store(partition, batches)

    slowly = threading.Event()
    writer = Slow()
    with sink(writer, Letters(), tasks=([STUCK, OTHERS[0]], OTHERS[1:]), threads=2) as made:
        wait_until(lambda: states(made).get(STUCK.number) == ("paused", "memory"), what="the slow one is paused")
        wait_for(writer, OTHERS)
        assert writer.stored[STUCK] < writer.stored[OTHERS[0]] / 2
        slowly.set()


def test_partitions_that_wait_to_be_taken_over_let_the_next_one_be_opened() -> None:
    writer = Counting(open=PARTITIONS[:3])
    with sink(writer, Letters()) as made:
        wait_for(writer, PARTITIONS[3:])
        assert [states(made)[number][0] for number in range(3)] == ["backing off"] * 3
        assert states(made)[3][0] == "running"


def test_a_partition_is_opened_while_the_only_storing_thread_hangs() -> None:
    class Hanging(Counting):
        async def store(self, partition: Partition, batches: Sequence[Batch]) -> list[Rejected]:
            if partition == STUCK:
                hangs.set()
                await attempt("storing", lambda: goes_on.wait(60))
            return []

        async def open(self, partition: Partition, committed: int | None) -> Any:
            if partition != STUCK:
                await attempt("waiting", lambda: hangs.wait(60))
            return await super().open(partition, committed)

    hangs, goes_on = threading.Event(), threading.Event()
    with sink(Hanging(), Letters()) as made:
        wait_until(
            lambda: all(states(made).get(each.number, ("",))[0] in ("running", "paused") for each in OTHERS),
            what="the others are open",
        )
        assert hangs.is_set()
        goes_on.set()


def test_a_missing_topic_is_told_by_the_task_until_it_is_there() -> None:
    class Missing(Endless):
        def __init__(self) -> None:
            super().__init__(OTHERS, {})
            self.error: KafkaError | None = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
            self._has_told = False

        def consume(self, count: int, timeout: float) -> list[Record]:
            found = super().consume(count, timeout)
            if not self._has_told:  # librdkafka tells it once
                self._has_told = True
                record = Record(Partition("absent", -1), 0, b"")
                record.error = lambda told=self.error: told
                found.append(record)
            return found

        def list_topics(self, topic: str, timeout: float) -> Any:
            metadata = type("Metadata", (), {"error": self.error})
            return type("Cluster", (), {"topics": {topic: metadata}})

    consumer, writer = Missing(), Counting()
    seconds = iter(range(10**9))
    task = SinkTask(
        name="task",
        make_consumer=lambda _: consumer,
        writer=writer,
        check=check_for("select-color"),
        dead_letters=Letters().round,
        budget=MemoryBudget(400_000),
        topics=("topic", "absent"),
        options=options(dead_letters_per_minute=1, dead_letter_share=1.0),
        clock=lambda: float(next(seconds)),
        **unwatched(),
    )
    with running(task):
        wait_until(lambda: task.status.report().tries > 1, what="the topic is looked for again")
        report = task.status.report()
        assert (report.state, report.reason) == (
            "backing off",
            "Kafka has no topic absent: run `manage.py setup_pipeline`",
        )
        consumer.error = None
        wait_until(lambda: task.status.report().state == "running", what="the topic is there")
        wait_until(lambda: sum(writer.stored.values()) > 0, what="the other topic is stored")


def test_dead_letters_are_held_back_while_most_records_of_the_last_minute_are_bad() -> None:
    now = 0.0
    limit = LetterLimit(per_minute=100, share=0.5, clock=lambda: now)
    limit.admit(2_000, 2_000)  # the first ones always pass: what is wrong is to be seen
    with pytest.raises(Retriable, match="2000 of 2000 records of the last minute became dead letters, and 50 of"):
        limit.admit(50, 50)
    now = 59.0
    with pytest.raises(Retriable):
        limit.admit(50, 50)
    now = 60.1
    limit.admit(50, 50)


def test_many_dead_letters_among_many_more_good_records_pass() -> None:
    limit = LetterLimit(per_minute=100, share=0.5, clock=lambda: 0.0)
    for _ in range(100):
        limit.admit(400, 1_000)


def test_good_records_between_bad_ones_count_though_they_are_stored_without_a_dead_letter() -> None:
    """One group of records in twenty is bad throughout: a twentieth of all."""

    class Grouping(Counting):
        group = 1

    class Mixed(Endless):
        def consume(self, count: int, timeout: float) -> list[Record]:
            found = super().consume(count, timeout)
            for record in found:
                if record.offset() // 100 % 20 == 0:
                    record._value = BAD
            return found

    writer, letters = Grouping(), Letters()
    consumer = Mixed([STUCK], {})
    task = SinkTask(
        name="task",
        make_consumer=lambda _: consumer,
        writer=writer,
        check=check_for("select-color"),
        dead_letters=letters.round,
        budget=MemoryBudget(400_000),
        topics=("topic",),
        options=options(dead_letters_per_minute=150, dead_letter_share=0.5),
        **unwatched(),
    )
    with running(task):
        wait_until(lambda: letters.delivered[STUCK] >= 400, what="more dead letters than the limit")
