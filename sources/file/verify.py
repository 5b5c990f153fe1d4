"""Compares the lines of files with what Kafka holds."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from itertools import chain, pairwise

from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.file.config import FileTarget
from sources.file.content import Content, Plain, Unpacked
from sources.file.finding import Finder
from sources.file.followed import Followed, followed_in
from sources.file.lines import Lines
from sources.reader import Position

_BLOCK = 1024 * 1024
_SHOWN_BYTES = 100


class FileVerification:
    """Counts each line of the files, up to the positions, and each record of the topic.

    topics: of the lines.
    """

    def __init__(self, source: SourceConfig, positions: Mapping[str, Position], finder: Finder) -> None:
        target: FileTarget = source.target
        self.topics: Iterable[str] = [target.topic]
        self._limit = target.max_line_bytes
        self._lines = Lines(target)
        self._finder = finder
        self._files = [followed for position in positions.values() for followed in followed_in(position)]
        self._in_kafka: Counter[bytes] = Counter()
        self._compared = 0
        self._too_long = 0
        self._gone = 0
        self._surplus = 0

    def take(self, record: Record) -> None:
        """Counts a record."""
        self._in_kafka[_digest(record.value)] += 1

    def findings(self) -> Iterator[str]:
        """The lines that Kafka does not have, and those that it has too often."""
        in_files: Counter[bytes] = Counter()
        for followed in self._files:
            for record, _ in self._records(followed, notes=True):
                digest = _digest(record.value)
                in_files[digest] += 1
                self._compared += 1
        missing, surplus = in_files - self._in_kafka, self._in_kafka - in_files
        self._surplus = surplus.total()
        # A line that Kafka has more often may be one of a file that is gone.
        repeated = Counter(
            {} if self._gone else {digest: count for digest, count in surplus.items() if in_files[digest]}
        )
        for followed in self._files if missing or repeated else ():
            for record, offset in self._records(followed):
                digest = _digest(record.value)
                shown = (record.value or b"")[:_SHOWN_BYTES]
                if missing[digest] > 0:
                    missing[digest] -= 1
                    yield f"{followed.shown}: the line at byte {offset} is not in Kafka: {shown!r}"
                elif count := repeated.pop(digest, 0):
                    yield f"{followed.shown}: the line at byte {offset} is in Kafka {count} times too often: {shown!r}"

    @property
    def counted(self) -> str:
        """What was compared."""
        text = f"{self._compared} lines of {len(self._files) - self._gone} files"
        if self._too_long:
            text += f", {self._too_long} lines that are too long"
        if self._gone:
            text += f", {self._gone} files that are gone"
        if self._surplus:
            text += f"; Kafka has {self._surplus} records more"
        return text

    def _records(self, followed: Followed, *, notes: bool = False) -> Iterator[tuple[Record, int]]:
        """The records of the lines that were read of a file, with their places."""
        path = None if followed.is_lost else self._path(followed)
        with suppress(OSError):
            if path is not None:
                with self._finder.handles.opened(followed.id, path) as fd:
                    content = Unpacked(fd) if followed.place.packed else Plain(fd)
                    if followed.recognise(content):
                        yield from self._records_of(followed, content, notes=notes)
                        return
        if notes:
            self._gone += 1

    def _path(self, followed: Followed) -> str | None:
        found = self._finder.look().files.get(followed.id)
        return found.path if found is not None else self._finder.search(followed.id, followed.path)

    def _records_of(self, followed: Followed, content: Content, *, notes: bool) -> Iterator[tuple[Record, int]]:
        place = followed.place
        bounds = [place.first, *(rest for rest in place.rests if rest < place.offset), place.offset]
        for line, offset in chain.from_iterable(_lines(content, begin, end) for begin, end in pairwise(bounds)):
            if len(line.removesuffix(b"\r")) > self._limit:
                self._too_long += notes
            else:
                yield self._lines.records([line], place.path, offset)[0], offset


def _lines(content: Content, begin: int, end: int) -> Iterator[tuple[bytes, int]]:
    rest = b""
    while begin < end and (block := content.pread(min(_BLOCK, end - begin), begin)):
        offset = begin - len(rest)
        begin += len(block)
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            yield line, offset
            offset += len(line) + 1
    if rest:
        yield rest, end - len(rest)


def _digest(value: bytes | None) -> bytes:
    return blake2b(value or b"", digest_size=8).digest()
