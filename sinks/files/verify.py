"""Proves that every record of a range of offsets is stored once: files are compared with Kafka, record by record."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from events.schema import Check, InvalidRecord
from sinks.errors import Fatal, Retriable
from sinks.files.contents import FileLayout
from sinks.files.formats import EXTENSIONS, Format, Tally, as_line, make_format
from sinks.files.layout import OPEN
from sinks.files.store import FileStore, NotFound
from sinks.files.stored import StoredFile
from sinks.findings import Finding
from sinks.records import Partition, Record


class Verifier:
    """Compares the offsets from `first` up to `end` (excluded) of one partition.

    event: their kind; check: tells the records that belong into files from those that became dead letters. valid,
    refused: how many of each there are, once `findings` has come to its end.
    """

    def __init__(
        self,
        client: FileStore,
        layout: FileLayout,
        event: str,
        check: Check,
        *,
        partition: Partition,
        first: int,
        end: int,
    ) -> None:
        self._client = client
        self._layout = layout
        self._event = event
        self._formats = {layout.format.extension: layout.format}
        self._check = check
        self._partition = partition
        self._first = first
        self._end = end
        self._folders: dict[str, _Folder] = {}
        self.valid = 0
        self.refused = 0

    @property
    def counted(self) -> str:
        """Its counts in words."""
        return f"{self.valid} events and {self.refused} dead letters"

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
        if not self._is_same(self._format_of(file), self._content(file), values):
            yield Finding(self._partition, "difference", file.first, file.last, f"{file.path} is not what Kafka has")

    def _content(self, file: StoredFile) -> bytes:
        is_open = file.path.endswith(OPEN)
        try:
            data = self._client.read(file.path)
            return data[: file.length] if is_open else data
        except NotFound as error:
            if not is_open:
                raise Retriable(f"{file.path} was merged or moved meanwhile; run it again") from error
        # It was closed meanwhile, perhaps after it had grown.
        folder, names = file.path.rpartition("/")[0], self._layout.names.of(file.extension)
        for name in self._client.names(folder):
            known = names.read(name)
            if known is not None and known[:2] == (file.partition, file.first):
                return self._client.read(f"{folder}/{name}")[: file.length]
        return b""

    def _format_of(self, file: StoredFile) -> Format:
        """That in which it was stored, which may have been another one than the sink's is now."""
        if file.extension not in self._formats:
            try:
                self._formats[file.extension] = make_format(EXTENSIONS[file.extension], self._event)
            except ValueError as error:
                raise Fatal(f"{file.path} can't be read: {error}") from error
        return self._formats[file.extension]

    @staticmethod
    def _is_same(format_: Format, data: bytes, values: list[bytes]) -> bool:
        expected = bytes(format_.encode([as_line(value) for value in values])) if values else format_.nothing
        if format_.nothing is not None and expected is not None:  # lines are compared as they are, with less memory
            found, wanted = Tally(), Tally()
            format_.tally(data, found)
            format_.tally(expected, wanted)
            if found == wanted:
                return True
        return format_.decode(data) == (format_.decode(expected) if expected else [])

    def _gap(self, missing: list[int]) -> Finding:
        return Finding(self._partition, "gap", missing[0], missing[-1], f"{len(missing)} records are in no file")


@dataclass
class _Folder:
    """Files of a folder that are not compared yet, and the records that the first of them must hold."""

    files: deque[StoredFile] = field(default_factory=deque)
    values: list[bytes] = field(default_factory=list)
