"""Proves that every record of a range of offsets is stored once: HDFS files are compared with Kafka, line by line."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from events.schema import Check, InvalidRecord
from sinks.hdfs.client import HdfsClient
from sinks.hdfs.layout import json_lines
from sinks.records import Partition, Record

_NAME = re.compile(r"(?P<topic>.+)-(?P<partition>\d+)-(?P<first>\d{20})-(?P<last>\d{20})\.log")


@dataclass(frozen=True, order=True)
class StoredFile:
    """A file of the sink: it holds the records of one partition from `first` to `last` (offsets)."""

    partition: Partition
    first: int
    last: int
    path: str


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. kind: gap, repeat, or difference; first, last: offsets."""

    partition: Partition
    kind: str
    first: int
    last: int
    detail: str

    def __str__(self) -> str:
        return f"{self.partition}: {self.kind}: offsets {self.first}-{self.last}: {self.detail}"


def stored_files(client: HdfsClient, path: str, topics: Iterable[str]) -> list[StoredFile]:
    """The files that readers see below `path`, by partition and offset; those of other topics are left out.

    Raises Retriable and Fatal as the client does.
    """
    wanted = set(topics)
    files = []
    for file_path in client.walk(path):
        match = _NAME.fullmatch(file_path.rpartition("/")[2])
        if match and match["topic"] in wanted:
            partition = Partition(match["topic"], int(match["partition"]))
            files.append(StoredFile(partition, int(match["first"]), int(match["last"]), file_path))
    return sorted(files)


def verify(
    client: HdfsClient,
    files: Iterable[StoredFile],
    records: Iterable[Record],
    check: Check,
    *,
    partition: Partition,
    first: int,
    end: int,
) -> Iterator[Finding]:
    """Compares the offsets from `first` up to `end` (excluded) of one partition and yields what is wrong.

    files: those of the partition, in order; records: Kafka's of this range, in order; check: tells the records that
    belong into files from those that became dead letters.
    """
    expected = _Expected(partition, records, check)
    stored_end = 0
    for file in files:
        if file.last < first or file.first >= end:
            continue
        if file.first < stored_end:
            yield Finding(partition, "repeat", file.first, min(stored_end - 1, file.last), f"also in {file.path}")
            continue
        yield from expected.missing_before(file.first)
        values = expected.take_until(file.last)
        is_whole = first <= file.first and file.last < end
        if is_whole and client.read(file.path) != json_lines(values):
            yield Finding(partition, "difference", file.first, file.last, f"{file.path} is not what Kafka has")
        stored_end = file.last + 1
    yield from expected.missing_before(end)


class _Expected:
    """Kafka's records, taken in order."""

    def __init__(self, partition: Partition, records: Iterable[Record], check: Check) -> None:
        self._partition = partition
        self._check = check
        self._records = iter(records)
        self._next = next(self._records, None)

    def missing_before(self, offset: int) -> Iterator[Finding]:
        """What should be in a file before this offset and was not taken."""
        missing = [record.offset for record in self._until(offset) if self._belongs(record)]
        if missing:
            yield Finding(self._partition, "gap", missing[0], missing[-1], f"{len(missing)} records are in no file")

    def take_until(self, last: int) -> list[bytes]:
        """The values that a file up to this offset must hold."""
        return [record.value or b"" for record in self._until(last + 1) if self._belongs(record)]

    def _until(self, offset: int) -> Iterator[Record]:
        while self._next is not None and self._next.offset < offset:
            record, self._next = self._next, next(self._records, None)
            yield record

    def _belongs(self, record: Record) -> bool:
        try:
            self._check(record.value)
        except InvalidRecord:
            return False
        return True
