"""Keeps the state of a source, its tasks and its parts; the tasks report what happens."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sources.metrics import SourceMetrics
from sources.reader import Position
from sources.reports import MOST_PARTS, PartReport, SourceReport, in_short
from worker.errors import Retriable
from worker.states import TaskState, WorstState


class PartStatus(WorstState):
    """The state of a part. task: the one that reads it; partition: of its position."""

    def __init__(self, part: str, partition: int, task: "TaskStatus") -> None:
        super().__init__("opening", task.wall_clock)
        self._part = part
        self._partition = partition
        self._task = task
        self._position: Position | None = None
        self._records = 0
        self._last_write: datetime | None = None

    def running(self, position: Position | None) -> None:
        """The part is open at a position."""
        self._position = position
        self.goes_on(self)
        self.set_state("running")

    def backing_off(self, what: str, error: Retriable) -> None:
        """Opening or reading the part has failed and will be tried again."""
        self._task.metrics.retries(reason=error.reason)
        if self.back_off(self, f"{what}: {error}") == 1:
            self._task.add_error(self._part, f"{what}: {error}")

    def committed(self, position: Position | None, records: int) -> None:
        """Records of the part and its new position are committed."""
        self._position = position
        self._records += records
        if records:
            self._last_write = datetime.fromtimestamp(self.wall_clock(), UTC)

    def report(self) -> PartReport:
        """The part at this moment."""
        return PartReport(
            part=self._part,
            partition=self._partition,
            task=self._task.name,
            **self.state(),
            position=in_short(self._position),
            records=self._records,
            last_write=self._last_write,
        )


class TaskStatus(TaskState):
    """The state of a task and of its parts.

    records: how many the task has committed; last_write: when last; partitions: those of the positions that it owns.
    """

    def __init__(self, name: str, metrics: SourceMetrics, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__(name, wall_clock)
        self.metrics = metrics
        self.records = 0
        self.last_write: datetime | None = None
        self.partitions: set[int] = set()
        self._parts: dict[str, PartStatus] = {}

    def add_part(self, part: str, partition: int) -> PartStatus:
        """The task reads a part from now on."""
        status = self._parts[part] = PartStatus(part, partition, self)
        return status

    def drop_part(self, part: str) -> None:
        """The task does not read a part any more. A task that has failed goes on showing its parts."""
        if not self.has_failed:
            self._parts.pop(part, None)

    def committed(self, records: int) -> None:
        """So many records were committed."""
        self.records += records
        if records:
            self.last_write = datetime.fromtimestamp(self.wall_clock(), UTC)

    def failed(self, error: BaseException) -> None:
        """The task has ended by an error, and its parts with it."""
        super().failed(error)
        for status in self._parts.values():
            status.fail(str(error) or type(error).__name__)

    def parts(self) -> list[PartReport]:
        """The task's parts at this moment."""
        return [status.report() for status in list(self._parts.values())]


@dataclass(eq=False)
class SourceStatus:
    """The state of a source's process. source: its name; tasks: all tasks of the process."""

    source: str
    tasks: Sequence[TaskStatus]
    wall_clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._since = datetime.fromtimestamp(self.wall_clock(), UTC)

    def report(self) -> SourceReport:
        """The process at this moment; `msgspec.json.encode` makes JSON of the report."""
        tasks = [task.report() for task in self.tasks]
        parts = [part for task in self.tasks for part in task.parts()]
        parts.sort(key=lambda part: (part.healthy, part.state == "running", part.part))
        return SourceReport(
            source=self.source,
            healthy=all(task.healthy for task in tasks) and all(part.healthy for part in parts),
            since=self._since,
            records=sum(task.records for task in self.tasks),
            tasks=tasks,
            partitions=sorted(number for task in self.tasks for number in list(task.partitions)),
            states=dict(Counter(part.state for part in parts)),
            parts=parts[:MOST_PARTS],
            last_write=max((task.last_write for task in self.tasks if task.last_write), default=None),
        )
