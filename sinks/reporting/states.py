"""Keeps the state of a sink, its tasks and its partitions; the threads that do the work report what happens."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from sinks.records import Batch, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.reports import PartitionReport, SinkReport
from worker.errors import Retriable
from worker.states import TaskState, WorstState

MEMORY, OPERATOR = "memory", "operator"
"""Why a partition is paused."""


class PartitionStatus(WorstState):
    """The state of a partition. Every thread that works for the partition calls it; it counts the metrics as well.

    task: the one that owns the partition.
    """

    def __init__(self, partition: Partition, task: "TaskStatus") -> None:
        super().__init__("opening", task.wall_clock)
        self._partition = partition
        self._task = task
        self._offsets: dict[str, Any] = {}
        self._held = False
        self._records = 0
        task.metrics.add_partition(partition)

    def running(self) -> None:
        """The partition is open, and the task reads it."""
        self._held = False
        self.set_state("running")

    def paused(self, why: str) -> None:
        """The task has stopped reading the partition. why: MEMORY or OPERATOR."""
        if why == MEMORY:
            self._task.metrics.pauses(self._partition)
        self._held = why == OPERATOR
        self.set_state("paused", why)

    def backing_off(self, work: object, what: str, error: Retriable) -> None:
        """A step of a piece of work has failed and will be tried again."""
        self._task.metrics.retries(self._partition, reason=error.reason)
        if self.back_off(work, f"{what}: {error}") == 1:
            self._task.add_error(str(self._partition), f"{what}: {error}")

    def fenced(self) -> None:
        """Another owner has taken the partition over in the store."""
        self._task.metrics.fenced(self._partition)

    def stored(self, batch: Batch) -> None:
        """A batch is stored."""
        self._task.metrics.records(self._partition, batch.count)
        self._task.metrics.bytes(self._partition, batch.size)
        self._records += batch.count
        self._task.add_batch(batch)

    def dead_letters(self, rejected: Sequence[Rejected]) -> None:
        """Kafka has acknowledged these dead letters."""
        for letter in rejected:
            self._task.metrics.dead_letters(self._partition, reason=letter.kind)

    def progress(self, *, position: int, stored: int | None, committed: int | None, end: int | None) -> None:
        """How far the partition is. end: None or negative when Kafka could not be asked; the last one known stays."""
        known = self._offsets.get("end") if end is None or end < 0 else end
        self._offsets = {"position": position, "stored": stored, "committed": committed, "end": known}

    def report(self) -> PartitionReport:
        """The partition at this moment."""
        report = PartitionReport(
            topic=self._partition.topic,
            partition=self._partition.number,
            task=self._task.name,
            **self.state(),
            held=self._held,
            records=self._records,
            last_write=self._task.last_writes.get(self._partition),
            **self._offsets,
        )
        if report.end is None or report.done is None:
            return report
        return msgspec.structs.replace(report, lag=max(0, report.end - report.done))


class TaskStatus(TaskState):
    """The state of a task and of its partitions.

    records, batches: how many the task has stored; last_writes: when last, of each partition that it has owned.
    """

    def __init__(self, name: str, metrics: SinkMetrics, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__(name, wall_clock)
        self.metrics = metrics
        self.records = self.batches = 0
        self.last_writes: dict[Partition, datetime] = {}
        self._partitions: dict[Partition, PartitionStatus] = {}

    def assign(self, partition: Partition) -> PartitionStatus:
        """The task owns a partition from now on."""
        status = self._partitions[partition] = PartitionStatus(partition, self)
        return status

    def leave(self, partition: Partition) -> None:
        """The task has given a partition up. A task that has failed goes on showing its partitions."""
        if not self.has_failed:
            self._partitions.pop(partition, None)

    def failed(self, error: BaseException) -> None:
        """The task has ended by an error, and its partitions with it."""
        super().failed(error)
        for status in self._partitions.values():
            status.fail(str(error) or type(error).__name__)

    def add_batch(self, batch: Batch) -> None:
        """Counts a batch that is stored."""
        self.records += batch.count
        self.batches += 1
        self.last_writes[batch.partition] = datetime.fromtimestamp(self.wall_clock(), UTC)

    def partitions(self) -> list[PartitionReport]:
        """The task's partitions at this moment."""
        return [status.report() for status in list(self._partitions.values())]


@dataclass(eq=False)
class SinkStatus:
    """The state of a sink's process.

    sink: its name. tasks: all tasks of the process. buffered: the bytes that they hold in memory.
    """

    sink: str
    tasks: Sequence[TaskStatus]
    buffered: Callable[[], int]
    wall_clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._since = datetime.fromtimestamp(self.wall_clock(), UTC)

    def report(self) -> SinkReport:
        """The process at this moment; `msgspec.json.encode` makes JSON of the report."""
        tasks = [task.report() for task in self.tasks]
        partitions = [partition for task in self.tasks for partition in task.partitions()]
        return SinkReport(
            sink=self.sink,
            healthy=all(task.healthy for task in tasks) and all(partition.healthy for partition in partitions),
            since=self._since,
            buffered_bytes=self.buffered(),
            records=sum(task.records for task in self.tasks),
            tasks=tasks,
            partitions=sorted(partitions, key=lambda partition: (partition.topic, partition.partition)),
            last_write=max((write for task in self.tasks for write in list(task.last_writes.values())), default=None),
        )
