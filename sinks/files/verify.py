"""Proves that every record of a range of offsets is stored once: files are compared with Kafka, record by record."""

from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from events.schema import Check, InvalidRecord
from sinks.files.contents import FileLayout
from sinks.files.formats import EXTENSIONS, Format, JsonLines, as_line, make_format
from sinks.files.layout import OPEN
from sinks.files.store import FileReads, NotFound
from sinks.files.stored import StoredFile
from sinks.findings import Finding
from sinks.records import Partition, Record
from worker.errors import Fatal, Retriable


@dataclass(eq=False)
class Verifier:
    """Compares the offsets from `first` up to `end` (excluded) of one partition.

    event: their kind; check: raises InvalidRecord for records that became dead letters; files: of any partition, in
    order; is_compacted: whether Kafka removes records of the topic once there are newer ones with their keys, asked
    only when a file holds more than Kafka; notes: what an operator should know besides.

    valid, refused, compacted: how many records of Kafka belong into files, how many became dead letters, and how many
    further records the files hold that Kafka has removed since. They are complete once `findings` has ended.
    """

    client: FileReads
    layout: FileLayout
    event: str
    check: Check
    files: Iterable[StoredFile]
    partition: Partition
    first: int
    end: int
    is_compacted: Callable[[], bool]
    notes: Sequence[str] = ()
    valid: int = 0
    refused: int = 0
    compacted: int = 0

    def __post_init__(self) -> None:
        self._folders: dict[str, _Folder] = {}
        of_partition = (file for file in self.files if file.partition == self.partition)
        self._own = [file for file in of_partition if file.last >= self.first and file.first < self.end]
        # How many of Kafka's records have offsets between two borders of files, whatever folder they belong into.
        self._borders = sorted({border for file in self._own for border in (file.first, file.last + 1)})
        self._seen: Counter[int] = Counter()

    @property
    def counted(self) -> str:
        """Its counts in words."""
        compacted = f"; Kafka has removed {self.compacted} more since, for newer ones of their keys"
        return f"{self.valid} events and {self.refused} dead letters{compacted if self.compacted else ''}"

    def findings(self, records: Iterable[Record]) -> Iterator[Finding]:
        """What is wrong. records: Kafka's of this range, in order."""
        for file in self._own:
            yield from self._add(file)
        missing: list[int] = []
        for record in records:
            self._seen[bisect_right(self._borders, record.offset)] += 1
            try:
                self.check(record.value)
            except InvalidRecord:
                self.refused += 1
                continue
            self.valid += 1
            folder = self._folders.setdefault(self.layout.folders.of(record), _Folder())
            while folder.files and folder.files[0].last < record.offset:
                yield from self._compare(folder)
            if folder.files and folder.files[0].first <= record.offset:
                folder.values.append(record.value or b"")
                yield from self._gap(missing)
            else:
                missing.append(record.offset)
        yield from self._gap(missing)
        for folder in self._folders.values():
            while folder.files:
                yield from self._compare(folder)

    def _add(self, file: StoredFile) -> Iterator[Finding]:
        files = self._folders.setdefault(file.folder, _Folder()).files
        if files and file.first <= files[-1].last:
            last = min(files[-1].last, file.last)
            yield Finding(self.partition, "repeat", file.first, last, f"in {files[-1].path} and in {file.path}")
        else:
            files.append(file)

    def _compare(self, folder: "_Folder") -> Iterator[Finding]:
        file, values = folder.files.popleft(), folder.values
        folder.values = []
        if file.first < self.first or file.last >= self.end:
            return  # not all of its records were read
        format_, data = self._format_of(file), self._content(file)
        expected = bytes(format_.encode([as_line(value) for value in values])) if values else format_.nothing
        if self._is_same(format_, data, expected) or self._was_compacted(format_, data, expected, file):
            return
        yield Finding(self.partition, "difference", file.first, file.last, f"{file.path} is not what Kafka has")

    def _was_compacted(self, format_: Format, data: bytes, expected: bytes | None, file: StoredFile) -> bool:
        """Whether a file has all records that Kafka still has of its offsets, and others in the gaps between them."""
        places = range(bisect_right(self._borders, file.first), bisect_right(self._borders, file.last) + 1)
        gaps = file.last - file.first + 1 - sum(self._seen[place] for place in places)
        if not gaps or not self.is_compacted():
            return False
        found, wanted = format_.decode(data), format_.decode(expected) if expected else []
        further = len(found) - len(wanted)
        following = iter(found)
        if not 0 <= further <= gaps or not all(record in following for record in wanted):
            return False
        self.compacted += further
        return True

    def _content(self, file: StoredFile) -> bytes:
        is_open = file.path.endswith(OPEN)
        try:
            data = self.client.read(file.path)
            return data[: file.length] if is_open else data
        except NotFound as error:
            if not is_open:
                raise Retriable(f"{file.path} was merged or moved meanwhile; run it again") from error
        # It was closed meanwhile, perhaps after it had grown.
        folder, names = file.path.rpartition("/")[0], self.layout.names.of(file.extension)
        for name in self.client.names(folder):
            known = names.read(name)
            if known is not None and known[:2] == (file.partition, file.first):
                return self.client.read(f"{folder}/{name}")[: file.length]
        return b""

    def _format_of(self, file: StoredFile) -> Format:
        """That in which it was stored, which may have been another one than the sink's is now."""
        if file.extension == self.layout.format.extension:
            return self.layout.format
        try:
            return make_format(EXTENSIONS[file.extension], self.event)
        except ValueError as error:
            raise Fatal(f"{file.path} can't be read: {error}") from error

    @staticmethod
    def _is_same(format_: Format, data: bytes, expected: bytes | None) -> bool:
        # Lines are compared as they are first, with less memory.
        if isinstance(format_, JsonLines) and expected and format_.plain(data) == format_.plain(expected):
            return True
        return format_.decode(data) == (format_.decode(expected) if expected else [])

    def _gap(self, missing: list[int]) -> Iterator[Finding]:
        if missing:
            yield Finding(self.partition, "gap", missing[0], missing[-1], f"{len(missing)} records are in no file")
            missing.clear()


@dataclass
class _Folder:
    """Files of a folder that are not compared yet, and the records that the first of them must hold."""

    files: deque[StoredFile] = field(default_factory=deque)
    values: list[bytes] = field(default_factory=list)
