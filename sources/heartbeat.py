"""What a source's process tells the project's database."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial

from sources.models import SourceProcess
from sources.reports import SourceReport
from worker.clock import database_now
from worker.process_row import ProcessHeartbeat


class SourceHeartbeat(ProcessHeartbeat):
    """The thread that reports for a process of a source.

    status: tells what the process is doing; every_seconds: between two beats; now: the wall clock, aware.
    """

    rows = SourceProcess
    column = "source"

    def __init__(
        self,
        source: str,
        status: Callable[[], SourceReport],
        *,
        every_seconds: float,
        now: Callable[[], datetime] = database_now,
    ) -> None:
        super().__init__(source, every_seconds=every_seconds, now=now)
        self._status = status

    def parts(self, *, stopped: bool) -> Iterable[tuple[str, Callable[[], None]]]:
        """Reports once, and forgets processes that are gone."""
        return (("report", partial(self._report, stopped=stopped)), ("forget old processes", self._forget))

    def _report(self, *, stopped: bool) -> None:
        self.write(self._status(), now=self.now(), stopped=stopped)

    def _forget(self) -> None:
        self.forget(self.now())
