"""The readers of the database source on random schedules of transactions: nothing is missed, nothing is read twice.

Each step of the protocol is also left out in turn, and then the same schedules must find a fault.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from sources.database.changes import ChangedRows
from sources.database.horizon import Horizon, Look
from sources.database.incrementing import IncrementingRows
from tests.sources.transactions import Changed, Numbered, World, numbers_read, versions_read

SCHEDULES = 150
SEARCHED = 3_000
TIME_OF_CACHED = 2_000.0


@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_each_committed_number_is_read_once_and_those_of_a_writer_in_order(kind: str) -> None:
    for seed in range(SCHEDULES):
        committed, read, in_order = numbers_read(seed, kind)
        assert read == dict.fromkeys(committed, 1), (kind, seed)
        assert in_order


def test_numbers_that_sessions_draw_in_advance_are_read_once_with_the_gap_time() -> None:
    for seed in range(SCHEDULES // 4):
        committed, read, _ = numbers_read(seed, "cached", gap_seconds=TIME_OF_CACHED)
        assert read == dict.fromkeys(committed, 1), seed


def test_each_version_is_read_once_and_the_last_ones_are_among_them() -> None:
    for seed in range(SCHEDULES):
        last, read = versions_read(seed)
        assert set(read.values()) <= {1}, seed
        assert last <= set(read), seed


class NoGaps(IncrementingRows):
    """Goes on behind the highest number, as other connectors do."""

    def _step_to(self, number: int) -> None:
        self._seen = number


class LooksAfterReading(IncrementingRows):
    """What was read before the look counts as read after it."""

    def _read_gaps(self, records: list[Any]) -> bool:
        more = super()._read_gaps(records)
        self._horizon.advance(lambda: self._seen)
        if not more and self._horizon.settled is not None:
            self._gaps.forget(self._horizon.settled)
        return more


class NeverLooks(IncrementingRows):
    """A gap that is still empty when it is read for the first time is given up."""

    def open(self, position: Any) -> None:
        super().open(position)
        self._horizon = Horizon(lambda: Look(frozenset()), 0, lambda: 0)


class LooksFirst(Horizon[Any]):
    """The candidate is taken after the look: a transaction that begins in between is not waited for."""

    def advance(self, candidate: Callable[[], Any]) -> None:
        if self._next is not None:
            super().advance(candidate)
            return
        look = self._look()
        found = candidate()
        if look is None or found is None:
            return
        self._next, self.waiting_for = found, set(look.alive)
        if not self.waiting_for:
            self.settled, self._next = found, None


class HighestAfterLook(IncrementingRows):
    """As LooksFirst says."""

    def __init__(self, table: Any, **options: Any) -> None:
        super().__init__(table, **options)
        self._horizon = LooksFirst(table.look, 0, options["clock"])


class SkipsGapsThatDoNotFit(IncrementingRows):
    """Forgets gaps above the bound."""

    def _step_to(self, number: int) -> None:
        super()._step_to(number)
        del self._gaps.ranges[: -(self._max_gaps - 1)]


class NoHeirs(Numbered):
    """A transaction that has got another name counts as ended."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.look = lambda: Look(world.look().alive)


class NoStatements(Numbered):
    """Looks at transactions alone, not at statements that run."""

    def __init__(self, world: World) -> None:
        super().__init__(world)

        def look() -> Look:
            found = world.look()
            return Look({name for name in found.alive if not name.startswith("statement")}, found.heirs)

        self.look = look


@pytest.mark.parametrize(
    ("kind", "reader", "table"),
    [
        ("postgres", NoGaps, Numbered),
        ("postgres", LooksAfterReading, Numbered),
        ("postgres", NeverLooks, Numbered),
        ("postgres", HighestAfterLook, Numbered),
        ("postgres", SkipsGapsThatDoNotFit, Numbered),
        ("postgres", IncrementingRows, NoHeirs),
        ("mariadb", IncrementingRows, NoHeirs),
        ("mariadb", IncrementingRows, NoStatements),
    ],
)
def test_a_reader_of_numbers_without_one_of_the_steps_misses_rows(kind: str, reader: Any, table: Any) -> None:
    assert any(set(read) < committed for committed, read, _ in _numbers(kind, reader, table))


def test_numbers_that_sessions_draw_in_advance_are_missed_without_the_gap_time() -> None:
    assert any(set(read) < committed for committed, read, _ in _numbers("cached", IncrementingRows, Numbered))


def test_a_reader_of_numbers_without_a_snapshot_reads_rows_of_one_writer_out_of_order() -> None:
    class NoSnapshot(Numbered):
        def snapshot(self) -> Any:
            return nullcontext()

    assert not all(found.in_order for found in _numbers("postgres", IncrementingRows, NoSnapshot))


def _numbers(kind: str, reader: Any, table: Any) -> Any:
    return (numbers_read(seed, kind, reader, table) for seed in range(SEARCHED))


class TimeAfterLook(ChangedRows):
    """As LooksFirst says."""

    def __init__(self, table: Any, **options: Any) -> None:
        super().__init__(table, **options)
        self._horizon = LooksFirst(table.look, 0, options["clock"])


class PassesAll(ChangedRows):
    """Goes on behind the last time, as other connectors do."""

    def _end_scan(self) -> None:
        if self._cursor is not None:
            self._passed = self._cursor
        super()._end_scan()


class LooksInTheMiddle(ChangedRows):
    """What is settled in the middle of a scan counts for rows that were read before."""

    def _end_scan(self) -> None:
        self._horizon.advance(self._table.clock)
        self._settled = self._horizon.settled
        super()._end_scan()


class ComparesTimesAlone(ChangedRows):
    """Two versions with one time count as one."""

    def _is_new(self, row: Any) -> bool:
        known = self._sent.get(row.place.key)
        is_new = super()._is_new(row)
        return is_new and not (known and known[0] == row.place.time)


class NoClockDifference(Changed):
    """Takes no account of times that were taken early."""

    def clock(self) -> int:
        self._world.between()
        return self._world.ticks


@pytest.mark.parametrize(
    ("reader", "table"),
    [
        (TimeAfterLook, Changed),
        (PassesAll, Changed),
        (LooksInTheMiddle, Changed),
        (ComparesTimesAlone, Changed),
        (ChangedRows, NoClockDifference),
    ],
)
def test_a_reader_of_times_without_one_of_the_steps_misses_versions(reader: Any, table: Any) -> None:
    assert any(not last <= set(read) for last, read in (versions_read(seed, reader, table) for seed in range(SEARCHED)))


def test_a_reader_of_times_that_does_not_keep_what_it_has_sent_sends_it_twice() -> None:
    class Forgets(ChangedRows):
        def _position(self) -> dict[str, Any]:
            return {**super()._position(), "sent": []}

    assert any(max(versions_read(seed, Forgets)[1].values(), default=0) > 1 for seed in range(SEARCHED))
