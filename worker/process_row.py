"""The row that a process of a sink, source or stream has in the project's database, and its heartbeat."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar, Protocol

import msgspec
from django.conf import settings
from django.db import models

from worker.clock import database_now
from worker.heartbeat import Heartbeat

FORGOTTEN_AFTER = timedelta(hours=1)
"""A process that has sent no heartbeat for this long is forgotten when another one of the same name reports."""

_RATE_BEATS = 4


class ProcessRow(models.Model):
    """The last heartbeat of a process. report: what it said of itself, as JSON; stopped: it said goodbye."""

    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started = models.DateTimeField()
    version = models.CharField(max_length=50)
    heard_at = models.DateTimeField()
    stopped = models.BooleanField(default=False)
    records_per_second = models.FloatField(default=0)
    report = models.TextField()

    class Meta:
        abstract = True
        default_permissions = ()


class Report(Protocol):
    """What a process says of itself; a msgspec.Struct."""

    @property
    def since(self) -> datetime:
        """When the process began."""

    @property
    def records(self) -> int:
        """How many it has done since."""


class ProcessHeartbeat(Heartbeat):
    """The thread that reports for a process.

    rows: the table; column: the one with the name of the sink or source; now: the wall clock, aware.
    """

    rows: ClassVar[type[ProcessRow]]
    column: ClassVar[str]

    def __init__(self, name: str, *, every_seconds: float, now: Callable[[], datetime] = database_now) -> None:
        super().__init__(name, every_seconds)
        self.name = name
        self.now = now
        self.has_reported = False
        self._rate = _Rate()

    @property
    def _named(self) -> dict[str, Any]:
        return {self.column: self.name}

    def write(self, report: Report, *, now: datetime, stopped: bool) -> None:
        """Writes the process's row. Raises django.db.Error."""
        self._rate.note(now, report.records)
        self.has_reported = True
        self.rows._default_manager.update_or_create(
            **self._named,
            host=self.host,
            pid=os.getpid(),
            defaults={
                "started": report.since,
                "version": settings.VERSION,
                "heard_at": now,
                "stopped": stopped,
                "records_per_second": 0.0 if stopped else self._rate.per_second(),
                "report": msgspec.json.encode(report).decode(),
            },
        )

    def forget(self, now: datetime) -> None:
        """Removes the rows of processes that are gone. Raises django.db.Error."""
        self.rows._default_manager.filter(**self._named, heard_at__lt=now - FORGOTTEN_AFTER).delete()


class ReportHeartbeat(ProcessHeartbeat):
    """The heartbeat of a process that has nothing else to do in the database.

    status: tells what the process is doing; every_seconds: between two beats; now: the wall clock, aware.
    """

    def __init__(
        self,
        name: str,
        status: Callable[[], Report],
        *,
        every_seconds: float,
        now: Callable[[], datetime] = database_now,
    ) -> None:
        super().__init__(name, every_seconds=every_seconds, now=now)
        self._status = status

    def parts(self, *, stopped: bool) -> Iterable[tuple[str, Callable[[], None]]]:
        """Reports once, and forgets processes that are gone."""
        return (("report", partial(self._report, stopped=stopped)), ("forget old processes", self._forget))

    def _report(self, *, stopped: bool) -> None:
        self.write(self._status(), now=self.now(), stopped=stopped)

    def _forget(self) -> None:
        self.forget(self.now())


class _Rate:
    """How many records a second a process has done between its latest beats."""

    def __init__(self) -> None:
        self._counts: deque[tuple[datetime, int]] = deque(maxlen=_RATE_BEATS)

    def note(self, now: datetime, records: int) -> None:
        """So many records were done by now, since the process began."""
        self._counts.append((now, records))

    def per_second(self) -> float:
        """The rate; 0 until there were two beats."""
        (begin, before), (end, after) = self._counts[0], self._counts[-1]
        seconds = (end - begin).total_seconds()
        return (after - before) / seconds if seconds > 0 else 0.0
