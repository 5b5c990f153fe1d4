"""The S3 sink against a consumer that only reads, and against plain PUTs of the same objects by as many connections."""

import json
import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from operator import attrgetter
from time import perf_counter

from bench.drain import Drained, drain
from bench.records import PARTITIONS, consume_only, event, fill, make_topic
from bench.report import Figure, Report
from devstack.ports import choose_free
from devstack.seaweedfs import ACCESS_KEY, SECRET_KEY, fetch_seaweedfs, seaweedfs_server
from devstack.stack import Stack
from sinks.s3.client import connect
from sinks.s3.config import S3Store

TASKS = 3
CONNECTIONS = PARTITIONS  # the sink sends one file of a partition at a time
BUCKET = "bench"
_ENTRY = {"path_style": True, "timeout_seconds": 120.0}


def run(stack: Stack, report: Report, scale: float) -> None:
    """Large, middle and small files. Each in turn with its yardsticks, several times, and the best of each counts."""
    with _store(stack) as url:
        for records, count, turns in ((100_000, 1_200_000, 4), (10_000, 1_020_000, 4), (1_000, 90_000, 2)):
            count = max(int(count * scale), PARTITIONS * records) // (PARTITIONS * records) * (PARTITIONS * records)
            plain = 0.0
            sinks: list[Drained] = []
            for _ in range(turns):
                plain = max(plain, _put(url, count, records))
                sinks.append(_drain(stack, count, records))
            best = max(sinks, key=attrgetter("rate"))
            title = f"{records:,} records a file"
            report.add(Figure(f"plain PUT, {title}", plain, "events/s"))
            report.add(Figure(f"sink, {title}", best.rate, "events/s", "plain PUT", plain, best.detail))
        topic = make_topic(stack)
        fill(stack, topic, count)
        report.add(Figure("plain confluent-kafka, reading only", consume_only(stack, topic, count, TASKS), "events/s"))


@contextmanager
def _store(stack: Stack) -> Iterator[str]:
    """A store with a bucket, which the sinks that are started find in their environment."""
    fetch_seaweedfs(stack.config.home)
    server = seaweedfs_server(stack.config, choose_free(set()))
    os.environ |= {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
    os.environ["S3"] = json.dumps({"default": {"endpoint_url": server.address, **_ENTRY}})
    server.start()
    try:
        server.wait_ready()
        connect(_settings(server.address), connections=1).create_bucket(Bucket=BUCKET)
        yield server.address
    finally:
        server.kill()


def _settings(url: str) -> S3Store:
    return S3Store(endpoint_url=url, **_ENTRY)


def _drain(stack: Stack, count: int, records: int) -> Drained:
    topic = make_topic(stack)
    entry = {
        "kind": "s3",
        "tasks": TASKS,
        "target": {"bucket": BUCKET, "path": f"/{topic}"},
        "options": {"flush_records": records, "flush_seconds": 3},
    }
    return drain(stack, "run_sink", topic, count, entry)


@cache
def _content(records: int) -> bytes:
    return b"".join(event(number) + b"\n" for number in range(records))


def _put(url: str, count: int, records: int) -> float:
    """The objects that the sink will make."""
    client = connect(_settings(url), connections=CONNECTIONS)
    folder, data = uuid.uuid4().hex, _content(records)

    def put(number: int) -> None:
        client.put_object(Bucket=BUCKET, Key=f"{folder}/{number}", Body=data)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        begin = perf_counter()
        for future in [pool.submit(put, number) for number in range(count // records)]:
            future.result()
        return count / (perf_counter() - begin)
