"""Random schedules of several owners of one partition: crashes, zombies, lost answers. Each record is there once."""

import random

import pytest

from sources.owner import Owner
from tests.sources.memory import Ground, MemoryKafka, source
from tests.sources.numbers import NumbersTarget

PARTS = ("a", "b")
COUNT = 12


class ReadsPositionsFirst(Owner):
    """Reads the positions before it has fenced the earlier owners: wrong."""

    def _take_over(self) -> None:
        positions = self._work.read_positions(self.number)
        self._interrupted = getattr(self, "_interrupted", False)
        if not self._interrupted:  # others work between the two
            self._interrupted = True
            self._early = positions
            return
        self._interrupted = False
        work = self._work
        self._transactions = self._transactions or work.make_transactions(work.positions.transactional_id(self.number))
        self._transactions.take_over()
        self._positions, self.watch_from = self._early
        self._writer = "early"
        self._match_parts()


class KeepsPositions(Owner):
    """Goes on where it was after a transaction failed, without reading the positions again: wrong."""

    def _take_over(self) -> None:
        known = self._positions
        super()._take_over()
        if known:
            self._positions = known
            for part in self._parts.values():
                part.position = known.get(part.name)


def run(seed: int, owner_type: type[Owner] = Owner) -> list[str]:
    """What is wrong at the end of a random schedule, part by part."""
    choose = random.Random(seed)
    kafka = MemoryKafka(seed, faults=choose.choice((0.0, 0.05, 0.3)))
    target = NumbersTarget(topic="t", parts=PARTS, count=COUNT, chunk=choose.choice((1, 3)))
    config = source(target, options={"transaction_records": choose.choice((2, 7)), "retry_seconds": 1.0})
    ground = Ground(config, kafka=kafka, owner_type=owner_type)
    owners = [ground.owner(PARTS)]
    for _ in range(60):
        match choose.randrange(10):
            case 0 if len(owners) < 3:
                owners.append(ground.owner(PARTS))  # the others are zombies from now on
            case 1 if len(owners) > 1:
                owners.pop(choose.randrange(len(owners)))  # killed
            case 2 if len(owners) > 1:
                owners.pop(choose.randrange(len(owners))).close()  # revoked
            case _:
                ground.step(choose.choice(owners), after=choose.choice((0.0, 0.1, 4.0)))
    last = ground.owner(PARTS)
    is_done_for = 0
    for step in range(500):
        if step == 400:  # with many faults and small transactions, it may be far from the end
            kafka.faults = 0.0
        is_done_for = is_done_for + 1 if len(kafka.values("t")) >= len(PARTS) * COUNT else 0
        if is_done_for > 10:  # what comes too often comes by now
            break
        ground.step(last, after=4.0)
        for zombie in owners:
            if choose.random() < 0.05:
                ground.step(zombie)
    values = kafka.values("t")
    found = {part: [value for value in values if value.startswith(part)] for part in PARTS}
    return [part for part in PARTS if found[part] != [f"{part} {number}" for number in range(COUNT)]]


def test_each_record_is_committed_once_and_in_order() -> None:
    assert [seed for seed in range(150) if run(seed)] == []


@pytest.mark.slow
def test_each_record_is_committed_once_and_in_order_in_many_schedules() -> None:
    assert [seed for seed in range(150, 600) if run(seed)] == []


@pytest.mark.parametrize("wrong", [ReadsPositionsFirst, KeepsPositions])
def test_the_schedules_find_a_step_that_is_left_out(wrong: type[Owner]) -> None:
    assert any(run(seed, wrong) for seed in range(150))
