"""The HDFS sink as an operator runs it: a process of its own, on real servers, counted record by record."""

import json
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from devstack.stack import Stack
from tests.support import (
    Process,
    committed_count,
    committed_offsets,
    end_offsets,
    event,
    hdfs_files,
    hdfs_lines,
    produce,
    read_topic,
    set_topic,
    wait_assigned,
    wait_until,
)

pytestmark = pytest.mark.integration

RunSink = Callable[..., Process]


def entry(topic: str, **changes: Any) -> dict[str, Any]:
    options = {"flush_records": 10, "flush_seconds": 0.5, **changes.pop("options", {})}
    return {
        "kind": "hdfs",
        "topics": [topic],
        "group": f"g-{topic}",
        "target": {"path": f"/t/{topic}"},
        "options": options,
        **changes,
    }


def stored(stack: Stack, topic: str) -> Counter[bytes]:
    return Counter(hdfs_lines(stack, f"/t/{topic}"))


def wait_stored(stack: Stack, topic: str, count: int, seconds: float = 60) -> Counter[bytes]:
    wait_until(lambda: len(stored(stack, topic)) >= count, seconds=seconds, what=f"{count} lines")
    return stored(stack, topic)


def test_stores_each_record_once_in_files_named_by_offsets(stack: Stack, topic: str, run_sink: RunSink) -> None:
    events = [event(n) for n in range(60)]
    produce(stack, topic, events)
    sink = run_sink(entry(topic, options={"flush_seconds": 60}))
    assert wait_stored(stack, topic, 60) == Counter(events)
    files = hdfs_files(stack, f"/t/{topic}")
    assert sorted(files) == sorted(
        f"{topic}-{partition}-{first:020d}-{first + 9:020d}.log" for partition in range(3) for first in (0, 10)
    )
    for partition in range(3):
        name = f"{topic}-{partition}-{0:020d}-{9:020d}.log"
        assert files[name].splitlines() == events[partition:30:3]
    assert sink.stop() == 0
    assert committed_offsets(stack, f"g-{topic}", topic) == [20, 20, 20]


def test_behind_the_marks_of_transactions_nothing_is_left_to_do(stack: Stack, topic: str, run_sink: RunSink) -> None:
    sink = run_sink(entry(topic))
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "transactional.id": topic})
    producer.init_transactions(30)
    for numbers, end, offset in (
        (range(10), producer.commit_transaction, 11),
        (range(10, 15), producer.abort_transaction, 17),
        (range(15, 17), producer.commit_transaction, 20),
    ):
        producer.begin_transaction()
        for number in numbers:
            producer.produce(topic, event(number), partition=0)
        producer.flush(30)  # else ending it badly would drop them
        end(30)
        wait_until(lambda: committed_offsets(stack, f"g-{topic}", topic)[0] == offset)  # noqa: B023
    produce(stack, topic, [event(17)], partition=0)
    stored_ones = [event(number) for number in (*range(10), *range(15, 18))]
    assert wait_stored(stack, topic, len(stored_ones)) == Counter(stored_ones)
    assert sink.stop() == 0
    assert committed_offsets(stack, f"g-{topic}", topic)[0] == end_offsets(stack, topic)[0] == 21


def test_stores_a_partial_batch_when_its_time_is_up(stack: Stack, topic: str, run_sink: RunSink) -> None:
    run_sink(entry(topic, options={"flush_seconds": 0.3}))
    produce(stack, topic, [event(1)], partition=2)
    wait_stored(stack, topic, 1)
    assert list(hdfs_files(stack, f"/t/{topic}")) == [f"{topic}-2-{0:020d}-{0:020d}.log"]


def test_sigterm_stores_what_was_read_and_exits_0(stack: Stack, topic: str, run_sink: RunSink) -> None:
    sink = run_sink(entry(topic, options={"flush_records": 1000, "flush_seconds": 3600}))
    events = [event(n) for n in range(100)]
    produce(stack, topic, events)
    wait_assigned(sink)
    before = stored(stack, topic)
    assert not before
    # What was read is known to the sink alone; whatever it is, it must be stored once, the rest by the next run.
    assert sink.stop() == 0
    second = run_sink(entry(topic))
    assert wait_stored(stack, topic, 100) == Counter(events)
    assert second.stop() == 0
    assert stored(stack, topic) == Counter(events)


def test_sigterm_in_mid_stream_loses_nothing_and_repeats_nothing(stack: Stack, topic: str, run_sink: RunSink) -> None:
    events = [event(n) for n in range(2400)]
    produce(stack, topic, events)
    sink = run_sink(entry(topic, options={"drain_seconds": 200}))
    wait_until(lambda: len(hdfs_files(stack, f"/t/{topic}")) > 5, what="the first files")
    assert sink.stop(210) == 0
    assert committed_count(stack, f"g-{topic}", topic) == sum(stored(stack, topic).values())
    sink = run_sink(entry(topic, options={"flush_records": 500}))
    assert wait_stored(stack, topic, 2400) == Counter(events)
    assert sink.stop() == 0


def test_kill_9_and_restart_loses_nothing(stack: Stack, topic: str, run_sink: RunSink) -> None:
    events = [event(n) for n in range(6000)]
    produce(stack, topic, events)
    sink = run_sink(entry(topic))
    wait_until(lambda: len(hdfs_files(stack, f"/t/{topic}")) > 5, what="the first files")
    sink.kill()
    run_sink(entry(topic, options={"flush_records": 500}))
    assert set(wait_stored(stack, topic, 6000)) == set(events)


def test_second_signal_exits_at_once(stack: Stack, topic: str, run_sink: RunSink) -> None:
    sink = run_sink(entry(topic, options={"drain_seconds": 120, "flush_seconds": 3600}))
    wait_assigned(sink)
    stack.namenode.pause()  # storing hangs
    try:
        produce(stack, topic, [event(n) for n in range(30)])
        sink.wait_for(": stores ")
        sink.signal(signal.SIGTERM)
        sink.wait_for("stores what was read and stops")
        sink.signal(signal.SIGTERM)
        assert sink.wait(10) == 128 + signal.SIGTERM
    finally:
        stack.namenode.resume()
    run_sink(entry(topic))
    wait_stored(stack, topic, 30)


def test_bad_records_become_dead_letters_and_the_rest_is_stored(stack: Stack, topic: str, run_sink: RunSink) -> None:
    good = [event(n) for n in range(8)]
    bad: list[bytes | None] = [b"no json", b'{"timestamp":"2026-11-20T10:15:30.123+0900"}', None]
    produce(stack, topic, [bad[0], *good[:4], bad[1], *good[4:], bad[2]], partition=1)
    sink = run_sink(entry(topic))
    assert wait_stored(stack, topic, 8) == Counter(good)
    letters = read_topic(stack, f"{topic}.dlq", 3)
    letters.sort(key=lambda letter: int(dict(letter.headers())["dlq.offset"]))
    assert [letter.value() for letter in letters] == bad
    headers = [dict(letter.headers()) for letter in letters]
    assert [h["dlq.offset"] for h in headers] == [b"0", b"5", b"10"]
    assert {(h["dlq.topic"], h["dlq.partition"], h["dlq.sink"]) for h in headers} == {
        (topic.encode(), b"1", b"under-test")
    }
    assert b"JSON is malformed" in headers[0]["dlq.reason"]
    assert b"userAgent" in headers[1]["dlq.reason"]
    assert b"no value" in headers[2]["dlq.reason"]
    assert sink.stop() == 0
    assert committed_offsets(stack, f"g-{topic}", topic)[1] == 11


def test_a_dead_letter_is_delivered_before_its_offset_counts_as_done(
    stack: Stack, topic: str, run_sink: RunSink
) -> None:
    set_topic(stack, f"{topic}.dlq", **{"max.message.bytes": "100"})  # refuses every dead letter, headers and all
    produce(stack, topic, [b"bad 1", event(1), b"bad 2"], partition=0)
    sink = run_sink(entry(topic, tasks=1, options={"drain_seconds": 1}))
    sink.wait_for("delivering dead letters failed")
    assert sink.stop() == 0
    assert not stored(stack, topic)
    set_topic(stack, f"{topic}.dlq", **{"max.message.bytes": "1000000"})
    run_sink(entry(topic, tasks=1))
    assert wait_stored(stack, topic, 1) == Counter([event(1)])
    assert sorted(letter.value() for letter in read_topic(stack, f"{topic}.dlq", 2)) == [b"bad 1", b"bad 2"]


def test_a_dead_letter_that_is_too_large_keeps_its_origin(stack: Stack, topic: str, run_sink: RunSink) -> None:
    set_topic(stack, f"{topic}.dlq", **{"max.message.bytes": "2000"})
    produce(stack, topic, [b"x" * 900_000, event(1)], partition=0)
    run_sink(entry(topic, tasks=1))
    assert wait_stored(stack, topic, 1) == Counter([event(1)])
    (letter,) = read_topic(stack, f"{topic}.dlq", 1)
    assert letter.value() is None
    headers = dict(letter.headers())
    assert (headers["dlq.offset"], headers["dlq.size"]) == (b"0", b"900000")


def test_memory_above_its_bound_is_stored_early_and_reading_goes_on(
    stack: Stack, topic: str, run_sink: RunSink
) -> None:
    big = [event(n, userName="x" * 10_000) for n in range(400)]
    produce(stack, topic, big, partition=0)
    options = {"buffer_bytes": 1024 * 1024, "flush_records": 100_000, "flush_seconds": 3600}  # only memory is short
    sink = run_sink(entry(topic, tasks=1, options=options))
    wait_until(lambda: stored(stack, topic).total() >= 280, seconds=60, what="all but the last open batch")
    assert sink.stop() == 0
    run_sink(entry(topic, tasks=1))  # the first run may have ended before it had read all
    assert wait_stored(stack, topic, len(big)) == Counter(big)


def test_a_value_that_spans_lines_is_stored_as_one_line(stack: Stack, topic: str, run_sink: RunSink) -> None:
    pretty = json.dumps(json.loads(event(1)), indent=2).encode()
    produce(stack, topic, [pretty], partition=0)
    run_sink(entry(topic))
    (line,) = wait_stored(stack, topic, 1)
    assert json.loads(line) == json.loads(pretty)


def test_namenode_away_is_waited_for(stack: Stack, topic: str, run_sink: RunSink) -> None:
    sink = run_sink(entry(topic))
    wait_assigned(sink)
    stack.namenode.kill()
    events = [event(n) for n in range(30)]
    try:
        produce(stack, topic, events)
        sink.wait_for("failed (try 2")
        assert sink.is_running()
    finally:
        stack.namenode.start()
        stack.namenode.wait_ready(90)
    assert wait_stored(stack, topic, 30) == Counter(events)


def test_a_lost_offset_stops_the_sink_loudly(stack: Stack, topic: str, run_sink: RunSink) -> None:
    produce(stack, topic, [event(n) for n in range(3)], partition=0)
    sink = run_sink(entry(topic, tasks=1))
    wait_stored(stack, topic, 3)
    assert sink.stop() == 0
    assert end_offsets(stack, topic)[0] == 3
    # Kafka's retention deletes what was not read yet.
    produce(stack, topic, [event(n) for n in range(3, 8)], partition=0)
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(topic, 0, 6)]).values():
        future.result()
    sink = run_sink(entry(topic, tasks=1), wait=False)
    assert sink.wait(60) == 1
    assert f"{topic}-0 offset 3 is not in Kafka" in sink.text


def test_a_sink_whose_group_is_ahead_of_its_files_stops_and_says_how_to_decide(
    stack: Stack, topic: str, run_sink: RunSink
) -> None:
    produce(stack, topic, [event(n) for n in range(8)], partition=0)
    sink = run_sink(entry(topic, tasks=1))
    wait_stored(stack, topic, 8)
    assert sink.stop() == 0
    produce(stack, topic, [event(n) for n in range(8, 12)], partition=0)
    consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": f"g-{topic}"})
    consumer.commit(offsets=[TopicPartition(topic, 0, 10)], asynchronous=False)
    consumer.close()
    sink = run_sink(entry(topic, tasks=1), wait=False)
    assert sink.wait(60) == 1
    assert "has stored everything below offset 10, but what lies in" in sink.text
    assert f"manage.py rewind --sink under-test --partition {topic}-0 --to 8" in sink.text


def test_two_processes_share_the_partitions(stack: Stack, topic: str, run_sink: RunSink) -> None:
    first = run_sink(entry(topic, tasks=2))
    second = run_sink(entry(topic, tasks=2))
    events = [event(n) for n in range(300)]
    produce(stack, topic, events)
    assert wait_stored(stack, topic, 300) == Counter(events)
    assert (first.stop(), second.stop()) == (0, 0)
    assert stored(stack, topic) == Counter(events)
    assert committed_offsets(stack, f"g-{topic}", topic) == [100, 100, 100]
