"""Compares the rows of a partition with Kafka."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

from django.db import DataError
from django.db.transaction import atomic

from events.schema import Check, InvalidRecord
from sinks.database.connection import select, transaction
from sinks.database.dialects import dialect_of
from sinks.database.dialects.base import Connection
from sinks.database.rows import Columns
from sinks.findings import Finding
from sinks.records import Partition, Record
from sinks.times import moment_of

_CHUNK = 500


@dataclass(eq=False)
class RowComparison:
    """The comparison of one partition, by the columns that tell the record of a row.

    place: the names of the columns with topic, partition and offset; dead_letters: offsets of records that ever became
    dead letters; is_compacted: whether Kafka removes records of the topic once there are newer ones with their keys,
    asked only when there are more rows than records.
    """

    alias: str
    columns: Columns
    place: tuple[str, str, str]
    check: Check
    partition: Partition
    dead_letters: Collection[int]
    is_compacted: Callable[[], bool]
    notes: Sequence[str] = ()
    valid: int = 0
    refused: int = 0
    compacted: int = 0
    _conditions: dict[str, str | None] = field(default_factory=dict)  # column -> that it has a value, in SQL

    @property
    def counted(self) -> str:
        """Its counts in words."""
        compacted = f"; Kafka has removed {self.compacted} more since, for newer ones of their keys"
        return f"{self.valid} events and {self.refused} dead letters{compacted if self.compacted else ''}"

    def findings(self, records: Iterable[Record]) -> Iterator[Finding]:
        """What is wrong; records: Kafka's of the range, in order. Raises Retriable and Fatal."""
        rest, first = iter(records), None
        while chunk := list(islice(rest, _CHUNK)):
            begin = chunk[0].offset if first is None else first
            # Nobody who reads the findings slowly may keep a transaction open, which the database would end.
            with transaction(self.alias) as connection:
                found = list(self._compare(connection, begin, chunk))
            yield from found
            first = chunk[-1].offset + 1

    def _compare(self, connection: Connection, first: int, records: Sequence[Record]) -> Iterator[Finding]:
        """first: the offset after the records that were compared before; Kafka may have none there."""
        found: dict[int, list[Any]] = {}
        for offset, *row in self._rows(connection, first, records[-1].offset):
            found.setdefault(offset, []).append(row)
        for record in records:
            rows = found.pop(record.offset, [])
            if not self._belongs(record):
                self.refused += 1
                if rows and record.offset not in self.dead_letters:
                    yield self._finding("difference", record, "a row of a record that can't be stored")
                continue
            self.valid += 1
            if not rows:
                yield self._finding("gap", record, "there is no row")
            elif len(rows) > 1:
                yield self._finding("repeat", record, f"there are {len(rows)} rows")
            elif different := self._different(connection, record, rows[0]):
                yield self._finding("difference", record, f"the column {different} is not what Kafka has")
        if found and self.is_compacted():
            self.compacted += len(found)
            return
        for offset in found:
            yield Finding(self.partition, "difference", offset, offset, "Kafka has no such record")

    def _belongs(self, record: Record) -> bool:
        try:
            self.check(record.value)
        except InvalidRecord:
            return False
        return record.value is not None and record.offset not in self.dead_letters

    def _rows(self, connection: Connection, first: int, last: int) -> list[Any]:
        quote = connection.ops.quote_name
        topic, number, offset = map(quote, self.place)
        names = ", ".join([offset, *map(quote, self.columns.sources)])
        query = f"SELECT {names} FROM {quote(self.columns.table)} WHERE {topic} = %s AND {number} = %s"
        return select(connection, f"{query} AND {offset} BETWEEN %s AND %s", (*self.partition, first, last))

    def _different(self, connection: Connection, record: Record, row: Any) -> str:
        """The first column whose value is another one; empty when there is none."""
        expected = self.columns.cells(connection, self.partition, [record])
        for name, (wanted,), stored in zip(self.columns.sources, expected, row, strict=True):
            if not _is_same(wanted, stored) and not self._becomes(connection, record, name, wanted):
                return name
        return ""

    def _becomes(self, connection: Connection, record: Record, name: str, wanted: Any) -> bool:
        """Whether the value is the stored one once the database has made of it what the column is, such as jsonb."""
        if wanted is None:
            return False
        if name not in self._conditions:
            dialect, type_ = dialect_of(connection), self.columns.types[name]
            self._conditions[name] = dialect.same(connection, self.columns.table, name, type_)
        condition = self._conditions[name]
        if condition is None:
            return False
        quote = connection.ops.quote_name
        topic, number, offset = map(quote, self.place)
        where = f"WHERE {topic} = %s AND {number} = %s AND {offset} = %s"
        query = f"SELECT {condition} FROM {quote(self.columns.table)} {where}"
        text = dialect_of(connection).text(wanted)
        try:
            with atomic(using=self.alias):
                return bool(select(connection, query, (text, *self.partition, record.offset))[0][0])
        except DataError:  # the value is none of this type
            return False

    def _finding(self, kind: str, record: Record, detail: str) -> Finding:
        return Finding(self.partition, kind, record.offset, record.offset, detail)


def _is_same(wanted: Any, stored: Any) -> bool:
    """Whether a value is stored; a database may give it back in another type."""
    if wanted is None or stored is None:
        return wanted is stored
    if wanted == stored or str(wanted) == str(stored):
        return True
    if isinstance(stored, datetime):
        moment = moment_of(wanted)
        return moment is not None and moment == (stored if stored.tzinfo else stored.replace(tzinfo=UTC))
    try:
        return bool(Decimal(wanted) == Decimal(stored))
    except (TypeError, ValueError, InvalidOperation):
        return False
