"""The promise of docs/exactly-once.md, on a real Kafka and a real HDFS that fail: every record once, whole, in order.

Each test counts every record across all files (`Store.check`). A sink of a new consumer group knows of no committed
offset and has no dead member to wait for, so most tests start each sink in a group of its own: that it goes on
exactly where the one before it ended is the work of the commit records in HDFS alone.
"""

import contextlib
import signal
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from devstack.stack import Stack
from tests.sinks.counting import Store, Stream
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.support import make_topics

pytestmark = pytest.mark.integration

Case = TypeVar("Case")
Result = TypeVar("Result")

TAKE_OVER = {"read topic", "note topic", "begin epoch", "list epochs", "list records"}
STORE = {"upload", "check lengths", "commit", "publish", "remove record"}
ROLL_FORWARD = {"list files of record", "publish", "take record", "remove epoch", "remove uploads"}


@pytest.fixture(scope="module")
def nursery(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    folder = tmp_path_factory.mktemp("sinks")
    with Nursery(kafka=stack.bootstrap_servers, hdfs=stack.webhdfs_url, folder=folder) as nursery:
        yield nursery


class Bench:
    """A fresh topic, where a sink stores it, and the settings of that sink."""

    def __init__(self, stack: Stack, nursery: Nursery, *, partitions: int = 1) -> None:
        self.stack = stack
        self.nursery = nursery
        self.topic = f"f-{uuid.uuid4().hex[:8]}"
        make_topics(stack, self.topic, partitions=partitions)
        self.stream = Stream(stack.bootstrap_servers, self.topic, partitions)

    def store(self, case: object = "") -> Store:
        return Store(self.stack, f"/t/{self.topic}/{case}" if case != "" else f"/t/{self.topic}")

    def start(self, store: Store, *, group: str | None = None, **changes: Any) -> SinkProcess:
        """A sink with one task, in a group of its own unless told otherwise."""
        options = {"flush_records": 5, "flush_seconds": 0.3, "retry_seconds": 0.3, **changes.pop("options", {})}
        process = {
            key: changes.pop(key)
            for key in ("fault", "files_per_commit", "old_records", "hdfs", "hdfs_timeout", "kafka")
            if key in changes
        }
        entry = {
            "kind": "hdfs",
            "topics": [self.topic],
            "group": group or f"g-{uuid.uuid4().hex}",
            "tasks": 1,
            "target": {"path": store.path},
            "options": options,
            "consumer": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300},
            **changes,
        }
        return self.nursery.start(entry, **process)

    def finish(self, store: Store, sink: SinkProcess | None = None, **changes: Any) -> None:
        """A sink (a new one unless given) stores the rest and stops; then every record must be there once."""
        sink = sink or self.start(store, **changes)
        sink.wait_for(": reads ")
        store.wait_count(sum(self.stream.counts))
        assert sink.stop() == 0, sink.text[-4000:]
        store.check(self.stream)


@pytest.fixture
def bench(stack: Stack, nursery: Nursery) -> Bench:
    return Bench(stack, nursery)


def each(cases: Iterable[Case], run: Callable[[Case], Result], *, at_a_time: int = 3) -> list[Result]:
    """Runs cases side by side: they mostly wait for Kafka and HDFS."""
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(run, cases))


def wait_killed(sink: SinkProcess, store: Store, records: int) -> str | None:
    """Waits until the sink has died of its fault; the step at which it did, None when it has stored all before."""
    while sink.is_running:
        if "fault:" not in sink.text and store.count() >= records:
            with contextlib.suppress(AssertionError):
                sink.wait(1)  # there may be steps after the last record's
            sink.kill()
    assert sink.code == -signal.SIGKILL, sink.text[-4000:]
    return sink.text.rpartition("fault: kill: ")[2].strip() if "fault:" in sink.text else None


# Killed with -9


@pytest.mark.parametrize("files_per_commit", [1, 32])
def test_killed_between_any_two_steps_the_next_sink_stores_each_record_once(
    bench: Bench, files_per_commit: int
) -> None:
    bench.stream.produce(20)
    options = {"files_per_commit": files_per_commit, "old_records": 2}
    whole = bench.start(bench.store("whole"), **options)
    bench.finish(bench.store("whole"), whole)

    def kill_before(number: int) -> str | None:
        store = bench.store(number)
        sink = bench.start(store, fault={"do": "kill", "number": number}, **options)
        step = wait_killed(sink, store, 20)
        bench.finish(store, **options)
        assert store.leftovers() == []
        return step

    killed = each(range(len(whole.steps)), kill_before)
    expected = TAKE_OVER | STORE if files_per_commit == 1 else TAKE_OVER | STORE - {"remove record"}
    assert expected <= set(killed)


def test_killed_at_any_step_of_a_take_over_the_next_sink_completes_it(bench: Bench) -> None:
    bench.stream.produce(20)
    in_mid_publishing = {"do": "kill", "step": "publish", "number": 2}

    def die(store: Store, fault: dict[str, Any]) -> str | None:
        return wait_killed(bench.start(store, fault=fault), store, 20)

    die(bench.store("whole"), in_mid_publishing)
    whole = bench.start(bench.store("whole"))
    bench.finish(bench.store("whole"), whole)
    steps = whole.steps

    def kill_before(number: int) -> str | None:
        store = bench.store(number)
        die(store, in_mid_publishing)
        step = die(store, {"do": "kill", "number": number})
        bench.finish(store)
        assert store.leftovers() == []
        assert len(store.names(f"under-test/{bench.topic}/0/committed")) == 1
        return step

    killed = each(range(len(steps)), kill_before)
    assert TAKE_OVER - {"note topic"} | ROLL_FORWARD - {"remove uploads"} <= set(killed)
