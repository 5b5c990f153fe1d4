"""What the processes of the sources of settings.SOURCES last told the database."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

import msgspec

from pipeline.away import reading_database
from pipeline.heartbeats import read_now, state_of
from sources.config import SourceConfig
from sources.models import SourceProcess
from sources.reports import PartReport, SourceReport
from worker.reports import RecentError

ProcessState = Literal["running", "stopped", "silent"]
SourceState = Literal["running", "backing off", "failed", "stopped", "silent", "never heard"]


@dataclass(frozen=True)
class HeardProcess:
    """A process of a source. state: "silent" when it neither beats any more nor said that it stops."""

    host: str
    pid: int
    version: str
    started: datetime
    heard_at: datetime
    state: ProcessState
    records_per_second: float
    report: SourceReport

    @property
    def condition(self) -> SourceState:
        """Its state, and while it is running the most urgent of those of its tasks and parts."""
        if self.state != "running":
            return self.state
        return _worst({task.state for task in self.report.tasks} | self.report.states.keys())


@dataclass(frozen=True)
class HeardSource:
    """A source of the settings, with its processes that live or fell silent; without any, those that stopped."""

    config: SourceConfig
    processes: list[HeardProcess]

    @cached_property
    def living(self) -> list[HeardProcess]:
        """The processes that beat."""
        return [process for process in self.processes if process.state == "running"]

    @property
    def state(self) -> SourceState:
        """The most urgent thing about it."""
        if not self.processes:
            return "never heard"
        if not self.living:
            return _worst({process.state for process in self.processes})
        return _worst({process.condition for process in self.living})

    @property
    def parts(self) -> list[tuple[str, PartReport]]:
        """The parts that living processes report, each with its host; those that do not work come first."""
        found = [(process.host, part) for process in self.living for part in process.report.parts]
        return sorted(found, key=lambda one: (one[1].healthy, one[1].state == "running", one[1].part, one[0]))

    @property
    def part_count(self) -> int:
        """How many parts living processes read, also those that their reports leave out."""
        return sum(sum(process.report.states.values()) for process in self.living)

    @property
    def records_per_second(self) -> float:
        """Of all living processes."""
        return sum(process.records_per_second for process in self.living)

    @property
    def last_write(self) -> datetime | None:
        """When one of its processes last committed records."""
        moments = [process.report.last_write for process in self.processes if process.report.last_write]
        return max(moments, default=None)

    @property
    def heard_at(self) -> datetime | None:
        """When it was heard last."""
        return max((process.heard_at for process in self.processes), default=None)

    @property
    def errors(self) -> list[RecentError]:
        """The latest errors of its processes, the newest first."""
        found = [error for process in self.processes for task in process.report.tasks for error in task.errors]
        return sorted(found, key=lambda error: error.moment, reverse=True)


def read_sources(configs: Iterable[SourceConfig]) -> list[HeardSource]:
    """Each source of `configs`, in their order. Raises ServerError when the database does not answer."""
    configs, now = list(configs), read_now()
    with reading_database():
        rows = list(SourceProcess.objects.filter(source__in=[one.name for one in configs]).order_by("host", "pid"))
    heard = []
    for config in configs:
        processes = [_process(row, config, now) for row in rows if row.source == config.name]
        heard.append(HeardSource(config, [one for one in processes if one.state != "stopped"] or processes))
    return heard


def _process(row: SourceProcess, config: SourceConfig, now: datetime) -> HeardProcess:
    state = state_of(row, config.heartbeat_seconds, now)
    try:
        report = msgspec.json.decode(row.report, type=SourceReport)
    except msgspec.DecodeError:  # written by another version, or cut off
        report = SourceReport(
            source=row.source, healthy=False, since=row.started, records=0, tasks=[], partitions=[], states={}, parts=[]
        )
    return HeardProcess(
        row.host, row.pid, row.version, row.started, row.heard_at, state, row.records_per_second, report
    )


def _worst(states: set[str]) -> SourceState:
    state: SourceState
    for state in ("failed", "backing off", "silent", "stopped"):
        if state in states:
            return state
    return "running"
