"""Proves that every record of a range of offsets is stored once: files are compared with Kafka, record by record."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType

from events.schema import Check, InvalidRecord
from sinks.errors import Fenced
from sinks.findings import Finding
from sinks.hdfs.client import HdfsClient, NotFound
from sinks.hdfs.files import FileLayout
from sinks.hdfs.formats import as_line
from sinks.hdfs.layout import Layout, OpenFile
from sinks.hdfs.recovery import open_files
from sinks.records import Partition, Record


@dataclass(frozen=True, order=True)
class StoredFile:
    """A file of the sink: the records of a partition from `first` to `last` (offsets) that belong in `folder`.

    length: how many of its bytes are stored, when it is still open (append mode); None: all.
    """

    partition: Partition
    first: int
    last: int
    folder: str
    path: str
    length: int | None = None


def stored_files(
    client: HdfsClient, path: str, layout: FileLayout, open_files: Mapping[str, OpenFile] = MappingProxyType({})
) -> list[StoredFile]:
    """The sink's files below `path`, by partition and offset; open ones as `committed_open_files` tells of them.

    Raises Retriable and Fatal as the client does.
    """
    files = []
    for file_path in client.walk(path):
        open_file = open_files.get(file_path.removeprefix(f"{path}/"))
        folder, _, name = (f"{path}/{open_file.final}" if open_file else file_path).rpartition("/")
        known = layout.names.read(name)
        if known is not None:
            length = open_file.length if open_file else None
            files.append(StoredFile(*known, folder.removeprefix(path).strip("/"), file_path, length))
    return sorted(files)


def committed_open_files(client: HdfsClient, path: str, sink: str, topics: Iterable[str]) -> dict[str, OpenFile]:
    """The open files that the newest commit records of a sink tell of, by path below the data folder `path`."""
    found: dict[str, OpenFile] = {}
    for topic in topics:
        for number in client.names(Layout(path, sink, Partition(topic, 0)).topic):
            if number.isdigit():
                layout = Layout(path, sink, Partition(topic, int(number)))
                found |= {file.path: file for file in _of_newest_record(client, layout)}
    return found


def _of_newest_record(client: HdfsClient, layout: Layout) -> list[OpenFile]:
    while True:
        folders = [f"{layout.committed}/{epoch}" for epoch in client.names(layout.committed)]
        records = [f"{folder}/{record}" for folder in folders for record in client.names(folder)]
        newest = max(records, key=lambda path: path.rpartition("/")[2], default=None)
        if newest is None:
            return []
        with suppress(Fenced):
            found = open_files(client, newest)
            if client.exists(newest):  # else it was replaced or taken over while it was read
                return found


class Verifier:
    """Compares the offsets from `first` up to `end` (excluded) of one partition.

    check: tells the records that belong into files from those that became dead letters. valid, refused: how many of
    each there are, once `findings` has come to its end.
    """

    def __init__(
        self, client: HdfsClient, layout: FileLayout, check: Check, *, partition: Partition, first: int, end: int
    ) -> None:
        self._client = client
        self._layout = layout
        self._check = check
        self._partition = partition
        self._first = first
        self._end = end
        self._folders: dict[str, _Folder] = {}
        self.valid = 0
        self.refused = 0

    def findings(self, files: Iterable[StoredFile], records: Iterable[Record]) -> Iterator[Finding]:
        """What is wrong.

        files: of any partition, in order; records: Kafka's of this range, in order.
        """
        for file in files:
            if file.partition == self._partition and file.last >= self._first and file.first < self._end:
                yield from self._add(file)
        missing: list[int] = []
        for record in records:
            try:
                self._check(record.value)
            except InvalidRecord:
                self.refused += 1
                continue
            self.valid += 1
            folder = self._folders.setdefault(self._layout.folders.of(record), _Folder())
            while folder.files and folder.files[0].last < record.offset:
                yield from self._compare(folder)
            if folder.files and folder.files[0].first <= record.offset:
                folder.values.append(record.value or b"")
                continue
            if missing and record.offset != missing[-1] + 1:
                yield self._gap(missing)
                missing = []
            missing.append(record.offset)
        if missing:
            yield self._gap(missing)
        for folder in self._folders.values():
            while folder.files:
                yield from self._compare(folder)

    def _add(self, file: StoredFile) -> Iterator[Finding]:
        files = self._folders.setdefault(file.folder, _Folder()).files
        if files and file.first <= files[-1].last:
            last = min(files[-1].last, file.last)
            yield Finding(self._partition, "repeat", file.first, last, f"in {files[-1].path} and in {file.path}")
        else:
            files.append(file)

    def _compare(self, folder: "_Folder") -> Iterator[Finding]:
        file, values = folder.files.popleft(), folder.values
        folder.values = []
        if file.first < self._first or file.last >= self._end:
            return  # not all of its records were read
        format_ = self._layout.format
        lines = [as_line(value) for value in values]
        expected = format_.decode(bytes(format_.encode(lines))) if lines else []
        if format_.decode(self._content(file)) != expected:
            yield Finding(self._partition, "difference", file.first, file.last, f"{file.path} is not what Kafka has")

    def _content(self, file: StoredFile) -> bytes:
        try:
            return self._client.read(file.path)[: file.length]
        except NotFound:
            if file.length is None:
                raise
        # It was closed meanwhile, perhaps after it had grown.
        folder = file.path.rpartition("/")[0]
        for name in self._client.names(folder):
            known = self._layout.names.read(name)
            if known is not None and known[:2] == (file.partition, file.first):
                return self._client.read(f"{folder}/{name}")[: file.length]
        return b""

    def _gap(self, missing: list[int]) -> Finding:
        return Finding(self._partition, "gap", missing[0], missing[-1], f"{len(missing)} records are in no file")


@dataclass
class _Folder:
    """Files of a folder that are not compared yet, and the records that the first of them must hold."""

    files: deque[StoredFile] = field(default_factory=deque)
    values: list[bytes] = field(default_factory=list)
