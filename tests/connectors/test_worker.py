"""What a worker begins and ends, by the tables and its slots: without Kafka and threads."""

from dataclasses import replace
from typing import Any

import pytest

from connectors.conf import ConnectorsSettings
from connectors.running.units import Unit
from connectors.running.wanted import Wanted
from connectors.running.worker import ConnectWorker


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
