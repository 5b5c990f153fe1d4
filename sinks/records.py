"""The records that sinks move, and the batches in which they are stored."""

from dataclasses import dataclass, field
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
    headers: tuple[tuple[str, bytes], ...] = ()


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


@dataclass(slots=True)
class Batch:
    """Consecutive records of one partition that are stored together.

    first_offset: of its first record; next_offset: where reading goes on; opened_at: monotonic seconds;
    size: bytes of its values; memory: bytes that it holds.
    """

    partition: Partition
    first_offset: int
    opened_at: float
    next_offset: int
    records: list[Record] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    size: int = 0

    @property
    def memory(self) -> int:
        """About what it takes, in bytes."""
        return self.size + len(self) * RECORD_OVERHEAD

    @property
    def last_offset(self) -> int:
        """The offset of its last record."""
        return self.next_offset - 1

    def __len__(self) -> int:
        return len(self.records) + len(self.rejected)

    def __str__(self) -> str:
        return f"{self.partition} offsets {self.first_offset}-{self.last_offset}"

    def is_due(self, limits: BatchLimits, now: float) -> bool:
        """Whether it is time to store it."""
        return len(self) >= limits.records or self.size >= limits.bytes or now - self.opened_at >= limits.seconds
