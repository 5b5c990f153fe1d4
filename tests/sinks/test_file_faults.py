"""The promise of docs/exactly-once.md, on a real Kafka and real stores that fail: every record once, whole, in order.

Tests that say nothing of a store are about HDFS; those of the protocol itself are run on a folder, too.

Each test counts every record across all files (`Store.check`). A sink of a new consumer group knows of no committed
offset and has no dead member to wait for, so most tests start each sink in a group of its own: that it goes on
exactly where the one before it ended is the work of the commit records in the store alone.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import OFFSET_INVALID, Consumer, TopicPartition

from devstack.stack import Stack
from tests.proxy import CuttingProxy, HttpProxy, SlowProxy
from tests.sinks.counting import Store
from tests.sinks.file_bench import KINDS, Bench, each, killed_before, on_both, some_places, spoiling, wait_killed
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.support import committed_offsets, event, produce, three_brokers, wait_until

pytestmark = pytest.mark.integration

TAKE_OVER = {"read topic", "note topic", "begin epoch", "list epochs", "list records"}
STORE = {"upload", "check lengths", "commit", "publish", "remove record"}
ROLL_FORWARD = {"list files of record", "publish", "take record", "remove epoch", "remove uploads"}
OPERATIONS = ("CREATE", "RENAME", "LISTSTATUS", "GETFILESTATUS", "MKDIRS", "DELETE")


def delete_group(stack: Stack, group: str) -> None:
    """In a process of its own: librdkafka's group calls can crash theirs after a broker was restarted."""
    program = (
        "import sys; from confluent_kafka.admin import AdminClient; "
        "admin = AdminClient({'bootstrap.servers': sys.argv[1]}); "
        "admin.delete_consumer_groups([sys.argv[2]])[sys.argv[2]].result(60)"
    )
    subprocess.run([sys.executable, "-c", program, stack.bootstrap_servers, group], check=True, timeout=90)


def commit_offset(stack: Stack, group: str, topic: str, offset: int) -> None:
    """Moves the committed offset of partition 0 of a group that has no members."""
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
    consumer.close()


# Killed with -9


@pytest.mark.parametrize(("bench", "files_per_commit"), [("hdfs", 1), ("hdfs", 32), ("folder", 32)], indirect=["bench"])
def test_killed_between_two_steps_the_next_sink_stores_each_record_once(bench: Bench, files_per_commit: int) -> None:
    bench.stream.produce(20)
    options = {"files_per_commit": files_per_commit, "old_records": 2}
    whole = bench.start(bench.store("whole"), **options)
    bench.finish(bench.store("whole"), whole)

    def kill_before(place: int) -> str | None:
        store = bench.store(place)
        sink = bench.start(store, fault=killed_before(whole.steps, place), **options)
        step = wait_killed(sink, store, 20)
        bench.finish(store, **options)
        assert store.leftovers() == []
        return step

    killed = each(some_places(whole.steps), kill_before)
    expected = TAKE_OVER | STORE if files_per_commit == 1 else TAKE_OVER | STORE - {"remove record"}
    assert expected <= set(killed)


@on_both
def test_killed_at_a_step_of_a_take_over_the_next_sink_completes_it(bench: Bench) -> None:
    bench.stream.produce(20)
    in_mid_publishing = {"do": "kill", "step": "publish", "number": 2}

    def die(store: Store, fault: dict[str, Any]) -> str | None:
        return wait_killed(bench.start(store, fault=fault), store, 20)

    die(bench.store("whole"), in_mid_publishing)
    whole = bench.start(bench.store("whole"))
    bench.finish(bench.store("whole"), whole)
    steps = whole.steps

    def kill_before(place: int) -> str | None:
        store = bench.store(place)
        die(store, in_mid_publishing)
        step = die(store, killed_before(steps, place))
        bench.finish(store)
        assert store.leftovers() == []
        assert len(store.names(f"under-test/{bench.topic}/0/committed")) == 1
        return step

    killed = each(some_places(steps), kill_before)
    assert TAKE_OVER - {"note topic"} | ROLL_FORWARD - {"remove uploads"} <= set(killed)


@on_both
def test_killed_in_the_middle_of_an_upload_the_next_sink_stores_each_record_once(bench: Bench) -> None:
    bench.stream.produce(20)
    sink = bench.start(bench.store(), fault={"do": "cut", "step": "upload", "number": 1})
    assert sink.wait() == -signal.SIGKILL
    bench.finish(bench.store())
    assert bench.store().leftovers() == []


# Answers that are wrong, late or lost


@on_both
def test_an_upload_that_was_cut_but_reported_as_whole_is_sent_again(bench: Bench) -> None:
    bench.stream.produce(20)
    sink = bench.start(bench.store(), fault={"do": "tear", "step": "upload", "number": 1})
    bench.finish(bench.store(), sink)
    assert "the store has stored {" in sink.text


def test_uploads_whose_connection_breaks_midway_are_sent_again(stack: Stack, bench: Bench) -> None:
    bench.stream.produce(200)

    def allowed(number: int) -> int | None:
        return 3000 if number in (0, 2, 5) else None  # a file has about 6,000 bytes

    with CuttingProxy(stack.datanodes[0].address.removeprefix("http://"), allowed) as datanode:
        with HttpProxy(stack.webhdfs_url, redirect=lambda _: datanode.address) as namenode:
            sink = bench.start(bench.store(), hdfs=namenode.url, options={"flush_records": 50})
            bench.finish(bench.store(), sink)
        assert datanode.cut == 3


@pytest.mark.parametrize("step", ["commit", "publish", "take record"])
@pytest.mark.parametrize("lie", ["refuse", "deny"])
def test_a_rename_that_answers_false_loses_and_repeats_nothing(bench: Bench, lie: str, step: str) -> None:
    """refuse: it was not done; deny: it was."""
    bench.stream.produce(20)
    dying = bench.start(bench.store(), fault={"do": "kill", "step": "publish", "number": 1})
    assert dying.wait() == -signal.SIGKILL
    bench.stream.produce(20)
    sink = bench.start(bench.store(), fault={"do": lie, "step": step, "number": 0})
    bench.finish(bench.store(), sink)
    assert f"fault: {lie}: {step}" in sink.text


@pytest.mark.parametrize("fate", ["lose", "refuse", "late"])
def test_requests_whose_reply_is_lost_are_done_once(stack: Stack, bench: Bench, fate: str) -> None:
    """lose: requests to the NameNode are done, but not answered; refuse: not done, not answered;
    late: done when the sink no longer waits for them and perhaps has done them by a second try."""
    bench.stream.produce(15)
    with HttpProxy(stack.webhdfs_url, spoiling(fate, 0.25), late_seconds=0.8) as namenode:
        dying = bench.start(
            bench.store(), hdfs=namenode.url, hdfs_timeout=0.5, fault={"do": "kill", "step": "publish", "number": 1}
        )
        assert dying.wait() == -signal.SIGKILL
        sink = bench.start(bench.store(), hdfs=namenode.url, hdfs_timeout=0.5, old_records=1)
        bench.stream.produce(15)
        bench.finish(bench.store(), sink)
        spoilt = {operation for line in namenode.spoilt for operation in OPERATIONS if f"op={operation}" in line}
        assert spoilt >= {"RENAME", "CREATE", "LISTSTATUS"}
    bench.finish(bench.store())


# Servers that die


def test_a_datanode_that_is_killed_and_comes_back_loses_nothing(stack: Stack, bench: Bench) -> None:
    bench.stream.produce(300)
    sink = bench.start(bench.store(), options={"flush_records": 20})
    bench.store().wait_count(100)
    stack.datanodes[0].kill()
    try:
        bench.stream.produce(300)
        sink.wait_for("failed (try 2")
    finally:
        stack.datanodes[0].start()
        stack.datanodes[0].wait_ready(120)
    bench.finish(bench.store(), sink)


def test_a_datanode_that_is_slow_takes_no_more_memory_and_no_partition_away(stack: Stack, bench: Bench) -> None:
    """80 MB lie in Kafka, 8 MB may be held; for longer than the group waits for a poll nearly nothing gets through."""
    values = [event(number, userName="x" * 1900) for number in range(40_000)]
    produce(stack, bench.topic, values, partition=0)
    store = bench.store()
    options = {"buffer_bytes": 8 * 1024 * 1024, "flush_records": 100_000, "flush_bytes": 2 * 1024 * 1024}
    options |= {"flush_seconds": 2, "drain_seconds": 3}
    consumer = {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300, "max.poll.interval.ms": 5000}
    peak = 0
    datanode = SlowProxy(stack.datanodes[0].address.removeprefix("http://"), 50_000)
    with datanode, HttpProxy(stack.webhdfs_url, redirect=lambda _: datanode.address) as namenode:
        sink = bench.start(store, hdfs=namenode.url, hdfs_timeout=60, options=options, consumer=consumer)
        process = psutil.Process(sink.pid)
        before = process.memory_info().rss
        sink.wait_for(": pauses")
        slow_until = time.monotonic() + 8

        def is_over() -> bool:
            nonlocal peak
            peak = max(peak, process.memory_info().rss)
            return time.monotonic() > slow_until

        wait_until(is_over, what="8 s")
        datanode.bytes_per_second = 30e6
        wait_until(lambda: is_over() and store.count() == len(values), seconds=90, what="all records")
        assert sink.stop() == 0, sink.text[-4000:]
    assert peak - before < 60e6
    assert "lost" not in sink.text
    assert sink.text.count(f"reads {bench.topic}-0 from") == 1
    lines = [line for _, content in sorted(store.files().items()) for line in content.splitlines()]
    assert lines == values


def test_a_namenode_that_is_killed_and_comes_back_loses_nothing(stack: Stack, bench: Bench) -> None:
    bench.stream.produce(300)
    sink = bench.start(bench.store(), options={"flush_records": 20})
    bench.store().wait_count(100)
    stack.namenode.kill()
    try:
        bench.stream.produce(300)
        sink.wait_for("failed (try 2")
    finally:
        stack.namenode.start()
        stack.namenode.wait_ready(120)
    bench.finish(bench.store(), sink)


@pytest.fixture
def kafka_of_three(tmp_path: Path) -> Iterator[Stack]:
    with three_brokers(tmp_path / "brokers") as cluster:
        yield cluster


def test_brokers_that_are_killed_one_after_the_other_lose_nothing(
    stack: Stack, nursery: Nursery, kafka_of_three: Stack
) -> None:
    brokers = kafka_of_three.kafka
    bench = Bench(stack, nursery, partitions=3, kafka=kafka_of_three, replication=3)
    bench.stream.produce(100)
    sink = bench.start(bench.store(), options={"flush_records": 20})
    bench.store().wait_count(100)
    for broker in brokers[:2]:
        broker.kill()
        bench.stream.produce(100)
        bench.store().wait_count(sum(bench.stream.counts), sinks=[sink])
        broker.start()
        broker.wait_ready(120)
    bench.stream.produce(100)
    bench.finish(bench.store(), sink)


# Sinks that come, go and are replaced


def test_partitions_that_move_under_load_are_stored_once(stack: Stack, nursery: Nursery) -> None:
    bench = Bench(stack, nursery, partitions=3)
    group, store = f"g-{bench.topic}", bench.store()
    large = {"flush_records": 50}
    first = bench.start(store, group=group, options=large)
    first.wait_for(": reads ")
    with bench.stream.load(5):
        for leave in (SinkProcess.stop, SinkProcess.kill):
            second = bench.start(store, group=group, options=large)
            second.wait_for(": reads ")
            before = store.count()
            store.wait_count(before + 60)
            leave(second)
            store.wait_count(store.count() + 60)
        second = bench.start(store, group=group, options=large)
        second.wait_for(": reads ")
        assert first.stop() == 0, first.text[-4000:]
        store.wait_count(store.count() + 60)
    bench.finish(store, second)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sink_that_slept_until_another_had_its_partitions_stores_nothing_twice(
    stack: Stack, nursery: Nursery, kind: str
) -> None:
    def sleep_at(step: str) -> None:
        bench = Bench(stack, nursery, kind=kind)
        group, store = f"g-{bench.topic}", bench.store()
        bench.stream.produce(30)
        sleep = {"do": "stop", "step": step, "number": 0}
        zombie = bench.start(store, group=group, files_per_commit=1, old_records=1, fault=sleep)
        zombie.wait_stopped()
        successor = bench.start(store, group=group)
        store.wait_count(30, sinks=[successor])
        zombie.signal(signal.SIGCONT)
        bench.stream.produce(30)
        store.wait_count(60, sinks=[successor, zombie])
        zombie.wait_for("lost")
        assert zombie.stop() == 0, zombie.text[-4000:]
        bench.finish(store, successor)

    each(("begin epoch", "list records", "upload", "commit", "publish", "remove record"), sleep_at)


@on_both
def test_a_sink_whose_upload_a_later_owner_removed_takes_over_again(bench: Bench) -> None:
    """It sleeps in the middle of an upload; Kafka does not miss it, as the other sink is in another group."""
    store = bench.store()
    bench.stream.produce(30)
    patient = {"session.timeout.ms": 120_000}
    sleeper = bench.start(store, consumer=patient, fault={"do": "doze", "step": "upload", "number": 0})
    sleeper.wait_stopped()
    wait_until(store.leftovers, what="the file that is being uploaded")
    other = bench.start(store)
    store.wait_count(30, sinks=[other])
    assert other.stop() == 0
    sleeper.signal(signal.SIGCONT)
    bench.stream.produce(30)
    bench.finish(store, sleeper)
    assert "fenced" in sleeper.text


# Being told to stop


@on_both
def test_sigterm_in_the_middle_of_an_upload_stores_all_that_was_read(stack: Stack, bench: Bench) -> None:
    bench.stream.produce(250)
    group, store = f"g-{bench.topic}", bench.store()
    slow = {"do": "slow", "step": "upload", "number": 1, "seconds": 2.0}
    sink = bench.start(store, group=group, fault=slow, options={"flush_records": 100, "flush_seconds": 3600})
    sink.wait_for("fault: slow")
    assert sink.stop() == 0, sink.text[-4000:]
    store.check(bench.stream)
    assert committed_offsets(stack, group, bench.topic, 1) == [250]


def test_sigterm_with_an_upload_that_takes_too_long_gives_it_up_to_be_stored_once(bench: Bench) -> None:
    bench.stream.produce(250)
    store = bench.store()
    slow = {"do": "slow", "step": "upload", "number": 1, "seconds": 6.0}
    sink = bench.start(store, fault=slow, options={"flush_records": 100, "flush_seconds": 3600, "drain_seconds": 0.5})
    sink.wait_for("fault: slow")
    assert sink.stop(30) == 0, sink.text[-4000:]
    assert "records not stored; they are read again" in sink.text
    bench.finish(store)


def test_sigterm_with_kafka_gone_ends_soon_and_loses_nothing(stack: Stack, bench: Bench) -> None:
    store, (kafka,), target = bench.store(), stack.kafka, {"mode": "append"}
    bench.stream.produce(23)  # of which three wait for more
    sink = bench.start(store, options={"flush_seconds": 600}, target=target)
    store.wait_count(20, sinks=[sink])
    kafka.kill()
    try:
        sink.wait_for("Kafka is away")
        told_at = time.monotonic()
        assert sink.stop() == 0, sink.text[-4000:]
        assert time.monotonic() - told_at < 12, sink.text[-4000:]
    finally:
        kafka.start()
        kafka.wait_ready(60)
    assert store.count() == 20
    bench.finish(store, target=target)


def test_a_second_sigterm_in_the_middle_of_an_upload_ends_at_once_and_loses_nothing(bench: Bench) -> None:
    bench.stream.produce(250)
    store = bench.store()
    slow = {"do": "slow", "step": "upload", "number": 1, "seconds": 60.0}
    sink = bench.start(store, fault=slow, options={"flush_records": 100, "drain_seconds": 120})
    sink.wait_for("fault: slow")
    sink.signal(signal.SIGTERM)
    sink.wait_for("stores what was read and stops")
    sink.signal(signal.SIGTERM)
    assert sink.wait(20) == 128 + signal.SIGTERM
    bench.finish(store)


# What Kafka forgets


def test_committed_offsets_that_are_gone_or_thrown_back_repeat_nothing(stack: Stack, bench: Bench) -> None:
    group, store = f"g-{bench.topic}", bench.store()
    bench.stream.produce(30)
    bench.finish(store, group=group)
    assert committed_offsets(stack, group, bench.topic, 1) == [30]
    delete_group(stack, group)
    assert committed_offsets(stack, group, bench.topic, 1) == [OFFSET_INVALID]
    bench.stream.produce(30)
    bench.finish(store, group=group)
    commit_offset(stack, group, bench.topic, 0)
    bench.stream.produce(30)
    bench.finish(store, group=group)
    assert committed_offsets(stack, group, bench.topic, 1) == [90]


@on_both
def test_a_topic_made_again_stops_the_next_sink_and_leaves_the_old_files_alone(stack: Stack, bench: Bench) -> None:
    store = bench.store()
    bench.stream.produce(30)
    bench.finish(store)
    old = store.files()
    bench.make_topic_again(50)
    sink = bench.start(store)
    assert sink.wait() == 1
    assert f"the topic {bench.topic} was deleted and made again" in sink.text
    assert store.files() == old


@pytest.mark.parametrize("count", [10, 50])
def test_a_topic_made_again_while_a_sink_runs_stops_it(stack: Stack, bench: Bench, count: int) -> None:
    """count: what the new topic holds; the sink's next offset, 30, may be there or not."""
    store = bench.store()
    bench.stream.produce(30)
    sink = bench.start(store)
    store.wait_count(30)
    old = store.files()
    bench.make_topic_again(count)
    assert sink.wait(60) == 1
    assert "made again" in sink.text
    assert store.files() == old
