"""The threads that run work step by step, and the work itself."""

import gc
import threading
import time
import warnings
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from sinks.dead_letters.producing import dead_letters
from sinks.loop.workers import Workers
from sinks.records import Partition, Record, Rejected
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.states import TaskStatus
from tests.support import wait_until
from worker.errors import Pending, Retriable
from worker.retry import Backoff, Retry, Steps, attempt, in_steps

PARTITION = Partition("topic", 0)


def steps(work: Coroutine[Any, Any, Any]) -> Steps[Any]:
    """Work of a partition that is not given up."""
    return in_steps(work, who="test", backoff=Backoff(), cancelled=threading.Event())


def test_work_that_has_not_begun_is_dropped_without_a_warning() -> None:
    async def work() -> None:
        """Never begins."""

    workers, is_free = Workers(1, "test"), threading.Event()
    workers.submit(lambda: is_free.wait(10) and None)
    workers.start(lambda: steps(work()))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        workers.close()
        is_free.set()
        gc.collect()
    # Files that other tests have left open are none of the workers' doing.
    assert [str(warning.message) for warning in told if warning.category is not ResourceWarning] == []


def test_work_that_waits_for_its_next_try_is_ended_when_the_workers_close() -> None:
    metrics = SinkMetrics("sink")

    async def work() -> None:
        with metrics.flush():
            await attempt("storing", is_asked_again)

    def is_asked_again() -> None:
        raise Pending("a moment")

    def in_flight() -> float | None:
        return metrics.registry.get_sample_value("sink_in_flight", {"sink": "sink"})

    workers = Workers(1, "test")
    workers.start(lambda: steps(work()))
    wait_until(lambda: in_flight() == 1, what="the work has begun")
    time.sleep(0.05)  # it may still be on its way into the heap
    workers.close()
    wait_until(lambda: in_flight() == 0, what="the work is ended")


def test_a_thread_without_work_keeps_nothing_of_its_last_job() -> None:
    class Batch:
        """Large."""

    batch, is_done = Batch(), threading.Event()
    kept = weakref.ref(batch)
    workers = Workers(1, "test")
    workers.submit(lambda batch=batch: is_done.set())  # type: ignore[misc]
    assert is_done.wait(10)
    del batch
    wait_until(lambda: kept() is None, what="the batch is free")
    workers.close()


def test_a_step_that_was_pending_first_is_told_when_it_fails() -> None:
    outcomes = iter([Pending("a moment"), Pending("a moment"), Retriable("away"), Retriable("still away")])

    def step() -> None:
        if error := next(outcomes, None):
            raise error

    task = TaskStatus("task", SinkMetrics())
    Retry("test", Backoff(0.001, 0.001), threading.Event(), task.assign(PARTITION))("storing", step)
    assert [error.text for error in task.report().errors] == ["storing: away"]


def test_dead_letters_that_kafka_does_not_take_leave_the_only_thread_to_others() -> None:
    class Silent:
        def produce(self, *_: Any, **__: Any) -> None:
            """Kafka never answers."""

    async def deliver(number: int) -> None:
        letters = dead_letters(Silent(), sink="sink", topic_of="{}.dlq".format)  # type: ignore[arg-type]
        rejected = [Rejected(Record(0, b"bad", 0), "bad")]
        await attempt("delivering", letters(Partition("topic", number), rejected))

    done: list[float] = []

    def other() -> None:
        done.append(time.monotonic())
        workers.submit(other, after=0.001)

    workers = Workers(1, "test")
    for number in range(10):
        workers.start(lambda number=number: steps(deliver(number)))  # type: ignore[misc]
    time.sleep(1.5)  # each holds the thread once
    workers.submit(other)
    time.sleep(1)
    workers.close()
    assert len(done) > 50


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_job_runs_at_its_time_whatever_was_submitted_before_it(threads: int) -> None:
    late: list[float] = []

    def at(due: float) -> Any:
        return lambda: late.append(time.monotonic() - due)

    workers = Workers(threads, "test")
    delays = [0.5, 0.1, 0.3, 0.0, 0.2, 0.4, 0.1]
    for delay in delays:
        workers.submit(at(time.monotonic() + delay), after=delay)
    wait_until(lambda: len(late) == len(delays), what="all ran")
    workers.close()
    assert all(0 <= seconds < 0.4 for seconds in late)
