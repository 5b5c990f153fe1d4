"""What a source's process says of itself at a moment: the JSON of /status and of its heartbeat."""

from datetime import datetime
from typing import Any

import msgspec

from kafka_client.structs import ready
from worker.reports import State, TaskReport

MOST_PARTS = 200
"""A report shows so many parts; those that do not work come first."""

_POSITION_BYTES = 1000
"""A position that is longer is shown in short: a report is written to the database every few seconds."""


def in_short(position: dict[str, Any] | None) -> dict[str, Any] | None:
    """A position for people. In one that is long, lists and texts are told by their lengths."""
    if position is None or len(msgspec.json.encode(position)) <= _POSITION_BYTES:
        return position
    long = (list, dict, str)
    return {key: f"{len(value)} items" if isinstance(value, long) else value for key, value in position.items()}


class PartReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a task knows of one of its parts.

    partition: of the positions topic; healthy: False when the part has backed off for UNHEALTHY_SECONDS; reason,
    tries: why it backs off and how many times it failed. position: the last one committed, in short, None before the
    first. records, last_write: how many the task has committed since it owns the part, and when it last did.
    """

    part: str
    partition: int
    task: str
    state: State
    since: datetime
    healthy: bool
    reason: str
    tries: int
    position: dict[str, Any] | None = None
    records: int = 0
    last_write: datetime | None = None


@ready
class SourceReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of a source is doing.

    since: when the process began. records, last_write: how many records the process has committed since it began, and
    when it last did. partitions: those of the positions topic that it owns. states: how many of its parts are in each
    state; parts: MOST_PARTS of them at most.
    """

    source: str
    healthy: bool
    since: datetime
    records: int
    tasks: list[TaskReport]
    partitions: list[int]
    states: dict[State, int]
    parts: list[PartReport]
    last_write: datetime | None = None

    def unhealthy(self) -> dict[str, list[Any]]:
        """The tasks and parts that do not work."""
        return {
            "tasks": [task for task in self.tasks if not task.healthy],
            "parts": [part for part in self.parts if not part.healthy],
        }
