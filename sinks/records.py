"""The records that sinks move, and the batches in which they are stored."""

from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import NamedTuple

import msgspec

RECORD_OVERHEAD = 200
"""About what Python keeps around a record's value, in bytes."""


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

    @property
    def memory(self) -> int:
        """About what it takes, in bytes."""
        memory = RECORD_OVERHEAD + len(self.value or b"")
        if self.key is not None:
            memory += len(self.key)
        if self.headers:
            memory += sum(len(name) + len(value or b"") for name, value in self.headers)
        return memory


class Rejected(NamedTuple):
    """A record that can't be stored, and why."""

    record: Record
    reason: str


@dataclass(frozen=True)
class BatchLimits:
    """When a batch is stored.

    At so many records, bytes, or seconds after its first record was read; before a record whose Kafka time lies in
    another interval (seconds; 0: never); when an hour or day of the zone ends (schedule: "", "hourly" or "daily").
    """

    records: int
    bytes: int
    seconds: float
    interval: float = 0.0
    schedule: str = ""
    zone: tzinfo = UTC

    def period(self, wall: float) -> int:
        """The number of the scheduled period in which a moment lies (seconds since 1970)."""
        if not self.schedule:
            return 0
        moment = datetime.fromtimestamp(wall, self.zone)
        return moment.toordinal() * 24 + (moment.hour if self.schedule == "hourly" else 0)

    def separate(self, batch: "Batch", timestamp: int) -> bool:
        """Whether a record of this Kafka time (milliseconds) must not join the batch."""
        span = self.interval * 1000
        return bool(span) and timestamp // span != batch.first_timestamp // span


class Batch:
    """Consecutive records of one partition that are stored together.

    first_offset, first_timestamp: of its first record; opened_at: monotonic seconds; period: the scheduled one in
    which it was opened; next_offset: where reading goes on; count: records; size: bytes of their values; memory: bytes
    that they take, about.
    """

    __slots__ = (
        "count",
        "first_offset",
        "first_timestamp",
        "memory",
        "next_offset",
        "opened_at",
        "partition",
        "period",
        "records",
        "rejected",
        "size",
    )

    def __init__(self, partition: Partition, first: Record, *, opened_at: float, period: int = 0) -> None:
        self.partition = partition
        self.first_offset = first.offset
        self.first_timestamp = first.timestamp
        self.opened_at = opened_at
        self.period = period
        self.next_offset = first.offset
        self.records: list[Record] = []
        self.rejected: list[Rejected] = []
        self.count = 0
        self.size = 0
        self.memory = 0

    def add(self, record: Record, refused: str | None = None) -> int:
        """Takes the next record; returns how much memory it takes, in bytes.

        refused: why it can't be stored, None when it can.
        """
        if refused is None:
            self.records.append(record)
        else:
            self.rejected.append(Rejected(record, refused))
        self.next_offset = record.offset + 1
        self.count += 1
        if record.value is not None:
            self.size += len(record.value)
        memory = record.memory
        self.memory += memory
        return memory

    @property
    def last_offset(self) -> int:
        """The offset of its last record."""
        return self.next_offset - 1

    def is_full(self, limits: BatchLimits) -> bool:
        """Whether it takes no further record."""
        return self.count >= limits.records or self.size >= limits.bytes

    def is_due(self, limits: BatchLimits, now: float, period: int) -> bool:
        """Whether it is time to store it, at a monotonic time and in a scheduled period."""
        return now - self.opened_at >= limits.seconds or period != self.period

    def __str__(self) -> str:
        return f"{self.partition} offsets {self.first_offset}-{self.last_offset}"
