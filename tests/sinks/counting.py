"""Events that say where they belong, and the count of every one of them in all that a sink has stored."""

import json
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import elasticsearch
import hdfs
import requests
from confluent_kafka import Producer
from elasticsearch import Elasticsearch, helpers

from devstack.stack import Stack
from tests.sinks.sink_processes import SinkProcess
from tests.support import event, hdfs_files, wait_until


def numbered_event(partition: int, offset: int) -> bytes:
    """The event that lies at this place in Kafka."""
    return event(offset, userName=f"{partition}:{offset}")


class Stream:
    """A topic filled by this alone: the record at each offset is `numbered_event`.

    counts: how many records each partition has.
    """

    def __init__(self, bootstrap_servers: str, topic: str, partitions: int = 1) -> None:
        self.topic = topic
        self.counts = [0] * partitions
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "acks": "all", "enable.idempotence": True, "log_level": 0}
        )

    @contextmanager
    def load(self, each: int) -> Iterator[None]:
        """Produces all the time until left: every 50 ms as `produce(each)` does."""
        enough = threading.Event()

        def produce_until_enough() -> None:
            while not enough.wait(0.05):
                self.produce(each)

        with ThreadPoolExecutor(1) as pool:
            producing = pool.submit(produce_until_enough)
            try:
                yield
            finally:
                enough.set()
            producing.result()

    def produce(self, count: int, *, partition: int | None = None) -> None:
        """Adds records to one or each partition; returns when Kafka has them."""
        for number in [partition] if partition is not None else range(len(self.counts)):
            for offset in range(self.counts[number], self.counts[number] + count):
                self._producer.produce(
                    self.topic, numbered_event(number, offset), partition=number, on_delivery=_delivered
                )
            self.counts[number] += count
        assert self._producer.flush(120) == 0


def _delivered(error: object, message: object) -> None:
    assert error is None, f"a record of the test was not produced: {error}"


class Store:
    """The files of one HDFS sink, below `path`."""

    def __init__(self, stack: Stack, path: str) -> None:
        self._stack = stack
        self.path = path
        self._client = hdfs.InsecureClient(stack.webhdfs_url, user="hdfs", timeout=30, session=requests.Session())

    def ranges(self) -> dict[int, list[tuple[int, int]]]:
        """The first and last offsets of the visible files by partition, sorted; fails when two overlap."""
        ranges = defaultdict(list)
        try:
            names = self._client.list(self.path)
        except hdfs.HdfsError as error:
            if error.exception != "FileNotFoundException":
                raise
            names = []
        for name in names:
            if not name.startswith("_"):
                partition, first, last = _parsed(name)
                ranges[partition].append((first, last))
        for partition, found in ranges.items():
            found.sort()
            for (first, last), (following, end) in pairwise(found):
                assert last < following, f"partition {partition}: visible twice: {first}-{last} and {following}-{end}"
        return ranges

    def count(self) -> int:
        """How many records are visible, by the names of the files."""
        return sum(last - first + 1 for found in self.ranges().values() for first, last in found)

    def wait_count(self, count: int, *, sinks: Sequence[SinkProcess] = (), seconds: float = 90.0) -> None:
        """Waits until so many records are visible; an HDFS that is away is waited for, but no sink may end."""
        away = (requests.RequestException, hdfs.HdfsError)
        _wait_count(self.count, count, away, sinks, seconds, f"{count} records below {self.path}")

    def check(self, stream: Stream) -> None:
        """Every record of the stream is there once, whole, in the file and line that its offset says; nothing else."""
        offsets = defaultdict(list)
        for name, content in hdfs_files(self._stack, self.path).items():
            partition, first, last = _parsed(name, stream.topic)
            expected = b"".join(numbered_event(partition, offset) + b"\n" for offset in range(first, last + 1))
            assert content == expected, f"{name} holds something else than its name says: {_difference(content)}"
            offsets[partition] += range(first, last + 1)
        for partition, count in enumerate(stream.counts):
            found = sorted(offsets.pop(partition, []))
            assert found == list(range(count)), f"partition {partition}: {_wrong(found, count)}"
        assert not offsets

    def leftovers(self) -> list[str]:
        """Files that the sink should have published or removed."""
        found = []
        for folder, _, names in self._client.walk(f"{self.path}/_sink"):
            found += [f"{folder}/{name}" for name in names]
        return found

    def names(self, folder: str) -> list[str]:
        """The names in a folder below `_sink`."""
        return list(self._client.list(f"{self.path}/_sink/{folder}"))


class Documents:
    """The documents of one Elasticsearch sink with ids of their place.

    index: one, or a pattern of several.
    """

    def __init__(self, stack: Stack, index: str) -> None:
        self.index = index
        self.client = Elasticsearch(stack.elasticsearch_url, request_timeout=30)

    def found(self) -> dict[str, Any]:
        """Every document by its id; fails when two have the same id in different indices."""
        self.client.indices.refresh(index=self.index)
        found: dict[str, Any] = {}
        for hit in helpers.scan(self.client, index=self.index, size=2000):
            assert hit["_id"] not in found, f"{hit['_id']} is in two indices"
            found[hit["_id"]] = hit["_source"]
        return found

    def count(self) -> int:
        """How many there are."""
        self.client.indices.refresh(index=self.index)
        return int(self.client.count(index=self.index)["count"])

    def wait_count(self, count: int, *, sinks: Sequence[SinkProcess] = (), seconds: float = 90.0) -> None:
        """Waits until there are so many; an Elasticsearch that is away is waited for, but no sink may end."""
        away = (elasticsearch.ApiError, elasticsearch.TransportError)
        _wait_count(self.count, count, away, sinks, seconds, f"{count} documents in {self.index}")

    def check(self, stream: Stream) -> None:
        """Every record of the stream is there once, as it came; nothing else."""
        found = self.found()
        for number, count in enumerate(stream.counts):
            offsets = [offset for offset in range(count) if f"{stream.topic}-{number}-{offset}" in found]
            assert offsets == list(range(count)), f"partition {number}: {_wrong(offsets, count)}"
            for offset in offsets:
                document = found.pop(f"{stream.topic}-{number}-{offset}")
                assert document == json.loads(numbered_event(number, offset)), f"partition {number}, {offset}"
        assert not found, f"what are {list(found)[:10]}?"


def _wait_count(
    counted: Callable[[], int],
    count: int,
    away: tuple[type[Exception], ...],
    sinks: Sequence[SinkProcess],
    seconds: float,
    what: str,
) -> None:
    def enough() -> bool:
        for sink in sinks:
            assert sink.is_running, f"ended early ({sink.code}):\n{sink.text[-4000:]}"
        try:
            return counted() >= count
        except away:
            return False

    wait_until(enough, seconds=seconds, what=what)


def _parsed(name: str, topic: str | None = None) -> tuple[int, int, int]:
    match = re.fullmatch(r"(.+)-(\d+)-(\d{20})-(\d{20})\.log", name)
    assert match and (topic is None or match[1] == topic), f"what is {name}?"
    return int(match[2]), int(match[3]), int(match[4])


def _difference(content: bytes) -> str:
    lines = content.splitlines()
    return f"{len(lines)} lines, {lines[:1]!r} to {lines[-1:]!r}"


def _wrong(found: Sequence[int], count: int) -> str:
    missing = sorted(set(range(count)) - set(found))
    twice = sorted({offset for offset in found if found.count(offset) > 1}) if len(found) != len(set(found)) else []
    more = sorted(set(found) - set(range(count)))
    return f"of {count} records missing: {_some(missing)}; twice: {_some(twice)}; unknown: {_some(more)}"


def _some(offsets: list[int]) -> str:
    return ", ".join(str(offset) for offset in offsets[:10]) + (f" … ({len(offsets)})" if len(offsets) > 10 else "")
