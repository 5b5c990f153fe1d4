"""The HDFS sink against a consumer that only reads, and against plain WebHDFS PUT (and RENAME) of the same bytes."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import hdfs
import requests
from requests.adapters import HTTPAdapter

from bench.drain import Drained, drain
from bench.records import PARTITIONS, consume_only, event, fill, make_topic
from bench.report import Figure, Report
from devstack.stack import Stack

TASKS = 3
CONNECTIONS = PARTITIONS  # the sink writes one group of files of a partition at a time


def run(stack: Stack, report: Report, scale: float) -> None:
    """Large, middle and the book's small flushes; then what two settings bring."""
    plain = _consume_only(stack, int(900_000 * scale))
    report.add(Figure("plain confluent-kafka, reading only", plain, "events/s"))
    one_put = _one_put(stack, int(300_000 * scale))
    report.add(Figure("plain WebHDFS, one PUT of all", one_put, "events/s"))
    for records, count in ((100_000, 1_200_000), (10_000, 1_020_000), (1_000, 90_000), (10, 9_000)):
        count = max(int(count * scale), PARTITIONS * records) // (PARTITIONS * records) * (PARTITIONS * records)
        files = _put_and_rename(stack, count, records)
        sink = _drain(stack, count, records)
        slower = min((plain, "reading only"), (files, "plain PUT + RENAME of the same files"))
        report.add(
            Figure(f"sink, {records:,} records a file", sink.rate, "events/s", slower[1], slower[0], sink.detail)
        )
    _settings(stack, report, scale)


def _settings(stack: Stack, report: Report, scale: float) -> None:
    count = int(300_000 * scale) // 30_000 * 30_000
    usual = _drain(stack, count, 10_000)
    slow_fetch = _drain(stack, count, 10_000, consumer={"fetch.queue.backoff.ms": 1000})
    report.add(
        Figure("fetch.queue.backoff.ms=10", usual.rate, "events/s", "librdkafka's default of 1,000", slow_fetch.rate)
    )
    slow = Stack(replace(stack.config, fast_close=False))
    stack.datanodes[0].stop()
    slow.up(report=lambda line: None)
    try:
        slow_close = _drain(slow, count, 10_000)
    finally:
        slow.datanodes[0].stop()
        stack.up(report=lambda line: None)
    report.add(
        Figure(
            "locateFollowingBlock.initial.delay.ms=5", usual.rate, "events/s", "HDFS's default of 400", slow_close.rate
        )
    )


def _drain(stack: Stack, count: int, records: int, **entry: object) -> Drained:
    topic = make_topic(stack)
    return drain(
        stack,
        "run_hdfs_sink",
        topic,
        count,
        {
            "kind": "hdfs",
            "tasks": TASKS,
            "target": {"path": f"/bench/{topic}"},
            "options": {"flush_records": records, "flush_seconds": 3},
            **entry,
        },
    )


def _consume_only(stack: Stack, count: int) -> float:
    topic = make_topic(stack)
    fill(stack, topic, count)
    return max(consume_only(stack, topic, count, TASKS) for _ in range(2))


def _client(stack: Stack) -> hdfs.InsecureClient:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    return hdfs.InsecureClient(stack.webhdfs_url, user="hdfs", timeout=60, session=session)


def _one_put(stack: Stack, count: int) -> float:
    data = b"".join(event(number) + b"\n" for number in range(count))
    client = _client(stack)
    begin = time.perf_counter()
    client.write(f"/bench/put-{uuid.uuid4().hex}", data=data)
    return count / (time.perf_counter() - begin)


def _put_and_rename(stack: Stack, count: int, records: int) -> float:
    """The files that the sink will write, by as many connections as it uses."""
    client = _client(stack)
    folder = f"/bench/plain-{uuid.uuid4().hex}"
    client.makedirs(folder)
    data = b"".join(event(number) + b"\n" for number in range(records))

    def put(number: int) -> None:
        client.write(f"{folder}/{number}.tmp", data=data)
        client.rename(f"{folder}/{number}.tmp", f"{folder}/{number}")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        begin = time.perf_counter()
        for future in [pool.submit(partial(put, number)) for number in range(count // records)]:
            future.result()
        return count / (time.perf_counter() - begin)
