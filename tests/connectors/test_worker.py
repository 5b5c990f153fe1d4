"""What a worker begins and ends, by the tables and its slots: without Kafka and threads."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError

from connectors.conf import ConnectorsSettings
from connectors.management.commands import run_connectors
from connectors.models import Worker
from connectors.running import worker as worker_module
from connectors.running.assignment import Assignment
from connectors.running.metrics import StateCollector
from connectors.running.units import SourceUnit, Unit
from connectors.running.wanted import Wanted
from connectors.running.worker import ConnectWorker, WorkerHeartbeat
from connectors.status import workers
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.reports import SinkReport
from sources.metrics import SourceMetrics
from sources.reports import SourceReport
from worker.clock import database_now
from worker.metrics import Metrics


class FakeUnit(Unit):
    """Notes what is done to it; its thread never runs."""

    alive = True

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def end(self) -> None:
        super().end()
        self.told.append("end")

    def set_paused(self, paused: bool) -> None:
        self.told.append("pause" if paused else "resume")

    @property
    def is_alive(self) -> bool:
        return self.alive

    def work(self, config: Any) -> None: ...
    def prepare(self, config: Any) -> None: ...
    def report(self) -> SinkReport | SourceReport | None:
        return None

    def progress(self) -> dict[str, Any]:
        return {}


class Bench:
    """A worker with its slots, and the units that it has made."""

    def __init__(self) -> None:
        self.slots = frozenset({0, 1})
        self.units: list[FakeUnit] = []
        self.worker = ConnectWorker(ConnectorsSettings(), lambda: self.slots, make=self._make)

    def _make(self, wanted: Wanted) -> Unit:
        self.units.append(FakeUnit(wanted))
        return self.units[-1]

    def want(self, *wanted: Wanted) -> list[list[str]]:
        self.worker.wanted = list(wanted)
        self.worker.step()
        return [unit.told for unit in self.units]


ONE = Wanted(
    id=1, connector="one", type="sink", number=0, slot=0, generation=1, restarts=0, paused=False, config={}
)  # fmt: skip


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_task_of_an_own_slot_begins_once(bench: Bench) -> None:
    assert bench.want(ONE) == [["start"]]
    assert bench.want(ONE) == [["start"]]


def test_a_task_of_another_slot_does_not_begin(bench: Bench) -> None:
    assert bench.want(replace(ONE, slot=7)) == []


def test_a_task_ends_with_its_slot_and_with_its_row(bench: Bench) -> None:
    bench.want(ONE, replace(ONE, id=2, number=1, slot=1))
    bench.slots = frozenset({0})
    assert bench.want(ONE, replace(ONE, id=2, number=1, slot=1)) == [["start"], ["start", "end"]]
    assert bench.want() == [["start", "end"], ["start", "end"]]


@pytest.mark.parametrize("change", [{"generation": 2}, {"restarts": 1}, {"id": 9}])
def test_a_changed_restarted_or_new_task_begins_when_the_old_one_has_ended(
    bench: Bench, change: dict[str, int]
) -> None:
    bench.want(ONE)
    changed = replace(ONE, **change)  # type: ignore[arg-type]
    assert bench.want(changed) == [["start", "end"]]
    bench.units[0].alive = False
    assert bench.want(changed) == [["start", "end"], ["start"]]


def test_a_paused_task_is_told_once(bench: Bench) -> None:
    bench.want(ONE)
    paused = replace(ONE, paused=True)
    bench.want(paused)
    assert bench.want(paused) == [["start", "pause"]]
    assert [task.state for task in bench.worker.report().tasks] == ["PAUSED"]
    assert bench.want(ONE) == [["start", "pause", "resume"]]


def test_a_worker_that_stops_ends_all_and_waits_for_them(bench: Bench) -> None:
    bench.want(ONE)
    bench.worker.stop()
    assert not bench.worker.has_ended
    bench.units[0].alive = False
    assert bench.worker.has_ended


def test_a_task_that_stores_what_it_has_read_is_told_of_until_it_has_ended(bench: Bench) -> None:
    bench.want(ONE)
    bench.want()
    (task,) = bench.worker.report().tasks
    assert (task.connector, task.reason) == ("one", "it stores what it has read, and ends")
    bench.units[0].alive = False
    assert bench.worker.report().tasks == []


def test_a_paused_source_that_is_told_to_end_while_it_looks_ends() -> None:
    unit = SourceUnit(replace(ONE, type="source", paused=True))

    class EndsMeanwhile(threading.Event):
        def clear(self) -> None:
            unit.end()
            super().clear()

    unit._changed = EndsMeanwhile()
    thread = threading.Thread(target=unit.work, args=[None], daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


def sink_report(healthy: bool, buffered: int) -> SinkReport:
    return SinkReport(
        sink="one",
        healthy=healthy,
        since=datetime.now(UTC),
        buffered_bytes=buffered,
        records=0,
        tasks=[],
        partitions=[],
    )


def source_report(healthy: bool, running: int) -> SourceReport:
    return SourceReport(
        source="two", healthy=healthy, since=datetime.now(UTC), records=0, tasks=[], partitions=[running],
        states={"running": running}, parts=[],
    )  # fmt: skip


def test_the_tasks_of_a_connector_have_one_series_of_each_metric(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    two = [replace(ONE, id=2, connector="two", slot=1), replace(ONE, id=3, connector="two", number=1, slot=1)]
    bench.want(ONE, replace(ONE, id=4, number=1, slot=1), *two)
    reports = [sink_report(True, 10), sink_report(False, 5), source_report(True, 3), source_report(True, 4)]
    for unit, report in zip(bench.units, reports, strict=True):
        monkeypatch.setattr(unit, "report", lambda report=report: report)
    metrics = Metrics()
    for _ in range(2):  # each task counts, and they share the counters
        SinkMetrics("one", metrics).records(Partition("t", 0), 2)
        SourceMetrics("two", metrics).committed(0.1)
    metrics.registry.register(StateCollector(bench.worker))
    value = metrics.registry.get_sample_value
    assert value("sink_records_total", {"sink": "one", "topic": "t", "partition": "0"}) == 4
    assert value("source_transactions_total", {"source": "two"}) == 2
    assert (value("sink_healthy", {"sink": "one"}), value("sink_buffered_bytes", {"sink": "one"})) == (0, 15)
    assert (value("source_healthy", {"source": "two"}), value("source_partitions", {"source": "two"})) == (1, 2)
    assert value("source_parts", {"source": "two", "state": "running"}) == 7
    assert value("connector_tasks", {"connector": "one", "state": "RUNNING"}) == 2
    assert value("connector_tasks", {"connector": "one", "state": "FAILED"}) == 0
    assert value("connector_worker_slots") == 2
    samples = [
        (one.name, *sorted(one.labels.items())) for family in metrics.registry.collect() for one in family.samples
    ]
    assert len(samples) == len(set(samples))


def test_a_worker_that_lost_its_member_of_the_group_by_an_error_ends_with_1(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoHeartbeat:
        def __init__(self, *_: object) -> None: ...
        def start(self, *, wait_seconds: float) -> None: ...
        def stop(self, *, wait_seconds: float) -> None: ...

    monkeypatch.setattr(run_connectors, "WorkerHeartbeat", NoHeartbeat)
    assignment = Assignment(ConnectorsSettings(), client="test")
    assignment._thread = threading.Thread(target=lambda: None)
    assert run_connectors.run(bench.worker, assignment, ConnectorsSettings(), threading.Event()) == 1


@pytest.mark.django_db
def test_while_the_database_is_away_a_worker_goes_on_with_what_it_knows(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.want(ONE)

    def away() -> list[Wanted]:
        raise OperationalError("the database is away")

    monkeypatch.setattr(worker_module, "read_tables", away)
    WorkerHeartbeat(bench.worker, 1.0).beat()
    bench.worker.step()
    assert bench.units[0].told == ["start"]


@pytest.mark.django_db
def test_a_worker_reports_and_says_goodbye(bench: Bench) -> None:
    heartbeat = WorkerHeartbeat(bench.worker, 1.0)
    heartbeat.beat()
    assert [worker.worker_id for worker in workers()] == [bench.worker.worker_id]
    heartbeat.beat(stopped=True)
    assert workers() == []


@pytest.mark.django_db
def test_a_worker_that_is_not_heard_of_counts_as_gone(bench: Bench) -> None:
    WorkerHeartbeat(bench.worker, 1.0).beat()
    Worker.objects.update(heard_at=database_now() - timedelta(seconds=11))
    assert workers() == []
