"""Compares the rows of tables with the records in Kafka.

What was found in Kafka lies in an SQLite file that is deleted at the end, so that a large topic needs no memory.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.database.changes import TimePosition
from sources.database.config import DatabaseTarget
from sources.database.connection import database_of
from sources.database.gaps import LOWEST, Gaps
from sources.database.incrementing import NumberPosition
from sources.database.plain import from_plain
from sources.database.rows import Timed
from sources.database.tables import TableRows
from sources.reader import Position

_BUFFERED = 10_000
_SHOWN = 100
_PAGE = 1000

_MAKE = """
CREATE TABLE found (topic TEXT, row TEXT, digest BLOB, times INTEGER NOT NULL, in_table INTEGER NOT NULL DEFAULT 0,
                    PRIMARY KEY (topic, row, digest)) WITHOUT ROWID
"""
_TAKE = """
INSERT INTO found (topic, row, digest, times) VALUES (?, ?, ?, 1)
ON CONFLICT (topic, row, digest) DO UPDATE SET times = times + 1
"""


class DatabaseVerification:
    """Each row up to the position must be a record, once. Rows that were read and deleted since are no fault."""

    def __init__(self, source: SourceConfig, positions: Mapping[str, Position]) -> None:
        """Raises Retriable and Fatal."""
        self._target: DatabaseTarget = source.target
        self._positions = positions
        self._database = database_of(self._target)
        self._tables = {part: TableRows(self._database, self._target, part, source.options) for part in positions}
        for table in self._tables.values():
            table.check()
        self._columns = {self._target.topic_of(part): self._columns_of(table) for part, table in self._tables.items()}
        self.topics: Iterable[str] = list(self._columns)
        self._found = sqlite3.connect("", isolation_level=None)
        self._found.execute("PRAGMA cache_size = -16384")
        self._found.execute(_MAKE)
        self._buffer: list[tuple[str, str, bytes]] = []
        self._compared = self._missing = self._twice = self._foreign = 0

    def take(self, record: Record) -> None:
        """Notes which row a record is of."""
        row = self._row_of(record)
        if row is None:
            self._foreign += 1
            return
        self._buffer.append((record.topic, row, self._digest(record)))
        if len(self._buffer) >= _BUFFERED:
            self._flush()

    def findings(self) -> Iterator[str]:
        """What is missing in Kafka, and what is there twice."""
        self._flush()
        for part, position in self._positions.items():
            yield from self._missing_of(part, position)
        self._database.close()
        for topic, row, times in self._found.execute("SELECT topic, row, times FROM found WHERE times > 1"):
            self._twice += 1
            if self._twice <= _SHOWN:
                yield f"{topic}: {row} is there {times} times"
        yield from _not_shown(self._twice, "are there several times")

    @property
    def counted(self) -> str:
        """How many rows were compared."""
        [[only]] = self._found.execute("SELECT count(*) FROM found WHERE in_table = 0").fetchall()
        return (
            f"{self._compared} rows compared, {self._missing} missing in Kafka, {self._twice} there twice; {only} "
            f"versions of rows in Kafka only (changed or deleted since, or behind the position), {self._foreign} "
            "records that are no rows"
        )

    def _missing_of(self, part: str, position: Position) -> Iterator[str]:
        topic, missing = self._target.topic_of(part), 0
        for records in self._read(self._tables[part], position):
            rows = [str(self._row_of(record)) for record in records]
            where = f"WHERE topic = ? AND row IN ({', '.join('?' * len(rows))})"
            known = {row for [row] in self._found.execute(f"SELECT DISTINCT row FROM found {where}", (topic, *rows))}
            self._found.execute(f"UPDATE found SET in_table = 1 {where}", (topic, *rows))
            self._compared += len(rows)
            for row in rows:
                if row not in known:
                    missing += 1
                    if missing <= _SHOWN:
                        yield f"{topic}: {row} is missing"
        self._missing += missing
        yield from _not_shown(missing, f"are missing in {topic}")

    def _read(self, table: TableRows, position: Position) -> Iterator[Sequence[Record]]:
        """The rows that the source has read for good, page by page."""
        if self._target.mode == "incrementing":
            return _numbered(table, msgspec.convert(position, NumberPosition))
        return _settled(table, from_plain(msgspec.convert(position, TimePosition).time))

    def _flush(self) -> None:
        self._found.execute("BEGIN")
        self._found.executemany(_TAKE, self._buffer)
        self._found.execute("COMMIT")
        self._buffer.clear()

    def _row_of(self, record: Record) -> str | None:
        """What tells which row a record is of, as a text; None for a record that is of no row."""
        try:
            values = msgspec.json.decode(record.value or b"", type=dict[str, Any])
            found = {name: values[name] for name in self._columns[record.topic]}
        except (msgspec.DecodeError, KeyError):
            return None
        return msgspec.json.encode(found).decode()

    def _digest(self, record: Record) -> bytes:
        """Two versions of a row may have one time. A number has one version alone."""
        if self._target.mode == "incrementing":
            return b""
        return blake2b(record.value or b"", digest_size=8).digest()

    def _columns_of(self, table: TableRows) -> Sequence[str]:
        target = self._target
        if target.mode == "incrementing":
            return [target.incrementing_column]
        return [*table.key, target.timestamp_column]


def _numbered(table: TableRows, position: NumberPosition) -> Iterator[Sequence[Record]]:
    gaps, place = Gaps(position.gaps), LOWEST - 1
    while position.seen is not None and place < position.seen:
        page = table.above(place, _PAGE)
        yield [row.record for row in page.rows if row.place <= position.seen and row.place not in gaps]
        if page.is_last:
            return
        place = page.rows[-1].place


def _settled(table: TableRows, end: Any) -> Iterator[Sequence[Record]]:
    place: Timed | None = None
    while end is not None:
        page = table.after(place, end, _PAGE)
        yield [row.record for row in page.rows]
        if page.is_last:
            return
        place = page.rows[-1].place


def _not_shown(count: int, what: str) -> Iterator[str]:
    if count > _SHOWN:
        yield f"{count - _SHOWN} further rows {what}"
