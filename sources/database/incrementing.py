"""Reads a table by a growing number. No committed row is missed, and none is read twice. No Django here."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import msgspec

from kafka_client.log import repeating_logger
from kafka_client.producer import Record
from kafka_client.structs import ready
from sources.database.gaps import LOWEST, Gaps
from sources.database.horizon import Horizon
from sources.database.rows import NumberedTable
from sources.reader import Chunk, Position

logger = repeating_logger(__name__)


@ready
class NumberPosition(msgspec.Struct, forbid_unknown_fields=True):
    """seen: the highest number that was read; gaps: those below it whose rows may still appear."""

    seen: int | None = None
    gaps: list[tuple[int, int]] = []


class IncrementingRows:
    """name: for people; max_gaps: with so many gaps, no row above them is read until some are settled.

    gap_seconds: a gap is kept for so long, even if no transaction is alive.
    """

    def __init__(
        self,
        table: NumberedTable,
        *,
        name: str,
        batch: int,
        max_gaps: int,
        gap_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._name = name
        self._batch = batch
        self._max_gaps = max_gaps
        self._horizon: Horizon[int] = Horizon(table.look, gap_seconds, clock)
        self._seen: int | None = None
        self._gaps = Gaps()

    def open(self, position: Position | None) -> None:
        """Goes to a position. Raises ValueError for one that is none of this mode; Retriable and Fatal."""
        found = msgspec.convert(position or {}, NumberPosition)
        self._seen, self._gaps = found.seen, Gaps(found.gaps)
        # What is there already is settled soon, whatever gaps deleted rows have left in it.
        self._horizon.advance(self._table.highest)

    def read(self) -> Chunk | None:
        """First what has appeared in gaps, then what is new."""
        gaps_before, seen_before = list(self._gaps.ranges), self._seen
        records: list[Record] = []
        if self._gaps or self._horizon.settled is None:
            # Before the reads: what a transaction has committed that this look finds ended, they see.
            self._horizon.advance(lambda: self._seen)
        # In one snapshot: a transaction may fill a gap, and a later one of the same writer add a new row. It must not
        # come before the row in the gap.
        with self._table.snapshot() if self._gaps else nullcontext():
            more = self._read_gaps(records) or self._read_new(records)
        if (self._gaps.ranges, self._seen) == (gaps_before, seen_before):
            return None
        return Chunk(records, self._position(), more)

    def _read_gaps(self, records: list[Record]) -> bool:
        """Returns whether there is more in them."""
        settled = self._horizon.settled
        is_full = len(self._gaps) >= self._max_gaps
        # A row in the middle of a gap leaves two gaps, but for one that is settled.
        ranges = self._gaps.up_to(LOWEST if settled is None else settled) if is_full else self._gaps.ranges
        if not ranges:
            return False
        page = self._table.within(ranges, self._batch)
        for row in page.rows:
            records.append(row.record)
            if settled is not None and row.place <= settled:
                self._gaps.forget(row.place)
                continue
            self._gaps.remove(row.place)
            if len(self._gaps) >= self._max_gaps:
                return True
        if page.is_last and settled is not None:
            self._gaps.forget(settled)
        # New rows must not come before those in gaps that were not read this time.
        return not page.is_last or (is_full and len(self._gaps) < self._max_gaps)

    def _read_new(self, records: list[Record]) -> bool:
        """Returns whether there is more behind."""
        if len(self._gaps) >= self._max_gaps:
            if transactions := self._horizon.held_up_by:
                logger.warning(
                    "%s: %d gaps between numbers may still be filled; new rows wait until these transactions end: %s",
                    self._name,
                    len(self._gaps),
                    transactions,
                )
            return False
        if len(records) >= self._batch:
            return True
        page = self._table.above(LOWEST - 1 if self._seen is None else self._seen, self._batch - len(records))
        for row in page.rows:
            self._step_to(row.place)
            records.append(row.record)
            if len(self._gaps) >= self._max_gaps:
                return True
        return not page.is_last

    def _step_to(self, number: int) -> None:
        first = LOWEST if self._seen is None else self._seen + 1
        if self._horizon.settled is not None:
            first = max(first, self._horizon.settled + 1)
        if first < number:
            self._gaps.add(first, number - 1)
        self._seen = number

    def _position(self) -> dict[str, Any]:
        return {"seen": self._seen, "gaps": [list(found) for found in self._gaps.ranges]}
