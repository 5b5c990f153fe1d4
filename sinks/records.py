"""The records that sinks move, and the batches in which they are stored."""

from dataclasses import dataclass
from typing import NamedTuple

import msgspec


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
    headers: list[tuple[str, bytes]] | None = None


class Rejected(NamedTuple):
    """A record that can't be stored, and why."""

    record: Record
    reason: str


@dataclass(frozen=True)
class BatchLimits:
    """When a batch is stored: at so many records, bytes, or seconds after its first record was read."""

    records: int
    bytes: int
    seconds: float


RECORD_OVERHEAD = 200
"""About what Python keeps around a record's value, in bytes."""


class Batch:
    """Consecutive records of one partition that are stored together.

    first_offset: of its first record; opened_at: monotonic seconds; next_offset: where reading goes on; count: records;
    size: bytes of their values.
    """

    __slots__ = ("count", "first_offset", "next_offset", "opened_at", "partition", "records", "rejected", "size")

    def __init__(self, partition: Partition, first_offset: int, opened_at: float) -> None:
        self.partition = partition
        self.first_offset = first_offset
        self.opened_at = opened_at
        self.next_offset = first_offset
        self.records: list[Record] = []
        self.rejected: list[Rejected] = []
        self.count = 0
        self.size = 0

    def add(self, record: Record, refused: str | None = None) -> None:
        """Takes the next record; refused: why it can't be stored, None when it can."""
        if refused is None:
            self.records.append(record)
        else:
            self.rejected.append(Rejected(record, refused))
        self.next_offset = record.offset + 1
        self.count += 1
        if record.value is not None:
            self.size += len(record.value)

    @property
    def last_offset(self) -> int:
        """The offset of its last record."""
        return self.next_offset - 1

    @property
    def memory(self) -> int:
        """About what it takes, in bytes."""
        return self.size + self.count * RECORD_OVERHEAD

    def is_due(self, limits: BatchLimits, now: float) -> bool:
        """Whether it is time to store it."""
        return self.count >= limits.records or self.size >= limits.bytes or now - self.opened_at >= limits.seconds

    def __str__(self) -> str:
        return f"{self.partition} offsets {self.first_offset}-{self.last_offset}"
