"""Reads a table by the time of each row's last change. Each committed version that stays is read, once. No Django here.

Rows whose time is settled are passed for good. Younger ones are read again by each scan, and the position keeps which
versions of them were sent.
"""

import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec

from kafka_client.log import repeating_logger
from kafka_client.producer import Record
from kafka_client.structs import ready
from sources.database.horizon import Horizon
from sources.database.plain import Plain, from_plain, to_plain
from sources.database.rows import Key, Page, Row, Timed, TimedTable
from sources.reader import Chunk, Position

logger = repeating_logger(__name__)

Version = tuple[Any, str]
"""The time of a row, and a digest of its values."""


class SentRow(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A version of a row that was sent before it was settled."""

    key: list[Plain]
    time: Plain
    digest: str


@ready
class TimePosition(msgspec.Struct, forbid_unknown_fields=True):
    """time, key: rows up to here are passed for good; sent: versions of rows behind it that were sent already."""

    time: Plain = None
    key: list[Plain] | None = None
    sent: list[SentRow] = []


class ChangedRows:
    """name: for people; max_young: with so many rows that are not settled, only those that are settled are read.

    gap_seconds: a time is settled so many seconds late, even if no transaction is alive.
    """

    def __init__(
        self,
        table: TimedTable,
        *,
        name: str,
        batch: int,
        max_young: int,
        gap_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._name = name
        self._batch = batch
        self._max_young = max_young
        self._horizon: Horizon[Any] = Horizon(table.look, gap_seconds, clock)
        self._passed: Timed | None = None
        self._sent: dict[Key, Version] = {}
        # The scan that goes on: how far it is, and what was settled when it began.
        self._cursor: Timed | None = None
        self._settled: Any = None

    def open(self, position: Position | None) -> None:
        """Goes to a position. Raises ValueError for one that is none of this mode."""
        found = msgspec.convert(position or {}, TimePosition)
        if found.time is not None:
            self._passed = Timed(from_plain(found.time), None if found.key is None else _key(found.key))
        self._sent = {_key(row.key): (from_plain(row.time), row.digest) for row in found.sent}

    def read(self) -> Chunk | None:
        """The next rows of the scan. A scan begins at what is passed for good, and ends at the last row."""
        if self._cursor is None:
            # Before the scan: what a transaction has committed that this look finds ended, all of the scan sees.
            self._horizon.advance(self._table.clock)
            self._settled = self._horizon.settled
        records: list[Record] = []
        is_last = False
        while not records and not is_last:
            page = self._page()
            is_last = page.is_last
            records = [row.record for row in page.rows if self._is_new(row)]
            if page.rows:
                self._cursor = page.rows[-1].place
        if is_last:
            self._end_scan()
        return Chunk(records, self._position(), not is_last) if records else None

    def _page(self) -> Page[Timed]:
        before = None
        if len(self._sent) >= self._max_young:
            if transactions := self._horizon.held_up_by:
                logger.warning(
                    "%s: %d rows are younger than a transaction that has not ended; further ones wait until these "
                    "transactions end: %s",
                    self._name,
                    len(self._sent),
                    transactions,
                )
            if self._settled is None:
                return Page((), is_last=True)
            before = self._settled
        return self._table.after(self._cursor or self._passed, before, self._batch)

    def _is_new(self, row: Row[Timed]) -> bool:
        when, key = row.place
        assert key is not None
        is_settled = self._settled is not None and when < self._settled
        if is_settled:
            self._passed = row.place
        version = (when, _digest(row.record))
        if self._sent.get(key) == version:
            return False
        if not is_settled:
            self._sent[key] = version
        return True

    def _end_scan(self) -> None:
        self._cursor = None
        if self._settled is None:
            return
        if self._passed is None or self._passed.time < self._settled:
            self._passed = Timed(self._settled, None)
        self._sent = {key: version for key, version in self._sent.items() if version[0] >= self._settled}

    def _position(self) -> dict[str, Any]:
        time, key = self._passed or (None, None)
        return {
            "time": to_plain(time),
            "key": None if key is None else [to_plain(value) for value in key],
            "sent": [
                [[to_plain(value) for value in key], to_plain(when), digest]
                for key, (when, digest) in self._sent.items()
            ],
        }


def _key(values: list[Plain]) -> Key:
    return tuple(from_plain(value) for value in values)


def _digest(record: Record) -> str:
    return blake2b(record.value or b"", digest_size=8).hexdigest()
