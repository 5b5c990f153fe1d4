"""Keeps the state of a sink, its tasks and its partitions; the threads that do the work report what happens."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from events.shortening import shortened
from sinks.errors import Retriable
from sinks.records import Batch, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.reports import PartitionReport, RecentError, SinkReport, State, TaskReport

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
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._was_set = _Since(first, wall_clock())
        self._backing_off: dict[object, _Since] = {}  # by what waits, since the first failure of its step
        self._failure: _Since | None = None

    def set(self, state: State, reason: str = "") -> None:
        with self._lock:
            self._was_set = _Since(state, self._wall_clock(), reason)

    def back_off(self, work: object, reason: str, tries: int) -> None:
        with self._lock:
            earlier = self._backing_off.get(work)
            moment = earlier.moment if earlier else self._wall_clock()
            self._backing_off[work] = _Since("backing off", moment, reason, tries)

    def go_on(self, work: object) -> None:
        with self._lock:
            if self._backing_off.pop(work, None) and not self._backing_off:
                self._was_set = self._was_set._replace(moment=self._wall_clock())

    def fail(self, reason: str) -> None:
        with self._lock:
            self._failure = _Since("failed", self._wall_clock(), reason)

    def report(self) -> dict[str, Any]:
        """The fields that TaskReport and PartitionReport share."""
        with self._lock:
            longest = min(self._backing_off.values(), key=lambda since: since.moment, default=None)
            now = self._failure or longest or self._was_set
        backs_off_for = self._wall_clock() - now.moment if now.state == "backing off" else 0.0
        return {
            "state": now.state,
            "since": datetime.fromtimestamp(now.moment, UTC),
            "healthy": now.state != "failed" and backs_off_for < UNHEALTHY_SECONDS,
            "reason": now.reason,
            "tries": now.tries,
        }


class _Offsets(NamedTuple):
    position: int | None = None
    stored: int | None = None
    committed: int | None = None
    end: int | None = None


class _History:
    """What a task still knows of partitions that have moved to other tasks: errors, counts, last writes."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self.errors: deque[RecentError] = deque(maxlen=_KEPT_ERRORS)
        self.records = 0
        self.last_writes: dict[Partition, datetime] = {}

    def add_error(self, where: str, text: str) -> None:
        moment = datetime.fromtimestamp(self._wall_clock(), UTC)
        self.errors.append(RecentError(moment=moment, where=where, text=shortened(text, _ERROR_LENGTH)))

    def add_batch(self, batch: Batch) -> None:
        self.records += batch.count
        self.last_writes[batch.partition] = datetime.fromtimestamp(self._wall_clock(), UTC)


class PartitionStatus:
    """The state of a partition. Every thread that works for the partition calls it; it counts the metrics as well.

    wall_clock: seconds since 1970. history: of the task that owns the partition.
    """

    def __init__(
        self, partition: Partition, metrics: SinkMetrics, wall_clock: Callable[[], float], history: _History
    ) -> None:
        self._partition = partition
        self._metrics = metrics
        self._history = history
        self._state = _WorstState("opening", wall_clock)
        self._offsets = _Offsets()
        self._held = False
        self._records = 0
        metrics.add_partition(partition)

    def running(self) -> None:
        """The partition is open, and the task reads it."""
        self._held = False
        self._state.set("running")

    def paused(self, why: str) -> None:
        """The task has stopped reading the partition. why: MEMORY or OPERATOR."""
        if why == MEMORY:
            self._metrics.paused(self._partition)
        self._held = why == OPERATOR
        self._state.set("paused", why)

    def backing_off(self, work: object, what: str, error: Retriable, tries: int) -> None:
        """A step of a piece of work has failed for the `tries`-th time and will be tried again."""
        self._metrics.retried(self._partition, error.reason)
        if tries == 1:
            self._history.add_error(str(self._partition), f"{what}: {error}")
        self._state.back_off(work, f"{what}: {error}", tries)

    def goes_on(self, work: object) -> None:
        """The step of a piece of work has ended, well or not."""
        self._state.go_on(work)

    def failed(self, why: str) -> None:
        """The task that owns the partition has ended by an error."""
        self._state.fail(why)

    def fenced(self) -> None:
        """Another owner has taken the partition over in the store."""
        self._metrics.fenced(self._partition)

    def stored(self, batch: Batch) -> None:
        """A batch is stored."""
        self._metrics.stored(self._partition, batch.count, batch.size)
        self._records += batch.count
        self._history.add_batch(batch)

    def dead_letters(self, rejected: Sequence[Rejected]) -> None:
        """Kafka has acknowledged these dead letters."""
        for letter in rejected:
            self._metrics.dead_letter(self._partition, letter.kind)

    def progress(self, *, position: int, stored: int | None, committed: int | None, end: int | None) -> None:
        """How far the partition is. end: None or negative when Kafka could not be asked; the last one known stays."""
        known = self._offsets.end if end is None or end < 0 else end
        self._offsets = _Offsets(position, stored, committed, known)

    def report(self, task: str) -> PartitionReport:
        """The partition at this moment. task: the name of its owner."""
        offsets = self._offsets
        done = offsets.committed if offsets.stored is None else offsets.stored
        return PartitionReport(
            topic=self._partition.topic,
            partition=self._partition.number,
            task=task,
            **self._state.report(),
            held=self._held,
            records=self._records,
            last_write=self._history.last_writes.get(self._partition),
            **offsets._asdict(),
            lag=None if offsets.end is None or done is None else max(0, offsets.end - done),
        )


class TaskStatus:
    """The state of a task and of its partitions."""

    def __init__(self, name: str, metrics: SinkMetrics, wall_clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._state = _WorstState("running", wall_clock)
        self._history = _History(wall_clock)
        self._has_failed = False
        self._partitions: dict[Partition, PartitionStatus] = {}

    def assign(self, partition: Partition) -> PartitionStatus:
        """The task owns a partition from now on."""
        status = PartitionStatus(partition, self._metrics, self._wall_clock, self._history)
        self._partitions[partition] = status
        return status

    def leave(self, partition: Partition) -> None:
        """The task has given a partition up. A task that has failed goes on showing its partitions."""
        if not self._has_failed:
            self._partitions.pop(partition, None)

    def backing_off(self, what: object, why: str, tries: int) -> None:
        """The task waits for `what` (Kafka, or a topic), which was not there for the `tries`-th time."""
        if tries == 1:
            self._history.add_error(self._name, why)
        self._state.back_off(what, why, tries)

    def goes_on(self, what: object) -> None:
        """What the task was waiting for is there."""
        self._state.go_on(what)

    def failed(self, error: BaseException) -> None:
        """The task has ended by an error, and its partitions with it."""
        self._has_failed = True
        why = str(error) or type(error).__name__
        self._history.add_error(self._name, why)
        self._state.fail(why)
        for status in self._partitions.values():
            status.failed(why)

    def report(self) -> TaskReport:
        """The task at this moment."""
        return TaskReport(task=self._name, **self._state.report(), errors=list(self._history.errors))

    @property
    def records(self) -> int:
        """How many records the task has stored."""
        return self._history.records

    @property
    def last_write(self) -> datetime | None:
        """When the task stored last, in any partition that it has owned; None before the first time."""
        return max(list(self._history.last_writes.values()), default=None)

    def partitions(self) -> list[PartitionReport]:
        """The task's partitions at this moment."""
        return [status.report(self._name) for status in list(self._partitions.values())]


class SinkStatus:
    """The state of a sink's process.

    sink: its name. tasks: all tasks of the process. buffered: the bytes that they hold in memory.
    """

    def __init__(
        self,
        sink: str,
        tasks: Iterable[TaskStatus],
        buffered: Callable[[], int],
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink = sink
        self._tasks = list(tasks)
        self._buffered = buffered
        self._since = datetime.fromtimestamp(wall_clock(), UTC)

    def report(self) -> SinkReport:
        """The process at this moment; `msgspec.json.encode` makes JSON of the report."""
        tasks = [task.report() for task in self._tasks]
        partitions = [partition for task in self._tasks for partition in task.partitions()]
        return SinkReport(
            sink=self._sink,
            healthy=all(task.healthy for task in tasks) and all(partition.healthy for partition in partitions),
            since=self._since,
            buffered_bytes=self._buffered(),
            records=sum(task.records for task in self._tasks),
            tasks=tasks,
            partitions=sorted(partitions, key=lambda partition: (partition.topic, partition.partition)),
            last_write=max((task.last_write for task in self._tasks if task.last_write), default=None),
        )
