"""What the running sinks last told the database, and what operators want of them, for each configured sink."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal

import msgspec

from pipeline.away import reading_database
from pipeline.kafka_offsets import Partition
from sinks.config import SinkConfig
from sinks.models import ALL_PARTITIONS, SinkLag, SinkPause, SinkProcess, SinkRestart
from sinks.reporting.heartbeat import LAG_EVERY
from sinks.reporting.reports import PartitionReport, SinkReport
from worker.clock import database_now
from worker.process_row import ProcessRow
from worker.reports import RecentError, TaskReport

SILENT_BEATS = 3
LEAST_SILENCE = timedelta(seconds=10)

_ROUND = 2 * LAG_EVERY

_MISSED_SAMPLES = 3

_GAP = _MISSED_SAMPLES * LAG_EVERY

ProcessState = Literal["running", "stopped", "silent", "taken over"]
SinkState = Literal["running", "paused", "backing off", "failed", "stopped", "silent", "never heard"]

_Parts = msgspec.json.Decoder(list[tuple[str, int, int, int]])


def _condition(states: Collection[str], partitions: Collection[PartitionReport]) -> SinkState:
    """What is most urgent about something that runs, by the states of its parts."""
    state: SinkState
    for state in ("failed", "backing off"):
        if state in states:
            return state
    return "paused" if partitions and all(part.held for part in partitions) else "running"


@dataclass(frozen=True)
class HeardProcess:
    """A process of a sink.

    state: "silent" when it neither beats any more nor said goodbye, "taken over" when others have its partitions since.
    """

    host: str
    pid: int
    version: str
    started: datetime
    heard_at: datetime
    state: ProcessState
    records_per_second: float
    report: SinkReport

    @property
    def condition(self) -> ProcessState | SinkState:
        """Its state, and while it is running the most urgent of those of its tasks and partitions."""
        if self.state != "running":
            return self.state
        return _condition({part.state for part in _parts(self.report)}, self.report.partitions)


@dataclass(frozen=True)
class HeardSink:
    """A configured sink with its processes, pauses and the latest wishes to go back, newest first.

    processes: the living ones; the one that was heard last, when none lives; and those that fell silent; last_write:
    when any process that is remembered stored last.
    """

    config: SinkConfig
    processes: list[HeardProcess]
    pauses: Mapping[Partition | None, SinkPause] = field(default_factory=dict)
    restarts: list[SinkRestart] = field(default_factory=list)
    last_write: datetime | None = None

    @cached_property
    def living(self) -> list[HeardProcess]:
        """The processes that beat."""
        return [process for process in self.processes if process.state == "running"]

    @cached_property
    def partitions(self) -> dict[Partition, PartitionReport]:
        """What the living processes say of each partition that they own."""
        return {(p.topic, p.partition): p for process in self.living for p in process.report.partitions}

    @cached_property
    def state(self) -> SinkState:
        """The most urgent thing about it."""
        if not self.processes:
            return "never heard"
        if not self.living:
            return "silent" if any(process.state == "silent" for process in self.processes) else "stopped"
        return _condition({process.condition for process in self.living}, self.partitions.values())

    @property
    def heard_at(self) -> datetime | None:
        """When it was heard last."""
        return max((process.heard_at for process in self.processes), default=None)

    @property
    def records_per_second(self) -> float:
        """Of all living processes."""
        return sum(process.records_per_second for process in self.living)

    @property
    def tasks(self) -> int:
        """Consumer threads of all living processes."""
        return sum(len(process.report.tasks) for process in self.living)

    @property
    def troubles(self) -> int:
        """How many tasks and partitions fail or back off now."""
        parts = [part for process in self.living for part in _parts(process.report)]
        return sum(part.state in ("failed", "backing off") for part in parts)

    @property
    def errors(self) -> list[RecentError]:
        """The latest errors of its processes, the newest first."""
        found = [e for process in self.processes for task in process.report.tasks for e in task.errors]
        return sorted(found, key=lambda error: error.moment, reverse=True)

    def wants_pause(self, partition: Partition) -> bool:
        """Whether operators want a partition to be paused."""
        return None in self.pauses or partition in self.pauses

    @property
    def pending(self) -> list[Partition]:
        """Partitions whose owner has not done yet what operators want."""
        return [place for place, part in self.partitions.items() if part.held != self.wants_pause(place)]

    @property
    def held(self) -> int:
        """How many partitions their owners have paused for an operator."""
        return sum(part.held for part in self.partitions.values())

    @property
    def awaits_pause(self) -> bool:
        """Whether operators want a pause that no owner has carried out yet."""
        unowned = self.pauses.keys() - self.partitions.keys() - ({None} if self.partitions else set())
        return bool(unowned) or any(self.wants_pause(place) for place in self.pending)


@dataclass(frozen=True)
class Delay:
    """How long a sink is behind. bound: "≤" or "≥" where the samples do not tell exactly."""

    seconds: float
    bound: Literal["", "≤", "≥"] = ""


class LagHistory:
    """The lag of a sink over time. samples: (moment, [(topic, partition, end, stored), …]), oldest first."""

    def __init__(self, samples: Iterable[tuple[datetime, list[tuple[str, int, int, int]]]]) -> None:
        self._totals: list[tuple[datetime, int]] = []
        self._parts: dict[Partition, list[tuple[datetime, int, int]]] = defaultdict(list)
        latest: dict[Partition, int] = {}
        for moment, parts in samples:
            for topic, number, end, stored in parts:
                self._parts[topic, number].append((moment, end, stored))
                latest[topic, number] = max(0, end - stored)
            if parts:  # without one, as before the first commit or while Kafka is away, the lag is not 0, but unknown
                self._totals.append((moment, sum(latest.values())))

    def total(self) -> list[tuple[datetime, int]]:
        """The lag of all partitions at each moment."""
        return self._totals

    def of(self, partition: Partition) -> list[tuple[datetime, int]]:
        """The lag of a partition at each moment."""
        return [(moment, max(0, end - stored)) for moment, end, stored in self._parts.get(partition, ())]


def delays(
    newest_first: Iterable[tuple[datetime, str]], done: Mapping[Partition, int], now: datetime
) -> dict[Partition, Delay]:
    """How long the first record at or after each offset of `done` has been in Kafka, by samples of SinkLag.

    Looks no further back than it needs to; a partition without samples is left out.
    """
    since: dict[Partition, datetime] = {}
    found: dict[Partition, Delay] = {}
    left = dict(done)
    for moment, parts in newest_first:
        for topic, number, end, _ in _decode_parts(parts):
            place = topic, number
            if place not in left:
                continue
            if end > left[place]:
                since[place] = moment
                continue
            del left[place]
            found[place] = _delay(moment, since.get(place), now)
        if not left:
            break
    return found | {place: Delay((now - since[place]).total_seconds(), "≥") for place in left if place in since}


def _delay(before: datetime, after: datetime | None, now: datetime) -> Delay:
    """Of a record that came between two samples, or after the newest one: within a gap it may have come at any time."""
    if after is None or after - before > _GAP:
        return Delay((now - before).total_seconds(), "≤")
    return Delay((now - after).total_seconds())


def read_delays(sink: str, done: Mapping[Partition, int], now: datetime) -> dict[Partition, Delay]:
    """How long each of these partitions of a sink is behind. Raises ServerError when the database does not answer."""
    rows = SinkLag.objects.filter(sink=sink).order_by("-sampled_at").values_list("sampled_at", "parts")
    with reading_database():
        return delays(rows.iterator(chunk_size=8), done, now) if done else {}


def read_longest_delay(sink: str, done: Mapping[Partition, int], now: datetime) -> Delay | None:
    """The longest of `read_delays`, from a few samples: None when nothing is behind, or there are none.

    Ends only grow, so where the first record beyond `done` came is found by halving. A sample has the partitions of one
    process; all processes together have given theirs within _ROUND. Raises ServerError when the database is away.
    """
    if not done:
        return None
    rows = SinkLag.objects.filter(sink=sink).order_by("sampled_at")

    def moments_behind(begin: datetime, until: datetime) -> list[datetime]:
        parts_of = rows.filter(sampled_at__gte=begin, sampled_at__lte=until).values_list("sampled_at", "parts")
        return [
            moment
            for moment, parts in parts_of
            if any(end > done.get((topic, number), end) for topic, number, end, _ in _decode_parts(parts))
        ]

    with reading_database():
        samples = list(rows.values_list("sampled_at", flat=True))
        if not samples:
            return None
        first = bisect_left(samples, True, key=lambda moment: bool(moments_behind(moment, moment + _ROUND)))
        found = moments_behind(samples[first], samples[first] + _ROUND) if first < len(samples) else []
    if not found:
        return _delay(samples[-1], None, now)
    number = samples.index(found[0])
    return _delay(samples[number - 1], found[0], now) if number else Delay((now - found[0]).total_seconds(), "≥")


def sample_gap(config: SinkConfig) -> timedelta:
    """What lies between two samples of a partition when some are missing."""
    return _MISSED_SAMPLES * max(LAG_EVERY, timedelta(seconds=config.heartbeat_seconds))


def read_now() -> datetime:
    """The time by the database's clock. Raises ServerError when the database does not answer."""
    with reading_database():
        return database_now()


def read_heartbeats(configs: Iterable[SinkConfig], *, now: datetime | None = None) -> list[HeardSink]:
    """Each sink of `configs` in their order. Raises ServerError when the database does not answer."""
    configs = list(configs)
    now = now or read_now()
    names = [config.name for config in configs]
    with reading_database():
        rows = list(SinkProcess.objects.filter(sink__in=names).order_by("host", "pid"))
        pauses = list(SinkPause.objects.filter(sink__in=names))
        restarts = list(SinkRestart.objects.filter(sink__in=names).order_by("-pk")[:50])
    heard = []
    for config in configs:
        processes = [_process(row, config, now) for row in rows if row.sink == config.name]
        own = {
            None if pause.partition == ALL_PARTITIONS else (pause.topic, pause.partition): pause
            for pause in pauses
            if pause.sink == config.name
        }
        wishes = [restart for restart in restarts if restart.sink == config.name]
        last_write = max((one.report.last_write for one in processes if one.report.last_write), default=None)
        heard.append(HeardSink(config, _shown(processes), own, wishes, last_write))
    return heard


def read_lag_history(sink: str) -> LagHistory:
    """The lag of a sink for as long as it is kept. Raises ServerError when the database does not answer."""
    with reading_database():
        rows = list(SinkLag.objects.filter(sink=sink).order_by("sampled_at").values_list("sampled_at", "parts"))
    return LagHistory((moment, _decode_parts(parts)) for moment, parts in rows)


def _decode_parts(parts: str) -> list[tuple[str, int, int, int]]:
    """Those of a sample; of one that was written by another version, or cut off, none."""
    try:
        return _Parts.decode(parts)
    except msgspec.DecodeError:
        return []


def _parts(report: SinkReport) -> list[TaskReport | PartitionReport]:
    return [*report.tasks, *report.partitions]


def state_of(row: ProcessRow, beat_seconds: float, now: datetime) -> Literal["running", "stopped", "silent"]:
    """What the last heartbeat of a process tells. beat_seconds: between two of them."""
    if row.stopped:
        return "stopped"
    silence = max(LEAST_SILENCE, SILENT_BEATS * timedelta(seconds=beat_seconds))
    return "silent" if now - row.heard_at > silence else "running"


def _process(row: SinkProcess, config: SinkConfig, now: datetime) -> HeardProcess:
    state = state_of(row, config.heartbeat_seconds, now)
    try:
        report = msgspec.json.decode(row.report, type=SinkReport)
    except msgspec.DecodeError:  # written by another version, or cut off
        report = SinkReport(
            sink=row.sink, healthy=False, since=row.started, buffered_bytes=0, records=0, tasks=[], partitions=[]
        )
    return HeardProcess(
        row.host, row.pid, row.version, row.started, row.heard_at, state, row.records_per_second, report
    )


def _shown(processes: list[HeardProcess]) -> list[HeardProcess]:
    living = [process for process in processes if process.state == "running"]
    if living:
        return [_seen_after(process, living) for process in processes if process.state != "stopped"]
    last = max((process.heard_at for process in processes), default=None)
    return [process for process in processes if process.state == "silent" or process.heard_at == last]


def _seen_after(process: HeardProcess, living: list[HeardProcess]) -> HeardProcess:
    """A silent process as it is seen once living ones do its work; one without partitions is replaced by a new one."""
    if process.state != "silent":
        return process
    own, others = _places([process]), _places(living)
    is_replaced = own <= others if own else any(other.started > process.heard_at for other in living)
    return replace(process, state="taken over") if is_replaced else process


def _places(processes: Iterable[HeardProcess]) -> set[Partition]:
    return {(part.topic, part.partition) for process in processes for part in process.report.partitions}
