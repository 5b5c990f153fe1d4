"""Keeps the state of a sink, its tasks and its partitions; the threads that do the work report what happens."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from events.shortening import shortened
from sinks.records import Batch, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.reports import PartitionReport, RecentError, SinkReport, State, TaskReport
from worker.errors import Retriable

UNHEALTHY_SECONDS = 5.0
"""A task or partition that backs off for this long makes the sink unhealthy. A single failed try does not."""

MEMORY, OPERATOR = "memory", "operator"
"""Why a partition is paused."""

_KEPT_ERRORS = 10
_ERROR_LENGTH = 500


class _Since(NamedTuple):
    state: State
    moment: float
    reason: str = ""
    tries: int = 0


class _WorstState:
    """The worst state of all that serves a task or a partition: failed, then backing off, then what was set."""

    def __init__(self, first: State, wall_clock: Callable[[], float]) -> None:
        self.wall_clock = wall_clock
        self._lock = threading.Lock()
        self._was_set = _Since(first, wall_clock())
        self._backing_off: dict[object, _Since] = {}  # by what waits, since the first failure of its step
        self._failure: _Since | None = None

    def goes_on(self, work: object) -> None:
        """The step of a piece of work has ended, well or not; of a task: what it was waiting for is there."""
        with self._lock:
            if self._backing_off.pop(work, None) and not self._backing_off:
                self._was_set = self._was_set._replace(moment=self.wall_clock())

    def _set(self, state: State, reason: str = "") -> None:
        with self._lock:
            self._was_set = _Since(state, self.wall_clock(), reason)

    def _back_off(self, work: object, reason: str) -> int:
        """Says for which time in a row."""
        with self._lock:
            earlier = self._backing_off.get(work) or _Since("backing off", self.wall_clock())
            self._backing_off[work] = earlier._replace(reason=reason, tries=earlier.tries + 1)
            return earlier.tries + 1

    def _fail(self, reason: str) -> None:
        with self._lock:
            self._failure = _Since("failed", self.wall_clock(), reason)

    def _state(self) -> dict[str, Any]:
        """The fields that TaskReport and PartitionReport share."""
        with self._lock:
            longest = min(self._backing_off.values(), key=lambda since: since.moment, default=None)
            now = self._failure or longest or self._was_set
        backs_off_for = self.wall_clock() - now.moment if now.state == "backing off" else 0.0
        return {
            "state": now.state,
            "since": datetime.fromtimestamp(now.moment, UTC),
            "healthy": now.state != "failed" and backs_off_for < UNHEALTHY_SECONDS,
            "reason": now.reason,
            "tries": now.tries,
        }


class PartitionStatus(_WorstState):
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
        self._set("running")

    def paused(self, why: str) -> None:
        """The task has stopped reading the partition. why: MEMORY or OPERATOR."""
        if why == MEMORY:
            self._task.metrics.pauses(self._partition)
        self._held = why == OPERATOR
        self._set("paused", why)

    def backing_off(self, work: object, what: str, error: Retriable) -> None:
        """A step of a piece of work has failed and will be tried again."""
        self._task.metrics.retries(self._partition, reason=error.reason)
        if self._back_off(work, f"{what}: {error}") == 1:
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
            **self._state(),
            held=self._held,
            records=self._records,
            last_write=self._task.last_writes.get(self._partition),
            **self._offsets,
        )
        if report.end is None or report.done is None:
            return report
        return msgspec.structs.replace(report, lag=max(0, report.end - report.done))


class TaskStatus(_WorstState):
    """The state of a task and of its partitions.

    records, batches: how many the task has stored; last_writes: when last, of each partition that it has owned.
    """

    def __init__(self, name: str, metrics: SinkMetrics, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__("running", wall_clock)
        self.name = name
        self.metrics = metrics
        self.records = self.batches = 0
        self.last_writes: dict[Partition, datetime] = {}
        self._errors: deque[RecentError] = deque(maxlen=_KEPT_ERRORS)
        self._partitions: dict[Partition, PartitionStatus] = {}

    def assign(self, partition: Partition) -> PartitionStatus:
        """The task owns a partition from now on."""
        status = self._partitions[partition] = PartitionStatus(partition, self)
        return status

    def leave(self, partition: Partition) -> None:
        """The task has given a partition up. A task that has failed goes on showing its partitions."""
        if self._failure is None:
            self._partitions.pop(partition, None)

    def backing_off(self, what: object, why: str) -> None:
        """The task waits for `what` (Kafka, or a topic), which was not there."""
        if self._back_off(what, why) == 1:
            self.add_error(self.name, why)

    def failed(self, error: BaseException) -> None:
        """The task has ended by an error, and its partitions with it."""
        why = str(error) or type(error).__name__
        self.add_error(self.name, why)
        self._fail(why)
        for status in self._partitions.values():
            status._fail(why)

    def add_error(self, where: str, text: str) -> None:
        """Keeps an error of the task or of one of its partitions."""
        moment = datetime.fromtimestamp(self.wall_clock(), UTC)
        self._errors.append(RecentError(moment=moment, where=where, text=shortened(text, _ERROR_LENGTH)))

    def add_batch(self, batch: Batch) -> None:
        """Counts a batch that is stored."""
        self.records += batch.count
        self.batches += 1
        self.last_writes[batch.partition] = datetime.fromtimestamp(self.wall_clock(), UTC)

    def report(self) -> TaskReport:
        """The task at this moment."""
        return TaskReport(task=self.name, **self._state(), errors=list(self._errors))

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
