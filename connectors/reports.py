"""What a worker says of its tasks at a moment: the JSON of its row."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from kafka_client.structs import ready

State = Literal["RUNNING", "PAUSED", "FAILED", "RESTARTING", "UNASSIGNED"]
"""Kafka Connect's words."""


class PartReport(msgspec.Struct, frozen=True, kw_only=True):
    """How far a task is with a partition of a topic, or with a part of a source.

    partition, offset: in Kafka Connect's shapes; lag: records behind, None where it is not known.
    """

    partition: dict[str, Any]
    offset: dict[str, Any] | None
    lag: int | None = None


class TaskStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A task on a worker. id, generation, restarts: those of the tables that it has begun with; trace: why it failed;
    reason: what it waits for, such as a server that is away; healthy: False when it has failed or waits for longer than
    a moment; topics: those that it moves records of.
    """

    id: int
    connector: str
    task: int
    generation: int
    restarts: int
    state: State
    since: datetime
    trace: str = ""
    reason: str = ""
    healthy: bool = True
    records: int = 0
    topics: list[str] = []
    parts: list[PartReport] = []


@ready
class WorkerReport(msgspec.Struct, frozen=True, kw_only=True):
    """A worker and its tasks. slots: the partitions of the assignment topic that Kafka has given to it."""

    worker_id: str
    version: str
    started: datetime
    slots: list[int]
    tasks: list[TaskStatus]

    @property
    def healthy(self) -> bool:
        """Whether all its tasks work."""
        return all(task.healthy for task in self.tasks)

    def unhealthy(self) -> dict[str, list[Any]]:
        """The tasks that do not work."""
        return {"tasks": [task for task in self.tasks if not task.healthy]}
