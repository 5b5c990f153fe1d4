"""What a stream's process says of itself at a moment: the JSON of /status and of its heartbeat."""

from datetime import datetime
from typing import Any

import msgspec

from kafka_client.structs import ready
from worker.reports import TaskReport


@ready
class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the process of a stream is doing.

    since: when the process began. records, dead_letters, late: how many records it has processed since, how many of
    them it could not use, and how many updates of windows came too late; last_record: when it processed the last one.
    restarts: how many times it began again at its last commit, after an error.
    """

    stream: str
    healthy: bool
    since: datetime
    records: int
    dead_letters: int
    late: int
    restarts: int
    tasks: list[TaskReport]
    last_record: datetime | None = None

    def unhealthy(self) -> dict[str, list[Any]]:
        """The tasks that do not work."""
        return {"tasks": [task for task in self.tasks if not task.healthy]}
