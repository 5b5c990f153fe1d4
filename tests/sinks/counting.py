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
from confluent_kafka import Producer
from elasticsearch import Elasticsearch, helpers

from devstack.stack import Stack
from tests.sinks.sink_processes import SinkProcess
from tests.stores import Files, all_below, visible
from tests.support import event, wait_until

OPEN = ".open"


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
    """The files of one sink, below `path`, in folders by colour or in none.

    Of a file that is open (append mode) only what the newest commit record tells of is stored.
    """

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self.path = path

    def files(self) -> dict[str, bytes]:
        """The visible files with their content, by path below `path`."""
        return visible(self._files, self.path)

    def ranges(self) -> dict[int, list[tuple[int, int]]]:
        """The first and last offsets of the visible files by partition, sorted; fails when two overlap."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        for folder, files in self._ranges_by_folder().items():
            for partition, found in files.items():
                found.sort()
                for (first, last), (following, end) in pairwise(found):
                    place = f"{folder}partition {partition}"
                    assert last < following, f"{place}: visible twice: {first}-{last} and {following}-{end}"
                ranges.setdefault(partition, []).extend(found)
        return {partition: sorted(found) for partition, found in ranges.items()}

    def count(self) -> int:
        """How many records are visible, by the names of the files."""
        self.ranges()
        return sum(
            len(_held(folder, first, last))
            for folder, files in self._ranges_by_folder().items()
            for found in files.values()
            for first, last in found
        )

    def open_files(self) -> dict[str, tuple[int, int]]:
        """The last offset and the length that are committed of the open files, by path below the data folder."""
        found: dict[str, tuple[int, int]] = {}
        for committed in self._below(self._below(self._below(self._below([f"{self.path}/_sink"])))):
            if committed.endswith("/committed"):
                records = self._below(self._below([committed]))
                newest = max(records, key=lambda path: path.rpartition("/")[2], default=None)
                for path in self._below(self._below([newest])) if newest else ():
                    name, _, length = path.split("/")[-2].rpartition(".")
                    found[name.replace("%2F", "/")] = (_parsed(path.split("/")[-1].split("%2F")[-1])[2], int(length))
        return found

    def wait_count(self, count: int, *, sinks: Sequence[SinkProcess] = (), seconds: float = 90.0) -> None:
        """Waits until so many records are visible; a store that is away is waited for, but no sink may end."""
        _wait_count(self.count, count, self._files.away, sinks, seconds, f"{count} records below {self.path}")

    def check(self, stream: Stream) -> None:
        """Every record of the stream is there once, whole, in the file and line that its offset says; nothing else."""
        offsets = defaultdict(list)
        open_files = self.open_files()
        for path, content in self.files().items():
            folder, name = _split(path)
            if name.endswith(OPEN):
                partition, first = _parsed_open(name, stream.topic)
                last, length = open_files[path]
                content = content[:length]
            else:
                partition, first, last = _parsed(name, stream.topic)
            held = _held(folder, first, last)
            expected = b"".join(numbered_event(partition, offset) + b"\n" for offset in held)
            assert content == expected, f"{path} holds something else than its name says: {_difference(content)}"
            offsets[partition] += held
        for partition, count in enumerate(stream.counts):
            found = sorted(offsets.pop(partition, []))
            assert found == list(range(count)), f"partition {partition}: {_wrong(found, count)}"
        assert not offsets

    def _ranges_by_folder(self) -> dict[str, dict[int, list[tuple[int, int]]]]:
        """First and last offsets of the visible files by folder and partition; an open one that no record tells of yet
        or any more is left out."""
        files: dict[str, dict[int, list[tuple[int, int]]]] = {}
        folders = [path.removeprefix(f"{self.path}/") + "/" for path in self._below([self.path])]
        open_files: dict[str, tuple[int, int]] | None = None
        for folder in ["", *(folder for folder in folders if not folder.startswith("_"))]:
            of_folder = files.setdefault(folder, defaultdict(list))
            for name, is_folder in self._files.listed(f"{self.path}/{folder}".rstrip("/")):
                if is_folder:
                    continue
                if not name.endswith(OPEN):
                    partition, first, last = _parsed(name)
                    of_folder[partition].append((first, last))
                    continue
                open_files = self.open_files() if open_files is None else open_files
                if folder + name in open_files:
                    partition, first = _parsed_open(name)
                    of_folder[partition].append((first, open_files[folder + name][0]))
        return files

    def _below(self, folders: Sequence[str]) -> list[str]:
        """The folders in folders."""
        return [f"{folder}/{name}" for folder in folders for name, is_folder in self._files.listed(folder) if is_folder]

    def leftovers(self) -> list[str]:
        """Files that the sink should have published or removed."""
        return all_below(self._files, f"{self.path}/_sink")

    def names(self, folder: str) -> list[str]:
        """The names in a folder below `_sink`."""
        return [name for name, _ in self._files.listed(f"{self.path}/_sink/{folder}")]


class Documents:
    """The documents of one Elasticsearch sink with ids of their place.

    index: one, or a pattern of several.
    """

    def __init__(self, stack: Stack, index: str) -> None:
        self.index = index
        self.client = Elasticsearch(stack.elasticsearch_url, request_timeout=120)

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


def _parsed_open(name: str, topic: str | None = None) -> tuple[int, int]:
    match = re.fullmatch(r"(.+)-(\d+)-(\d{20})(?:\.r\d+)?\.open", name)
    assert match and (topic is None or match[1] == topic), f"what is {name}?"
    return int(match[2]), int(match[3])


def _split(path: str) -> tuple[str, str]:
    folder, slash, name = path.rpartition("/")
    return folder + slash, name


def _held(folder: str, first: int, last: int) -> list[int]:
    """The offsets that belong into a file of a folder."""
    color = folder.rstrip("/").encode()
    return [offset for offset in range(first, last + 1) if not folder or b'"%s"' % color in numbered_event(0, offset)]


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
