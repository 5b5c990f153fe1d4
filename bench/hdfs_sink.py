"""The HDFS sink against a consumer that only reads, and against plain WebHDFS PUT (and RENAME) of the same bytes."""

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, partial
from operator import attrgetter

import hdfs
import requests
from requests.adapters import HTTPAdapter

from bench.drain import Drained, drain
from bench.records import PARTITIONS, event, make_topic, reading_alone_and_beside
from bench.report import Figure, Report
from devstack.stack import Stack

TASKS = 3
CONNECTIONS = PARTITIONS  # the sink writes one group of files of a partition at a time


def run(stack: Stack, report: Report, scale: float) -> None:
    """Large, middle and the book's small flushes; then what two settings bring.

    Each in turn with its yardsticks, several times, and the best of each counts: the first ones meet a cold Java.
    """
    plain = 0.0
    for records, count, turns in ((100_000, 1_200_000, 4), (10_000, 1_020_000, 3), (1_000, 90_000, 2), (10, 9_000, 2)):
        count = max(int(count * scale), PARTITIONS * records) // (PARTITIONS * records) * (PARTITIONS * records)
        files = both = 0.0
        sinks: list[Drained] = []
        for _ in range(turns):
            if records >= 10_000:
                _content(records)  # made before, not while it is measured
                write = partial(_put_and_rename, stack, count, records)
                reading, at_once = reading_alone_and_beside(stack, count, TASKS, write)
                plain, both = max(plain, reading), max(both, at_once)
            files = max(files, _put_and_rename(stack, count, records))
            sinks.append(_drain(stack, count, records))
        best = max(sinks, key=attrgetter("rate"))
        title = f"{records:,} records a file"
        report.add(Figure(f"plain PUT + RENAME, {title}", files, "events/s"))
        slower = min((plain, "reading only"), (files, "plain PUT + RENAME"))
        report.add(Figure(f"sink, {title}", best.rate, "events/s", slower[1], slower[0], best.detail))
        if both:
            name = "plain reading and plain PUT + RENAME at once"
            report.add(Figure(f"{name}, {title}", both, "events/s", slower[1], slower[0]))
            report.add(Figure(f"sink, {title}", best.rate, "events/s", name, both))
    report.add(Figure("plain confluent-kafka, reading only", plain, "events/s"))
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


@cache
def _content(records: int) -> bytes:
    return b"".join(event(number) + b"\n" for number in range(records))


def _client(stack: Stack) -> hdfs.InsecureClient:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=CONNECTIONS))
    return hdfs.InsecureClient(stack.webhdfs_url, user="hdfs", timeout=60, session=session)


def _put_and_rename(stack: Stack, count: int, records: int) -> float:
    """The files that the sink will write, by as many connections as it uses."""
    client = _client(stack)
    folder = f"/bench/plain-{uuid.uuid4().hex}"
    client.makedirs(folder)
    data = _content(records)

    def put(number: int) -> None:
        client.write(f"{folder}/{number}.tmp", data=data)
        client.rename(f"{folder}/{number}.tmp", f"{folder}/{number}")

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        begin = time.perf_counter()
        for future in [pool.submit(partial(put, number)) for number in range(count // records)]:
            future.result()
        return count / (time.perf_counter() - begin)
