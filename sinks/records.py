"""The records that sinks move, and the batches in which they are stored."""

from array import array
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from events.schema import as_lines

Headers = list[tuple[str, bytes]]

_OBJECT_BYTES = 50
"""About how many bytes Python needs for an object beside the value that it holds."""

_COLUMN_BYTES = 8
"""The bytes that the offset or the time of a record takes in memory."""


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One Kafka record. timestamp: Kafka's, in milliseconds since 1970 (-1 when it has none)."""

    offset: int
    value: bytes | None
    timestamp: int
    key: bytes | None = None
    headers: Headers | None = None


REJECTIONS = ("invalid", "refused", "too_large")
"""Kinds of dead letters: no event of its kind; refused by the store for what it is, or for its size."""


class Rejected(NamedTuple):
    """A record that can't be stored, and why. kind: one of REJECTIONS."""

    record: Record
    reason: str
    kind: str = "invalid"


@dataclass(eq=False, repr=False, slots=True)
class Columns:
    """Records of one partition in the order of their offsets, column by column, to handle many records at once.

    keys, headers: None when no record has any; lines: the values, packed (`as_lines`), None where they can't be.
    """

    offsets: Sequence[int]
    values: Sequence[bytes | None]
    timestamps: Sequence[int]
    keys: Sequence[bytes | None] | None = None
    headers: Sequence[Headers | None] | None = None
    lines: bytes | None = field(init=False)

    def __post_init__(self) -> None:
        self.lines = as_lines(self.values)

    def record(self, place: int) -> Record:
        """The record at a place."""
        key = self.keys[place] if self.keys else None
        headers = self.headers[place] if self.headers else None
        return Record(self.offsets[place], self.values[place], self.timestamps[place], key, headers)

    def part(self, begin: int, end: int) -> "Columns":
        """The records from one place up to another (excluded)."""
        if begin == 0 and end == len(self.offsets):
            return self
        return self._picked(lambda column: column[begin:end])

    def without(self, places: Collection[int]) -> "Columns":
        """All records but those at some places."""
        kept = [place for place in range(len(self.offsets)) if place not in places]
        return self._picked(lambda column: [column[place] for place in kept])

    def _picked(self, pick: Callable[[Sequence[Any]], Sequence[Any]]) -> "Columns":
        keys, headers = self.keys and pick(self.keys), self.headers and pick(self.headers)
        return Columns(pick(self.offsets), pick(self.values), pick(self.timestamps), keys, headers)


def readable_headers(message: Any) -> Headers | None:
    """The headers of a message of Kafka's client; None, too, when one has a name that is not UTF-8.

    The client raises SystemError for these: nothing can be read of any of them.
    """
    try:
        headers: Headers | None = message.headers()
    except (SystemError, UnicodeDecodeError):
        return None
    return headers


class Run:
    """Records as a batch keeps them: values that are lines lie packed in one text.

    offsets: ascending; timestamps: Kafka's; lines: the values, each with a line's end, or None when a value is missing,
    empty, or more than a line; size: bytes of the values; memory: bytes that it takes, about.
    """

    __slots__ = ("_headers", "_keys", "_values", "lines", "memory", "offsets", "size", "timestamps")

    def __init__(self, columns: Columns) -> None:
        count = len(columns.values)
        self.lines = columns.lines
        self._values = columns.values if columns.lines is None else None
        offsets = columns.offsets
        self.offsets: Sequence[int] = offsets if isinstance(offsets, range) else array("q", offsets)
        self.timestamps = array("q", columns.timestamps)
        self._keys = columns.keys
        self._headers = columns.headers
        if self.lines is not None:
            self.size = len(self.lines) - count
            self.memory = len(self.lines)
        else:
            self.size = sum(map(len, filter(None, columns.values)))
            self.memory = self.size + count * _OBJECT_BYTES
        columns_kept = 1 if isinstance(self.offsets, range) else 2
        self.memory += count * columns_kept * _COLUMN_BYTES + _OBJECT_BYTES
        self.memory += sum(len(key or b"") + _OBJECT_BYTES for key in self._keys or ())
        for headers in self._headers or ():
            self.memory += sum(len(name) + len(value or b"") + 2 * _OBJECT_BYTES for name, value in headers or ())

    @property
    def values(self) -> Sequence[bytes | None]:
        """The values, as they came."""
        return self.lines.split(b"\n")[:-1] if self.lines is not None else self._values or ()

    def __iter__(self) -> Iterator[Record]:
        columns = Columns(self.offsets, self.values, self.timestamps, self._keys, self._headers)
        return map(columns.record, range(len(self.offsets)))


@dataclass(eq=False, repr=False, slots=True)
class Batch:
    """Consecutive records of one partition that are stored together.

    first_offset, first_timestamp: of its first record; opened_at: monotonic seconds; period: the scheduled one in
    which it was opened; next_offset: where reading goes on; count: records; size: bytes of their values; memory: bytes
    that they take, about; runs: those that can be stored; rejected: those that can't.
    """

    partition: Partition
    first_offset: int
    first_timestamp: int
    _: KW_ONLY
    opened_at: float
    period: int = 0
    next_offset: int = field(init=False)
    runs: list[Run] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    count: int = 0
    size: int = 0
    memory: int = 0

    def __post_init__(self) -> None:
        self.next_offset = self.first_offset

    def add(self, columns: Columns, refused: Mapping[int, str]) -> int:
        """Takes the next records; returns how much memory they take, in bytes.

        refused: place of one that can't be stored -> why.
        """
        run = Run(columns)
        self.next_offset = columns.offsets[-1] + 1
        self.count += len(columns.offsets)
        self.size += run.size
        self.memory += run.memory
        if refused:
            self.rejected += [Rejected(columns.record(place), reason) for place, reason in refused.items()]
            columns = columns.without(refused)
            if not columns.offsets:
                return run.memory
        self.runs.append(Run(columns) if refused else run)
        return run.memory

    @property
    def records(self) -> Iterator[Record]:
        """Those that can be stored."""
        return chain.from_iterable(self.runs)

    @property
    def last_offset(self) -> int:
        """The offset of its last record."""
        return self.next_offset - 1

    def __str__(self) -> str:
        return f"{self.partition} offsets {self.first_offset}-{self.last_offset}"
