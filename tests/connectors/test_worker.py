"""What a worker begins and ends, by the tables and its slots: without Kafka and threads."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from connectors.conf import ConnectorsSettings
from connectors.models import Worker
from connectors.running import worker as worker_module
from connectors.running.units import Unit
from connectors.running.wanted import Wanted
from connectors.running.worker import ConnectWorker, WorkerHeartbeat
from connectors.status import workers
from worker.clock import database_now


class FakeUnit(Unit):
    """Notes what is done to it; its thread never runs."""

    alive = True

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def end(self) -> None:
        self.told.append("end")

    def set_paused(self, paused: bool) -> None:
        self.told.append("pause" if paused else "resume")

    @property
    def is_alive(self) -> bool:
        return self.alive

    def work(self, config: Any) -> None: ...
    def prepare(self, config: Any) -> None: ...
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
