"""The sink task with a consumer that does what a test tells it, down to what librdkafka should not do."""

import logging
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from events.schema import check_for
from kafka_client.log import Outage
from sinks.config import SinkOptions
from sinks.control import Control, Restart
from sinks.dead_letters.producing import dead_letters
from sinks.loop.memory import MemoryBudget
from sinks.loop.storing import StoreQueue
from sinks.loop.task import SinkTask
from sinks.loop.workers import Workers
from sinks.records import Batch, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics
from tests.support import event, wait_until
from worker.errors import Fatal
from worker.retry import Backoff, Steps, attempt, in_steps

PARTITION = Partition("topic", 0)


class FakeMessage:
    """A record of the partition; its value tells its offset."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return PARTITION.topic

    def partition(self) -> int:
        return PARTITION.number

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes:
        return event(self._offset)

    def timestamp(self) -> tuple[int, int]:
        return 1, 0

    def key(self) -> None: ...

    def headers(self) -> None: ...

    def error(self) -> None: ...


class FakeConsumer:
    """Has one partition assigned at once, and gives the offsets of `script`, one list a call."""

    def __init__(self, script: list[Sequence[int]]) -> None:
        self.script = script
        self.seeks: list[int] = []
        self.committed_offset = 0
        self.end = 0
        self.is_away = False
        self.is_paused = False
        self.has_left = False
        self._partitions = [TopicPartition(*PARTITION)]
        self._is_subscribed = True

    def subscribe(self, topics: list[str], on_assign: Any, on_revoke: Any, on_lost: Any) -> None:
        on_assign(self, self._partitions)
        self._revoke = on_revoke

    def unsubscribe(self) -> None:
        self._is_subscribed = False

    def assignment(self) -> list[TopicPartition]:
        return self._partitions

    def consume(self, _: int, timeout: float) -> list[FakeMessage]:
        if not self._is_subscribed:
            revoked, self._partitions = self._partitions, []
            self._revoke(self, revoked)
        return [FakeMessage(offset) for offset in self._read()]

    def _read(self) -> Sequence[int]:
        return self.script.pop(0) if self._has_more() else []

    def _has_more(self) -> bool:
        return bool(self.script and self.seeks and not self.is_paused)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(*PARTITION, -1001) for _ in partitions]

    def seek(self, tp: TopicPartition) -> None:
        self.seeks.append(tp.offset)

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.committed_offset = offsets[0].offset

    def get_watermark_offsets(self, tp: TopicPartition, **_: Any) -> tuple[int, int]:
        return 0, self.end

    def list_topics(self, topic: str, timeout: float) -> None:
        if self.is_away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def incremental_assign(self, _: list[TopicPartition]) -> None: ...

    def pause(self, _: list[TopicPartition]) -> None:
        self.is_paused = True

    def resume(self, _: list[TopicPartition]) -> None:
        self.is_paused = False

    def close(self) -> None:
        assert not self._partitions, "the whole process might stand still for ever"
        self.has_left = True


class ListWriter:
    """Stores in a list; reading goes on at `resume_at`."""

    ordered = True
    group = 10

    def __init__(self, resume_at: int | None) -> None:
        self.resume_at = resume_at
        self.offsets: list[int] = []

    async def open(self, partition: Partition, committed: int | None) -> "ListWriter":
        return self

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        self.offsets += [record.offset for batch in batches for record in batch.records]
        return []

    async def rest(self, *, leaving: bool) -> None: ...

    def close(self) -> None: ...


def unwatched() -> dict[str, Any]:
    """What a task needs besides, where a test does not look at it."""
    return {"metrics": SinkMetrics(), "control": Control(), "outage": Outage(logging.getLogger(), "the test waits")}


def make_task(consumer: FakeConsumer, writer: ListWriter, **options: Any) -> SinkTask:
    return SinkTask(
        name="task",
        make_consumer=lambda on_commit: consumer,
        writer=writer,
        check=check_for("select-color"),
        dead_letters=dead_letters(None, sink="sink", topic_of="{}.dlq".format),
        budget=MemoryBudget(1_000_000),
        topics=(PARTITION.topic,),
        options=SinkOptions(flush_records=5, flush_bytes=1_000_000, flush_seconds=0.01, in_flight=1, drain_seconds=5),
        **{**unwatched(), **options},
    )


@contextmanager
def running(task: SinkTask) -> Iterator[None]:
    """Runs a task in a thread until left."""
    stop = threading.Event()
    thread = threading.Thread(target=task.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def test_a_task_whose_consumer_can_not_be_made_leaves_no_thread() -> None:
    def refuse(_: Any) -> Any:
        raise ValueError("wrong options")

    task = make_task(FakeConsumer([]), ListWriter(10))
    threads = set(threading.enumerate())
    with pytest.raises(ValueError, match="wrong options"):
        replace(task, make_consumer=refuse)
    assert set(threading.enumerate()) <= threads


def test_headers_that_are_not_utf_8_do_not_stop_the_sink(monkeypatch: pytest.MonkeyPatch) -> None:
    def headers(message: FakeMessage) -> None:
        if message.offset() == 12:
            raise SystemError("returned a result with an exception set")  # so confluent-kafka tells

    monkeypatch.setattr(FakeMessage, "headers", headers)
    writer = ListWriter(10)
    run(FakeConsumer([range(10, 20)]), writer, 19)
    assert writer.offsets == list(range(10, 20))


def run(consumer: FakeConsumer, writer: ListWriter, last: int) -> None:
    """Runs a task until it has stored the last offset; it leaves the group then."""
    with running(make_task(consumer, writer)):
        wait_until(lambda: last in writer.offsets, what=f"offset {last} stored")
    assert consumer.has_left


@pytest.mark.parametrize("resume_at", [10, None])
def test_a_consumer_that_falls_back_is_put_right_and_no_record_is_stored_again(resume_at: int | None) -> None:
    """librdkafka issue 2256: the lookup of the first offset that failed is repeated and overrules a later seek."""
    first = resume_at or 0
    consumer = FakeConsumer([range(first, 20), range(12), [12, 13], range(20, 30)])
    writer = ListWriter(resume_at)
    run(consumer, writer, 29)
    assert writer.offsets == list(range(first, 30))
    assert consumer.seeks[1:] == [20, 20]
    assert consumer.committed_offset == 30


def test_records_beyond_the_position_are_taken_from_the_midst_of_what_was_stored() -> None:
    consumer = FakeConsumer([range(10, 20), range(25), range(25, 30)])
    writer = ListWriter(10)
    run(consumer, writer, 29)
    assert writer.offsets == list(range(10, 30))


def test_what_kafka_says_at_each_poll_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    consumer = FakeConsumer([range(10, 20)])
    asked: list[int] = []
    answer = consumer.committed

    def committed(partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        asked.append(len(asked))
        if len(asked) < 10:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return answer(partitions, timeout)

    consumer.committed = committed  # type: ignore[method-assign]
    run(consumer, ListWriter(10), 19)
    assert len(asked) == 10
    assert sum("committed offsets" in message for message in caplog.messages) == 1


def test_kafka_away_is_shown_until_it_answers_again() -> None:
    consumer = FakeConsumer([range(10, 20)])
    consumer.end = 20
    outage = Outage(logging.getLogger(__name__), "the test waits")
    # A hundred times as fast: the task looks around every 5 s of its clock.
    task = make_task(consumer, ListWriter(10), outage=outage, clock=lambda: 100 * time.monotonic())

    def partition() -> tuple[Any, ...]:
        return next(((p.state, p.position, p.stored, p.committed, p.end, p.lag) for p in task.status.partitions()), ())

    with running(task):
        wait_until(lambda: partition() == ("running", 20, 20, 20, 20, 0), what="everything stored")
        assert task.status.report().state == "running"
        consumer.is_away = True
        outage.note(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        wait_until(lambda: task.status.report().tries > 1, what="backing off")
        assert task.status.report().state == "backing off"
        assert "Kafka is away" in task.status.report().reason
        consumer.end = 23
        assert partition() == ("running", 20, 20, 20, 20, 0)
        consumer.is_away = False
        wait_until(lambda: partition() == ("running", 20, 20, 20, 23, 3), what="the new end")
        assert task.status.report().state == "running"
        assert not outage.is_away


@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError.GROUP_AUTHORIZATION_FAILED])
def test_an_error_after_which_nothing_more_can_be_read_ends_the_task(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeMessage, "error", lambda _: KafkaError(code))
    with pytest.raises(Fatal, match="Kafka: "):
        make_task(FakeConsumer([[10]]), ListWriter(10)).run(threading.Event())


def test_a_task_closes_its_consumer_also_after_a_fatal_error_of_kafkas_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Fenced(FakeConsumer):
        def unsubscribe(self) -> None:
            raise KafkaException(KafkaError(KafkaError._FATAL))

        def close(self) -> None:
            self.has_left = True

    monkeypatch.setattr(FakeMessage, "error", lambda _: KafkaError(KafkaError._FATAL))
    consumer = Fenced([[10]])
    with pytest.raises(Fatal, match="Kafka: "):
        make_task(consumer, ListWriter(10)).run(threading.Event())
    assert consumer.has_left


def test_an_error_is_shown_as_the_state_of_the_partitions() -> None:
    class Broken(ListWriter):
        async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
            raise Fatal("permission denied")

    task = make_task(FakeConsumer([range(10, 20)]), Broken(10))
    with pytest.raises(Fatal):
        task.run(threading.Event())
    assert [(p.state, p.reason) for p in task.status.partitions()] == [("failed", "permission denied")]


def test_a_task_ends_with_all_stored_when_kafka_never_lets_it_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.group._LEAVE_SECONDS", 0.1)
    let_go = threading.Event()

    class Held(FakeConsumer):
        def close(self) -> None:
            let_go.wait(60)

    consumer, writer = Held([range(10, 20)]), ListWriter(10)
    stop = threading.Event()
    thread = threading.Thread(target=make_task(consumer, writer).run, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: consumer.committed_offset == 20, what="everything committed")
        stop.set()
        thread.join(30)
        assert not thread.is_alive()
    finally:
        stop.set()
        let_go.set()
    assert writer.offsets == list(range(10, 20))


class CommittedWriter(ListWriter):
    """Goes on where Kafka says, as the writer of Elasticsearch does."""

    async def open(self, partition: Partition, committed: int | None) -> "ListWriter":
        self.resume_at = committed
        return self


class RememberingConsumer(FakeConsumer):
    """Knows what was committed, and gives the records of a partition from where it was sought to."""

    def __init__(self, end: int) -> None:
        super().__init__([])
        self.end = end
        self.committed_offset = 10

    def _read(self) -> Sequence[int]:
        if self.is_paused or not self.seeks or self.seeks[-1] >= self.end:
            return []
        first, self.seeks[-1] = self.seeks[-1], self.end
        return range(first, self.end)

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        return [TopicPartition(*PARTITION, self.committed_offset)]


def test_a_partition_that_an_operator_pauses_is_not_read_until_it_is_resumed() -> None:
    control = Control()
    control.want_paused([PARTITION], everything=False)
    consumer, writer = RememberingConsumer(20), CommittedWriter(None)
    task = make_task(consumer, writer, control=control)
    with running(task):
        wait_until(lambda: [p.reason for p in task.status.partitions()] == ["operator"], what="the pause")
        assert consumer.is_paused
        assert writer.offsets == []
        control.want_paused([], everything=True)
        control.want_paused([], everything=False)
        wait_until(lambda: writer.offsets == list(range(10, 20)), what="everything stored")
        assert [(p.state, p.held) for p in task.status.partitions()] == [("running", False)]


def test_a_restart_stores_the_earlier_records_again_and_is_done_once() -> None:
    control = Control()
    consumer, writer = RememberingConsumer(20), CommittedWriter(None)
    with running(make_task(consumer, writer, control=control)):
        wait_until(lambda: consumer.committed_offset == 20, what="everything committed")
        wish = Restart(7, PARTITION, 12)
        control.want_restarts([wish])
        wait_until(lambda: len(writer.offsets) == 18, what="the repeat")
        assert writer.offsets == [*range(10, 20), *range(12, 20)]
        assert control.outcomes() == {7: ""}
        control.want_restarts([wish])
        wait_until(lambda: consumer.committed_offset == 20, what="the commit after the repeat")
        control.want_restarts([Restart(8, PARTITION, 21)])
        wait_until(lambda: len(control.outcomes()) == 2, what="the refusal")
    assert len(writer.offsets) == 18
    assert control.outcomes()[8] == "offset 21 is not below 20: records would be left out"


def test_a_paused_partition_that_is_restarted_stays_paused() -> None:
    control = Control()
    control.want_paused([], everything=True)
    consumer, writer = RememberingConsumer(20), CommittedWriter(None)
    task = make_task(consumer, writer, control=control)
    with running(task):
        control.want_restarts([Restart(1, PARTITION, 5)])
        wait_until(lambda: control.outcomes() == {1: ""}, what="the restart")
        wait_until(lambda: [p.held for p in task.status.partitions()] == [True], what="the pause")
        assert (consumer.committed_offset, writer.offsets) == (5, [])
        control.want_paused([], everything=False)
        wait_until(lambda: writer.offsets == list(range(5, 20)), what="everything from there on")


class RestingWriter(ListWriter):
    """Notes between what was stored when it was called at rest."""

    def __init__(self) -> None:
        super().__init__(10)
        self.rests: list[tuple[int, bool]] = []

    async def rest(self, *, leaving: bool) -> None:
        self.rests.append((len(self.offsets), leaving))


def test_an_idle_partition_is_seen_to_and_left_when_everything_is_stored() -> None:
    writer = RestingWriter()
    with running(make_task(FakeConsumer([range(10, 20)]), writer, clock=lambda: 100 * time.monotonic())):
        wait_until(lambda: (10, False) in writer.rests, what="a rest")
        assert not any(leaving for _, leaving in writer.rests)
    assert writer.rests[-1] == (10, True)
    assert [leaving for _, leaving in writer.rests].count(True) == 1


@pytest.mark.parametrize(("resume_at", "where"), [(None, "with nothing read"), (10, "at offset 10")])
def test_the_log_tells_where_an_idle_partition_was_left(
    resume_at: int | None, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with running(make_task(FakeConsumer([]), ListWriter(resume_at))):
        wait_until(lambda: ": reads " in caplog.text, what="reading")
    assert f"leaves {PARTITION} {where}\n" in caplog.text


def test_a_partition_is_left_once_what_waits_is_stored() -> None:
    stored: list[int] = []
    left: list[tuple[int, bool]] = []
    busy = threading.Event()

    async def store(batches: list[Batch]) -> None:
        await attempt("waiting", lambda: busy.wait(10))
        stored.extend(batch.first_offset for batch in batches)

    async def rest(leaving: bool) -> None:
        left.append((len(stored), leaving))

    workers = Workers(1, "test")
    queue = StoreQueue(workers, lambda b: steps(store(b)), lambda leaving: steps(rest(leaving)), at_once=1, group=1)
    for first in (10, 20, 30):
        queue.add(Batch(PARTITION, first, 0, opened_at=0.0))
    queue.rest()
    queue.rest(leaving=True)
    assert left == []
    busy.set()
    queue.wait(10)
    assert left == [(3, True)]
    workers.close()


def test_a_partition_is_not_left_while_a_group_of_it_is_being_stored() -> None:
    """Where the order does not matter, another thread may find nothing to store, for one group took everything."""
    is_free, goes_on = threading.Event(), threading.Event()
    rests: list[bool] = []

    async def store(batches: list[Batch]) -> None:
        await attempt("waiting", lambda: goes_on.wait(10))

    async def rest(leaving: bool) -> None:
        rests.append(goes_on.is_set())

    workers = Workers(2, "test")
    for _ in range(2):
        workers.submit(lambda: is_free.wait(10) and None)
    queue = StoreQueue(workers, lambda b: steps(store(b)), lambda leaving: steps(rest(leaving)), at_once=2, group=2)
    queue.add(Batch(PARTITION, 10, 0, opened_at=0.0))
    queue.add(Batch(PARTITION, 20, 0, opened_at=0.0))
    queue.rest(leaving=True)
    is_free.set()
    queue.wait(0.3)
    goes_on.set()
    queue.wait(10)
    workers.close()
    assert rests == [True]


def steps(work: Coroutine[Any, Any, None]) -> Steps[None]:
    """Work of a partition that is not given up."""
    return in_steps(work, who="test", backoff=Backoff(), cancelled=threading.Event())
