"""What a process says of its tasks: a part of the JSON of /status, of its heartbeat and of the console."""

from datetime import datetime
from typing import Literal

import msgspec

State = Literal["opening", "running", "paused", "backing off", "failed"]


class RecentError(msgspec.Struct, frozen=True, kw_only=True):
    """An error of a step that had worked before. where: the task, or what of it, that it happened to."""

    moment: datetime
    where: str
    text: str


class TaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a task is doing: it runs, backs off while Kafka is away, or has failed.

    errors: its latest errors and those of what it works on, oldest first.
    """

    task: str
    state: State
    since: datetime
    healthy: bool
    reason: str
    tries: int
    errors: list[RecentError] = []
