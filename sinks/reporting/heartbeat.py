"""What a sink's process tells the project's database, and what it asks there that operators want."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

import msgspec

from kafka_client.structs import ready
from sinks.control import Control, Restart
from sinks.models import ALL_PARTITIONS, SinkLag, SinkPause, SinkProcess, SinkRestart
from sinks.records import Partition
from sinks.reporting.reports import SinkReport
from worker.clock import database_now
from worker.process_row import ProcessHeartbeat

LAG_EVERY = timedelta(seconds=15)
"""Between two samples of the lag."""

LAG_KEPT = timedelta(hours=1)
"""How long samples of the lag are kept."""

RESTARTS_KEPT = timedelta(days=30)
"""How long restarts that were done are kept."""


@ready
class _Earlier(msgspec.Struct):
    """The part of an earlier process's report that is read, whatever version wrote the report."""

    last_write: datetime | None = None


class SinkHeartbeat(ProcessHeartbeat):
    """The thread that reports for a process of a sink.

    status: tells what the process is doing; control: is told what operators want; every_seconds: between two beats;
    now: the wall clock, aware.
    """

    rows = SinkProcess
    column = "sink"

    def __init__(
        self,
        sink: str,
        status: Callable[[], SinkReport],
        control: Control,
        *,
        every_seconds: float,
        now: Callable[[], datetime] = database_now,
    ) -> None:
        super().__init__(sink, every_seconds=every_seconds, now=now)
        self.status = status
        self.control = control
        self._sampled_at: datetime | None = None
        self._earlier_write: datetime | None = None

    def parts(self, *, stopped: bool) -> Iterable[tuple[str, Callable[[], None]]]:
        """Reports once, asks once, and samples the lag when that is due."""
        return (
            ("report", partial(self._report, stopped=stopped)),
            ("ask what is to be paused", self._ask_pauses),
            ("ask where to go back to", self._ask_restarts),
            ("sample the lag", self._sample_lag),
        )

    def _report(self, *, stopped: bool = False) -> None:
        now = self.now()
        report = self.status()
        if not self.has_reported:
            self._earlier_write = self._read_last_write()
        if report.last_write is None:
            report = msgspec.structs.replace(report, last_write=self._earlier_write)
        self.write(report, now=now, stopped=stopped)

    def _read_last_write(self) -> datetime | None:
        """When the sink's processes before this one stored last: they are forgotten one day."""
        writes = []
        for report in SinkProcess.objects.filter(sink=self.name).values_list("report", flat=True):
            with suppress(msgspec.DecodeError):  # of another version, or cut off
                writes.append(msgspec.json.decode(report, type=_Earlier).last_write)
        return max((write for write in writes if write), default=None)

    def _sample_lag(self) -> None:
        now = self.now()
        if self._sampled_at is not None and now - self._sampled_at < LAG_EVERY:
            return
        parts = [
            (part.topic, part.partition, part.end, done)
            for part in self.status().partitions
            if part.end is not None and (done := part.done) is not None
        ]
        SinkLag.objects.create(sink=self.name, sampled_at=now, parts=msgspec.json.encode(parts).decode())
        SinkLag.objects.filter(sink=self.name, sampled_at__lt=now - LAG_KEPT).delete()
        self.forget(now)
        SinkRestart.objects.filter(sink=self.name, done_at__lt=now - RESTARTS_KEPT).delete()
        self._sampled_at = now

    def _ask_pauses(self) -> None:
        pauses = list(SinkPause.objects.filter(sink=self.name))
        self.control.want_paused(
            (Partition(pause.topic, pause.partition) for pause in pauses),
            everything=any(pause.partition == ALL_PARTITIONS for pause in pauses),
        )

    def _ask_restarts(self) -> None:
        outcomes = self.control.outcomes()
        for number, error in outcomes.items():
            SinkRestart.objects.filter(pk=number).update(done_at=self.now(), error=error)
        self.control.forget(outcomes)
        own = {(part.topic, part.partition) for part in self.status().partitions}
        self.control.want_restarts(
            Restart(wish.pk, Partition(wish.topic, wish.partition), wish.offset)
            for wish in SinkRestart.objects.filter(sink=self.name, done_at=None).order_by("pk")
            if (wish.topic, wish.partition) in own
        )
