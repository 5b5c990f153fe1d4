"""Append mode's promise (docs/exactly-once.md) on a real Kafka and real stores that fail: as test_file_faults.py.

Every record is counted across final files and the committed part of open ones.
"""

import signal
from itertools import product
from typing import Any

import pytest

from devstack.stack import Stack
from tests.proxy import CuttingProxy, HttpProxy
from tests.sinks.counting import Store
from tests.sinks.file_bench import KINDS, Bench, each, killed_before, on_both, some_places, spoiling, wait_killed
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.support import wait_until

pytestmark = pytest.mark.integration

STORE = {"upload", "mark open", "check lengths", "commit", "publish", "append", "check length", "close", "forget"}
TAKE_OVER = {"begin epoch", "list epochs", "list records", "take record", "remove epoch", "remove uploads"}
END_OPEN_FILES = {
    "list open",
    "list files of record",
    "take back",
    "cut",
    "settle",
    "remove copied",
    "publish",
    "forget",
}
ONE_BATCH_EACH = {"files_per_commit": 1, "old_records": 1}


def make_bench(stack: Stack, nursery: Nursery, **target: Any) -> Bench:
    return Bench(stack, nursery, **{"mode": "append", "roll_records": 12, **target})


@pytest.fixture
def bench(request: pytest.FixtureRequest, stack: Stack, nursery: Nursery) -> Bench:
    return make_bench(stack, nursery, kind=getattr(request, "param", "hdfs"))


def finish(bench: Bench, store: Store, sink: SinkProcess | None = None, **changes: Any) -> None:
    """The rest is stored, every record is there once, and nothing is left open or over."""
    bench.finish(store, sink, **changes)
    assert store.open_files() == {}
    assert store.leftovers() == []


# Killed with -9


@pytest.mark.parametrize(
    ("kind", "folders", "records"), [("hdfs", "", 20), ("hdfs", "{colorName}", 10), ("folder", "", 20)]
)
def test_killed_between_two_steps_the_next_sink_stores_each_record_once(
    stack: Stack, nursery: Nursery, kind: str, folders: str, records: int
) -> None:
    """With folders each commit tells of four open files, of which two stay open."""
    bench = make_bench(stack, nursery, kind=kind, folders=folders, open_files=2)
    bench.stream.produce(records)
    whole = bench.start(bench.store("whole"), **ONE_BATCH_EACH)
    finish(bench, bench.store("whole"), whole)
    opening = whole.steps.index("upload")

    def kill_before(place: int) -> str | None:
        store = bench.store(place)
        sink = bench.start(store, fault=killed_before(whole.steps, place), **ONE_BATCH_EACH)
        step = wait_killed(sink, store, records)
        finish(bench, store)
        return step

    killed = each(some_places(whole.steps, begin=opening, stride=6 if folders else 3), kill_before)
    assert set(killed) >= STORE


@on_both
def test_killed_at_a_step_of_a_take_over_the_next_sink_completes_it(bench: Bench) -> None:
    """The sink before it died in the middle of an append: what is half there is cut off."""
    bench.stream.produce(20)
    in_mid_append = {"do": "cut", "step": "append", "number": 1}

    def die(store: Store, fault: dict[str, Any]) -> str | None:
        return wait_killed(bench.start(store, fault=fault, **ONE_BATCH_EACH), store, 20)

    die(bench.store("whole"), in_mid_append)
    whole = bench.start(bench.store("whole"))
    finish(bench, bench.store("whole"), whole)

    def kill_before(place: int) -> str | None:
        store = bench.store(place)
        die(store, in_mid_append)
        killed_at = die(store, killed_before(steps, place))
        finish(bench, store)
        assert len(store.names(f"under-test/{bench.topic}/0/committed")) == 1
        return killed_at

    steps = whole.steps[: whole.steps.index("upload")]
    killed = each(some_places(steps), kill_before)
    assert set(killed) >= TAKE_OVER | END_OPEN_FILES


@pytest.mark.parametrize(
    ("bench", "asleep", "step"),
    [
        *product(["hdfs"], ["doze"], ["copy", "settle", "remove copied", "publish", ""]),
        *product(["folder"], ["nap", "doze"], ["settle", ""]),
    ],
    indirect=["bench"],
)
def test_a_file_that_a_sleeping_writer_holds_is_copied(bench: Bench, asleep: str, step: str) -> None:
    """step: at which a first successor is killed; a second one completes it.

    The sleeper's lease in HDFS would never end; into a folder's file it writes when it wakes.
    """
    store = bench.store()
    bench.stream.produce(20)
    patient = {"session.timeout.ms": 120_000}
    doze = {"do": asleep, "step": "append", "number": 1}
    sleeper = bench.start(store, consumer=patient, fault=doze, **ONE_BATCH_EACH)
    sleeper.wait_stopped()
    wait_until(lambda: store.count() == 10, what="what was committed before")
    if step:
        assert wait_killed(bench.start(store, fault={"do": "kill", "step": step, "number": 0}), store, 20) == step
    successor = bench.start(store)
    store.wait_count(20, sinks=[successor])
    assert step or "copy" in successor.steps
    assert successor.stop() == 0, successor.text[-4000:]
    store.check(bench.stream)
    sleeper.signal(signal.SIGCONT)
    bench.stream.produce(10)
    finish(bench, store, sleeper)
    assert "fenced" in sleeper.text


# Answers that are wrong, late or lost


@on_both
def test_an_append_that_was_torn_but_reported_as_whole_is_cut_off(bench: Bench) -> None:
    bench.stream.produce(20)
    sink = bench.start(bench.store(), fault={"do": "tear", "step": "append", "number": 1}, **ONE_BATCH_EACH)
    finish(bench, bench.store(), sink)
    assert "bytes instead of" in sink.text


def test_appends_whose_connection_breaks_midway_or_before_the_answer_are_stored_once(
    stack: Stack, bench: Bench
) -> None:
    bench.stream.produce(200)

    def allowed(number: int) -> int | None:
        return 1500 if number in (2, 5) else None  # an append has about 2,500 bytes

    datanode = CuttingProxy(stack.datanodes[0].address.removeprefix("http://"), allowed, silent=lambda n: n in (3, 8))
    with datanode, HttpProxy(stack.webhdfs_url, redirect=lambda _: datanode.address) as namenode:
        options = {"flush_records": 20}
        sink = bench.start(
            bench.store(), hdfs=namenode.url, options=options, target={"roll_records": 1000}, **ONE_BATCH_EACH
        )
        finish(bench, bench.store(), sink)
    assert datanode.cut == 4
    assert "fenced" in sink.text


@pytest.mark.parametrize("fate", ["lose", "refuse", "late"])
def test_requests_whose_reply_is_lost_are_done_once(stack: Stack, bench: Bench, fate: str) -> None:
    """As the test of that name for flush mode."""
    bench.stream.produce(15)
    with HttpProxy(stack.webhdfs_url, spoiling(fate, 0.2), late_seconds=0.8) as namenode:
        slow = {"hdfs": namenode.url, "hdfs_timeout": 0.5, **ONE_BATCH_EACH}
        dying = bench.start(bench.store(), fault={"do": "kill", "step": "check length", "number": 0}, **slow)
        wait_killed(dying, bench.store(), 15)
        sink = bench.start(bench.store(), **slow)
        bench.stream.produce(15)
        bench.finish(bench.store(), sink)
    finish(bench, bench.store())


def test_renames_that_answer_false_lose_and_repeat_nothing(stack: Stack, nursery: Nursery) -> None:
    """refuse: it was not done; deny: it was."""

    def lie(case: tuple[str, str]) -> None:
        lie, step = case
        bench = make_bench(stack, nursery)
        bench.stream.produce(10)
        dying = bench.start(bench.store(), fault={"do": "cut", "step": "append", "number": 0}, **ONE_BATCH_EACH)
        assert dying.wait() == -signal.SIGKILL
        bench.stream.produce(10)
        sink = bench.start(bench.store(), fault={"do": lie, "step": step, "number": 0}, **ONE_BATCH_EACH)
        finish(bench, bench.store(), sink)
        assert f"fault: {lie}: {step}" in sink.text

    steps = ("commit", "publish", "close", "take record", "take back", "settle")
    each(product(("refuse", "deny"), steps), lie)


# Servers that die


def test_servers_that_die_in_the_middle_of_an_append_and_come_back_lose_nothing(stack: Stack, nursery: Nursery) -> None:
    """The lease that the DataNode had is ended by the NameNode: after a minute, in tests sooner."""
    bench = make_bench(stack, nursery, roll_records=1000)
    bench.stream.produce(100)
    slow = {"do": "slow", "step": "append", "number": 2, "seconds": 3.0}
    sink = bench.start(bench.store(), options={"flush_records": 20}, fault=slow, **ONE_BATCH_EACH)
    sink.wait_for("fault: slow")
    servers = [stack.namenode, stack.datanodes[0]]
    for server in servers:
        server.kill()
    try:
        bench.stream.produce(100)
        sink.wait_for("failed (try 2")
    finally:
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready(120)
    finish(bench, bench.store(), sink)


# Sinks that come, go and are replaced


@pytest.mark.parametrize("kind", KINDS)
def test_a_sink_that_slept_until_another_had_its_partitions_stores_nothing_twice(
    stack: Stack, nursery: Nursery, kind: str
) -> None:
    def sleep_at(step: str) -> None:
        bench = make_bench(stack, nursery, kind=kind)
        group, store = f"g-{bench.topic}", bench.store()
        bench.stream.produce(15)
        if step in END_OPEN_FILES - STORE:
            dying = bench.start(store, fault={"do": "cut", "step": "append", "number": 0}, **ONE_BATCH_EACH)
            assert dying.wait() == -signal.SIGKILL
        sleep = {"do": "stop", "step": step, "number": 0}
        zombie = bench.start(store, group=group, fault=sleep, **ONE_BATCH_EACH)
        zombie.wait_stopped()
        successor = bench.start(store, group=group)
        successor.wait_for(": reads ")
        store.wait_count(15, sinks=[successor])
        zombie.signal(signal.SIGCONT)
        bench.stream.produce(15)
        store.wait_count(30, sinks=[successor, zombie])
        zombie.wait_for("lost")
        assert zombie.stop() == 0, zombie.text[-4000:]
        assert successor.stop() == 0, successor.text[-4000:]
        finish(bench, store)  # its take-over removes what an owner that was fenced in the middle of a copy has left

    steps = (
        "append",
        "check length",
        "commit",
        "publish",
        "close",
        "forget",
        "list open",
        "take back",
        "cut",
        "settle",
    )
    each(steps, sleep_at)


def test_the_mode_can_be_changed_at_any_time(bench: Bench) -> None:
    store = bench.store()
    modes = ["append", "flush", "append", "flush"]
    for number, mode in enumerate(modes):
        bench.stream.produce(15)
        step = "append" if mode == "append" else "publish"
        fault = {"do": "kill_after", "step": step, "number": 0}
        dying = bench.start(store, target={"mode": mode}, fault=fault, **ONE_BATCH_EACH)
        assert dying.wait() == -signal.SIGKILL
        bench.finish(store, target={"mode": modes[number - 1]})
    assert store.leftovers() == []


# Files that are closed


def test_an_idle_file_gets_its_final_name_when_it_is_old(stack: Stack, bench: Bench) -> None:
    store = bench.store()
    bench.stream.produce(7)
    sink = bench.start(store, target={"roll_seconds": 4.0}, options={"flush_seconds": 0.2})
    store.wait_count(7, sinks=[sink])
    assert list(store.files()) == [f"{bench.topic}-0-{0:020d}.open"]
    store.check(bench.stream)
    wait_until(lambda: store.open_files() == {}, what="the file closed")
    assert list(store.files()) == [f"{bench.topic}-0-{0:020d}-{6:020d}.log"]
    bench.stream.produce(5)
    finish(bench, store, sink)


def test_a_sink_that_is_told_to_stop_closes_its_files(stack: Stack, nursery: Nursery) -> None:
    bench = make_bench(stack, nursery, roll_records=1000)
    store = bench.store()
    bench.stream.produce(25)
    sink = bench.start(store, options={"flush_records": 10, "flush_seconds": 3600}, **ONE_BATCH_EACH)
    store.wait_count(20, sinks=[sink])
    assert list(store.open_files()) == [f"{bench.topic}-0-{0:020d}.open"]
    assert sink.stop() == 0, sink.text[-4000:]
    assert list(store.files()) == [f"{bench.topic}-0-{0:020d}-{24:020d}.log"]
    store.check(bench.stream)
    assert store.open_files() == {}
    assert store.leftovers() == []
