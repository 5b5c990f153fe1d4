"""What a source's process tells the project's database."""

import os
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

import msgspec
from django.conf import settings

from sources.models import SourceProcess
from sources.reports import SourceReport
from worker.clock import database_now
from worker.heartbeat import Heartbeat, Rate

FORGOTTEN_AFTER = timedelta(hours=1)
"""A process that has sent no heartbeat for this long is forgotten when another process of its source reports."""


class SourceHeartbeat(Heartbeat):
    """The thread that reports for a process of a source.

    status: tells what the process is doing; every_seconds: between two beats; now: the wall clock, aware.
    """

    def __init__(
        self,
        source: str,
        status: Callable[[], SourceReport],
        *,
        every_seconds: float,
        now: Callable[[], datetime] = database_now,
    ) -> None:
        super().__init__(source, every_seconds)
        self._source = source
        self._status = status
        self._now = now
        self._rate = Rate()

    def parts(self, *, stopped: bool) -> Iterable[tuple[str, Callable[[], None]]]:
        """Reports once, and forgets processes that are gone."""
        return (("report", partial(self._report, stopped=stopped)), ("forget old processes", self._forget))

    def _report(self, *, stopped: bool) -> None:
        now, report = self._now(), self._status()
        self._rate.note(now, report.records)
        SourceProcess.objects.update_or_create(
            source=self._source,
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

    def _forget(self) -> None:
        SourceProcess.objects.filter(source=self._source, heard_at__lt=self._now() - FORGOTTEN_AFTER).delete()
