"""What a sink and its partitions are doing right now: one clear state for each, for people and machines to read."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sinks.errors import Retriable
from sinks.loop.memory import MemoryBudget
from sinks.records import Batch, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics

State = Literal["opening", "running", "paused", "backing off", "failed"]

UNHEALTHY_SECONDS = 5.0
"""What backs off for so long makes the sink unhealthy; a single failed try does not."""

MEMORY, OPERATOR = "memory", "operator"
"""Why a partition is paused."""

_KEPT_ERRORS = 10
_ERROR_LENGTH = 500


class RecentError(msgspec.Struct, frozen=True, kw_only=True):
    """Something that failed for the first time since it had worked. where: a task or a partition."""

    moment: datetime
    where: str
    text: str


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """A partition that a task owns, at a moment.

    healthy: False when it failed, or has backed off for UNHEALTHY_SECONDS; reason, tries: why, and how often it has
    tried, or why it is paused: MEMORY, OPERATOR; held: an operator has paused it, whatever its state; position: of the
    next record to be read; stored: every record below it is stored; committed: what Kafka was told; end: after the last
    record in Kafka; lag: records between `stored` (until it is open: `committed`) and `end`, None while one of them is
    not known, as before a group's first commit; records: stored since this task owns it; last_write: when this task
    did, None before the first.
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
        """Every record below this offset is stored, as far as is known."""
        return self.committed if self.stored is None else self.stored


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """A task, at a moment: running, backing off while Kafka is away, or failed. errors: its latest, oldest first."""

    task: str
    state: State
    since: datetime
    healthy: bool
    reason: str
    tries: int
    errors: list[RecentError] = []


class SinkReport(msgspec.Struct, frozen=True, kw_only=True):
    """A sink's process, at a moment.

    buffered_bytes: read and not stored yet; records: stored since it began; last_write: when, of whatever partition.
    """

    sink: str
    healthy: bool
    since: datetime
    buffered_bytes: int
    records: int
    tasks: list[TaskReport]
    partitions: list[PartitionReport]
    last_write: datetime | None = None


class _Since(NamedTuple):
    state: State
    moment: float
    reason: str = ""
    tries: int = 0


class _CurrentState:
    """Of something that several threads work for: failed, or backing off where one of them does, or as it was set."""

    def __init__(self, first: State, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._calm = _Since(first, wall_clock())
        self._troubles: dict[int, _Since] = {}  # of each thread, from the first failure of its step
        self._failure: _Since | None = None

    def set(self, state: State, reason: str = "") -> None:
        with self._lock:
            self._calm = _Since(state, self._wall_clock(), reason)

    def back_off(self, reason: str, tries: int) -> None:
        thread = threading.get_ident()
        with self._lock:
            moment = self._troubles[thread].moment if thread in self._troubles else self._wall_clock()
            self._troubles[thread] = _Since("backing off", moment, reason, tries)

    def go_on(self) -> None:
        with self._lock:
            if self._troubles.pop(threading.get_ident(), None) and not self._troubles:
                self._calm = self._calm._replace(moment=self._wall_clock())

    def fail(self, reason: str) -> None:
        with self._lock:
            self._failure = _Since("failed", self._wall_clock(), reason)

    def report(self) -> dict[str, Any]:
        with self._lock:
            now = self._failure or min(self._troubles.values(), key=lambda t: t.moment, default=self._calm)
        backs_off = self._wall_clock() - now.moment if now.state == "backing off" else 0.0
        return {
            "state": now.state,
            "since": datetime.fromtimestamp(now.moment, UTC),
            "healthy": now.state != "failed" and backs_off < UNHEALTHY_SECONDS,
            "reason": now.reason,
            "tries": now.tries,
        }


class _Offsets(NamedTuple):
    position: int | None = None
    stored: int | None = None
    committed: int | None = None
    end: int | None = None


class _Tally:
    """What is remembered of a task when its partitions have moved elsewhere."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self.errors: deque[RecentError] = deque(maxlen=_KEPT_ERRORS)
        self.records = 0
        self.last_writes: dict[Partition, datetime] = {}

    def note(self, where: str, text: str) -> None:
        moment = datetime.fromtimestamp(self._wall_clock(), UTC)
        self.errors.append(RecentError(moment=moment, where=where, text=text[:_ERROR_LENGTH]))


class PartitionStatus:
    """Is told what happens to a partition, by every thread that works for it; counts it as well.

    wall_clock: seconds since 1970; tally: of its task.
    """

    def __init__(
        self,
        partition: Partition,
        metrics: SinkMetrics,
        wall_clock: Callable[[], float] = time.time,
        tally: _Tally | None = None,
    ) -> None:
        self._partition = partition
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._tally = tally or _Tally(wall_clock)
        self._state = _CurrentState("opening", wall_clock)
        self._offsets = _Offsets()
        self._held = False
        self._records = 0
        metrics.add_partition(partition)

    def running(self) -> None:
        """It is open and read."""
        self._held = False
        self._state.set("running")

    def paused(self, why: str) -> None:
        """Reading has stopped; why: for want of MEMORY, or by an OPERATOR."""
        if why == MEMORY:
            self._metrics.paused(self._partition)
        self._held = why == OPERATOR
        self._state.set("paused", why)

    def backing_off(self, what: str, error: Retriable, tries: int) -> None:
        """The step of this thread failed so often, and is repeated."""
        self._metrics.retried(self._partition, error.reason)
        if tries == 1:
            self._tally.note(str(self._partition), f"{what}: {error}")
        self._state.back_off(f"{what}: {error}", tries)

    def goes_on(self) -> None:
        """The step of this thread is over."""
        self._state.go_on()

    def failed(self, why: str) -> None:
        """The task can't go on."""
        self._state.fail(why)

    def fenced(self) -> None:
        """Another owner has taken it over."""
        self._metrics.fenced(self._partition)

    def stored(self, batch: Batch) -> None:
        """A batch is stored."""
        self._metrics.stored(self._partition, batch.count, batch.size)
        self._records += batch.count
        self._tally.records += batch.count
        self._tally.last_writes[self._partition] = datetime.fromtimestamp(self._wall_clock(), UTC)

    def dead_letters(self, rejected: Sequence[Rejected]) -> None:
        """Dead letters have arrived."""
        for letter in rejected:
            self._metrics.dead_letter(self._partition, letter.kind)

    def progress(self, *, position: int, stored: int | None, committed: int | None, end: int | None) -> None:
        """How far it is; end: None or negative when it is not known now."""
        known = self._offsets.end if end is None or end < 0 else end
        self._offsets = _Offsets(position, stored, committed, known)

    def report(self, task: str) -> PartitionReport:
        """What it is doing; task: that of its owner."""
        offsets = self._offsets
        done = offsets.committed if offsets.stored is None else offsets.stored
        return PartitionReport(
            topic=self._partition.topic,
            partition=self._partition.number,
            task=task,
            **self._state.report(),
            held=self._held,
            records=self._records,
            last_write=self._tally.last_writes.get(self._partition),
            **offsets._asdict(),
            lag=None if offsets.end is None or done is None else max(0, offsets.end - done),
        )


class TaskStatus:
    """What a task is doing, and its partitions."""

    def __init__(self, name: str, metrics: SinkMetrics, wall_clock: Callable[[], float] = time.time) -> None:
        self._name = name
        self._metrics = metrics
        self._wall_clock = wall_clock
        self._state = _CurrentState("running", wall_clock)
        self._tally = _Tally(wall_clock)
        self._has_failed = False
        self._partitions: dict[Partition, PartitionStatus] = {}

    def assign(self, partition: Partition) -> PartitionStatus:
        """The task owns a partition from now on."""
        status = PartitionStatus(partition, self._metrics, self._wall_clock, self._tally)
        self._partitions[partition] = status
        return status

    def leave(self, partition: Partition) -> None:
        """The task has given a partition up; after a failure it goes on being shown."""
        if not self._has_failed:
            self._partitions.pop(partition, None)

    def kafka_away(self, why: str, tries: int) -> None:
        """Kafka was asked in vain so often."""
        if tries == 1:
            self._tally.note(self._name, why)
        self._state.back_off(why, tries)

    def kafka_back(self) -> None:
        """Kafka has answered."""
        self._state.go_on()

    def failed(self, error: BaseException) -> None:
        """The task has ended by an error, and its partitions with it."""
        self._has_failed = True
        why = str(error) or type(error).__name__
        self._tally.note(self._name, why)
        self._state.fail(why)
        for status in self._partitions.values():
            status.failed(why)

    def report(self) -> TaskReport:
        """What it is doing."""
        return TaskReport(task=self._name, **self._state.report(), errors=list(self._tally.errors))

    @property
    def records(self) -> int:
        """Records that it has stored."""
        return self._tally.records

    @property
    def last_write(self) -> datetime | None:
        """When it has stored last, also of a partition that is another task's now; None before the first time."""
        return max(list(self._tally.last_writes.values()), default=None)

    def partitions(self) -> list[PartitionReport]:
        """Its partitions."""
        return [status.report(self._name) for status in list(self._partitions.values())]


class SinkStatus(Collector):
    """Tells what a sink's process is doing. As a collector it gives the metrics that are states, not counts.

    sink: its name; tasks: all of the process; budget: what they share.
    """

    def __init__(
        self,
        sink: str,
        tasks: Iterable[TaskStatus],
        budget: MemoryBudget,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._sink = sink
        self._tasks = list(tasks)
        self._budget = budget
        self._since = datetime.fromtimestamp(wall_clock(), UTC)

    def status(self) -> SinkReport:
        """What it is doing right now; `msgspec.json.encode` makes JSON of it."""
        tasks = [task.report() for task in self._tasks]
        partitions = [partition for task in self._tasks for partition in task.partitions()]
        return SinkReport(
            sink=self._sink,
            healthy=all(task.healthy for task in tasks) and all(partition.healthy for partition in partitions),
            since=self._since,
            buffered_bytes=self._budget.used,
            records=sum(task.records for task in self._tasks),
            tasks=tasks,
            partitions=sorted(partitions, key=lambda partition: (partition.topic, partition.partition)),
            last_write=max((task.last_write for task in self._tasks if task.last_write), default=None),
        )

    def collect(self) -> Iterable[Metric]:
        """The metrics of states, at the moment of a scrape."""
        status = self.status()
        states = GaugeMetricFamily(
            "sink_partition_state",
            "1 for the state that a partition is in.",
            labels=("sink", "topic", "partition", "state"),
        )
        lags = GaugeMetricFamily(
            "sink_lag_records", "Records in Kafka that are not stored yet.", labels=("sink", "topic", "partition")
        )
        for partition in status.partitions:
            labels = (self._sink, partition.topic, str(partition.partition))
            for state in get_args(State):
                states.add_metric((*labels, state), partition.state == state)
            if partition.lag is not None:
                lags.add_metric(labels, partition.lag)
        healthy = GaugeMetricFamily("sink_healthy", "What /healthz answers: 1 for 200, 0 for 503.", labels=("sink",))
        healthy.add_metric((self._sink,), status.healthy)
        buffered = GaugeMetricFamily(
            "sink_buffered_bytes", "Bytes that were read and not stored yet.", labels=("sink",)
        )
        buffered.add_metric((self._sink,), status.buffered_bytes)
        return states, lags, healthy, buffered
