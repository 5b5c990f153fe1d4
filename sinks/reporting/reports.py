"""What a sink's process says of itself at a moment: the JSON of /status, of its heartbeat and of the console."""

from datetime import datetime
from typing import Any

import msgspec

from kafka_client.structs import ready
from worker.reports import State, TaskReport


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a task knows of one of its partitions.

    healthy: False when the partition has failed, or has backed off for UNHEALTHY_SECONDS. reason, tries: why the
    partition backs off and how many times the step has failed; or why it is paused: MEMORY or OPERATOR. held: True
    while an operator pauses the partition, whatever its state.

    position: the offset of the next record to read. stored: every record below this offset is stored. committed: the
    offset that was committed to Kafka. end: the offset after the last record in Kafka. lag: the distance from `stored`
    (from `committed` until the partition is open) to `end`; None while one of the two is unknown, for example before
    the first commit of a group.

    records, last_write: how many records the task has stored since it owns the partition, and when it last did.
    """

    topic: str
    partition: int
    task: str
    state: State
    since: datetime
    healthy: bool
    reason: str
    tries: int
    held: bool = False
    position: int | None = None
    stored: int | None = None
    committed: int | None = None
    end: int | None = None
    lag: int | None = None
    records: int = 0
    last_write: datetime | None = None

    @property
    def done(self) -> int | None:
        """Every record below this offset is stored, as far as the task knows."""
        return self.committed if self.stored is None else self.stored


@ready
class SinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of a sink is doing.

    since: when the process began. buffered_bytes: bytes that were read and are not stored yet. records, last_write:
    how many records the process has stored since it began, and when it last did.
    """

    sink: str
    healthy: bool
    since: datetime
    buffered_bytes: int
    records: int
    tasks: list[TaskReport]
    partitions: list[PartitionReport]
    last_write: datetime | None = None

    def unhealthy(self) -> dict[str, list[Any]]:
        """The tasks and partitions that do not work."""
        return {
            "tasks": [task for task in self.tasks if not task.healthy],
            "partitions": [partition for partition in self.partitions if not partition.healthy],
        }
