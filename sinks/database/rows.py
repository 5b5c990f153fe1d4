"""The rows of records: what each column gets, and how many rows go into the table at once."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import compress
from typing import Any

import msgspec
from django.db import DatabaseError
from django.db.transaction import atomic

from events.schema import explained
from sinks.database.config import KEY, KEY_FIELD, NUMBER, OFFSET, TIMESTAMP, TOPIC, VALUE
from sinks.database.connection import change, words_of
from sinks.database.dialects import dialect_of
from sinks.database.dialects.base import Column, Connection, Dialect, Holds, Type, to_json
from sinks.fields import within
from sinks.records import Partition, Record
from sinks.times import moment_of
from worker.errors import Fatal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_ROWS = 1000
_MOST_PARAMETERS = 30_000  # SQLite takes 32,766
_MOST_BYTES = 4_000_000  # of the records of a statement
_MOST_DELETED = 200  # of a statement; SQLite takes 1,000 conditions

_ZONED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:?\d\d)", re.ASCII)

# The types of values that need no preparing.
_SIMPLE: Mapping[Holds, set[type]] = {
    Holds.TEXT: {str, type(None)},
    Holds.OTHER: {str, type(None)},
    Holds.INTEGER: {int, str, type(None)},
    Holds.DECIMAL: {int, str, type(None)},
}

_NO_KEY = "the record has no value, and its key does not say which row to delete"


class _Rows:
    """Rows that are put into a table. deletes: which records, having no value, delete the row of their key."""

    def __init__(self, columns: Sequence[Column], sizes: Sequence[int], deletes: Sequence[bool]) -> None:
        self.columns = columns
        self.sizes = sizes
        self.deletes = deletes

    def __len__(self) -> int:
        return len(self.deletes)


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a sink fills.

    sources: column -> what it holds; types: column -> its type in the table; key: columns of a unique key, of which
    each record replaces the row with the same values; deletes: whether a record without a value deletes that row.
    """

    table: str
    sources: Mapping[str, str]
    types: Mapping[str, Type]
    key: Sequence[str] = ()
    deletes: bool = False

    @cached_property
    def _decode(self) -> Callable[[bytes], dict[str, Any]]:
        """Python's floats hold 17 digits; a column of decimals may hold more."""
        has_decimals = any(type_.holds is Holds.DECIMAL for type_ in self._filled.values())
        return msgspec.json.Decoder(dict[str, Any], float_hook=_decimal if has_decimals else None).decode

    @cached_property
    def _filled(self) -> dict[str, Type]:
        return {name: self.types[name] for name in self.sources}

    def cells(self, connection: Connection, partition: Partition, records: Sequence[Record]) -> list[Column]:
        """The columns of some records, whose values are JSON objects or missing. Raises ValueError, RecursionError."""
        fields = [self._decode(record.value) if record.value else {} for record in records]
        dialect, columns = dialect_of(connection), []
        for name, source in self.sources.items():
            type_ = self.types[name]
            if source == KEY and name in self.key:
                found = _exact_keys(records)
            else:
                found = _found(source, fields, partition, records)
            is_json_already = source == VALUE and type_.holds is Holds.JSON
            columns.append(found if is_json_already else _adapted(dialect, type_, found))
        return columns

    def put(self, connection: Connection, partition: Partition, records: Sequence[Record]) -> dict[int, str]:
        """Puts records into the table, within a transaction. Returns offset -> reason of those that are refused.

        Raises DatabaseError for what does not concern a row.
        """
        refused: dict[int, str] = {}
        if not self.deletes:
            records = [record for record in records if record.value is not None]
        try:
            columns = self.cells(connection, partition, records)
        except (ValueError, RecursionError):
            records = list(self._usable(connection, partition, records, refused))
            columns = self.cells(connection, partition, records)
        unfit = self._unfit(connection, records, columns)
        if unfit:
            refused |= {records[place].offset: reason for place, reason in unfit.items()}
            kept = [place not in unfit for place in range(len(records))]
            records = list(compress(records, kept))
            columns = [list(compress(column, kept)) for column in columns]
        sizes = [len(record.value or b"") for record in records]
        rows = _Rows(columns, sizes, [self.deletes and record.value is None for record in records])
        for begin, end in self._parts(rows):
            self._put(connection, rows, begin, end, records, refused)
        return refused

    def _usable(
        self, connection: Connection, partition: Partition, records: Sequence[Record], refused: dict[int, str]
    ) -> Iterator[Record]:
        """The records whose columns can be made. They are JSON, but nobody has checked, say, how great numbers are."""
        for record in records:
            try:
                self.cells(connection, partition, [record])
            except (ValueError, RecursionError) as error:
                reason = explained(record.value, error) if record.value else str(error)
                refused[record.offset] = f"unreadable: {reason}"
            else:
                yield record

    def _unfit(self, connection: Connection, records: Sequence[Record], columns: Sequence[Column]) -> dict[int, str]:
        unfit: dict[int, str] = {}
        dialect = dialect_of(connection)
        for (name, type_), column in zip(self._filled.items(), columns, strict=True):
            unfit |= dialect.unfit(type_, column)
            if self.deletes and name in self.key and None in column:
                missing = (place for place, value in enumerate(column) if value is None)
                unfit |= {place: _NO_KEY for place in missing if records[place].value is None}
        return unfit

    def _put(
        self,
        connection: Connection,
        rows: _Rows,
        begin: int,
        end: int,
        records: Sequence[Record],
        refused: dict[int, str],
    ) -> None:
        try:
            with atomic(using=connection.alias):
                self._insert(connection, rows, begin, end)
        except (DatabaseError, OverflowError) as error:
            if not dialect_of(connection).is_of_row(error):
                raise
            if end - begin == 1:
                refused[records[begin].offset] = words_of(connection, error)
                return
            middle = (begin + end) // 2
            self._put(connection, rows, begin, middle, records, refused)
            self._put(connection, rows, middle, end, records, refused)

    def _parts(self, rows: _Rows) -> Iterator[tuple[int, int]]:
        """Which rows go into one statement; no two rows of one can have the same key."""
        most = max(1, min(_MOST_ROWS, _MOST_PARAMETERS // len(self.sources)))
        keyed = [list(map(str, rows.columns[place])) for place, name in enumerate(self.sources) if name in self.key]
        begin, size, keys = 0, 0, set[Any]()
        for place in range(len(rows)):
            key = tuple(column[place] for column in keyed) if keyed else ()
            deletes = rows.deletes[place]
            if place > begin and (
                place - begin == (_MOST_DELETED if deletes else most)
                or size + rows.sizes[place] > _MOST_BYTES
                or key in keys
                or deletes != rows.deletes[begin]
            ):
                yield begin, place
                begin, size, keys = place, 0, set()
            if keyed:
                keys.add(key)
            size += rows.sizes[place]
        if begin < len(rows):
            yield begin, len(rows)

    def _insert(self, connection: Connection, rows: _Rows, begin: int, end: int) -> None:
        columns = [column[begin:end] for column in rows.columns]
        if rows.deletes[begin]:
            self._delete(connection, columns)
        else:
            dialect_of(connection).insert(connection, self.table, self._filled, columns, self.key)

    def _delete(self, connection: Connection, columns: Sequence[Column]) -> None:
        quote = connection.ops.quote_name
        same = f"({' AND '.join(f'{quote(name)} = %s' for name in self.key)})"
        keys = list(zip(*(columns[place] for place, name in enumerate(self.sources) if name in self.key), strict=True))
        conditions = " OR ".join([same] * len(keys))
        values = [dialect_of(connection).compared(value) for key in keys for value in key]
        change(connection, f"DELETE FROM {quote(self.table)} WHERE {conditions}", values)


def find_columns(
    connection: Connection, table: str, sources: Mapping[str, str], key: Sequence[str], *, deletes: bool = False
) -> Columns:
    """The columns as the table has them. Raises Fatal when the table or one of them is missing, or can't be used."""
    dialect = dialect_of(connection)
    types = dialect.types(connection, table)
    if not types:
        raise Fatal(f"there is no table {table}: run `manage.py setup_pipeline`")
    if missing := [name for name in sources if name not in types]:
        raise Fatal(f"the table {table} has no column {missing[0]}; it has {', '.join(types)}")
    if why := dialect.unusable(connection, table, list(sources), key):
        raise Fatal(f"the table {table} can't be used: {why}")
    return Columns(table, sources, types, [name for name in sources if name in key], deletes)


def _adapted(dialect: Dialect, type_: Type, values: Column) -> Column:
    """Values as a column of a type takes them."""
    if set(map(type, values)) <= _SIMPLE.get(type_.holds, {type(None)}):
        return values
    match type_.holds:
        case Holds.TEXT:
            return [value if value is None or isinstance(value, str) else to_json(value) for value in values]
        case Holds.JSON:
            return [value if value is None else to_json(value) for value in values]
        case Holds.DATE:  # as it is written, whatever its zone
            return [value[:10] if _is_zoned(value) else _no_structure(value) for value in values]
        case Holds.TIME:
            return [_time(dialect, value) for value in values]
        case Holds.ZONED_TIME:
            return [value if _is_zoned(value) else _time(dialect, value) for value in values]
        case Holds.ARRAY:
            return values
    return list(map(_no_structure, values))


def _no_structure(value: Any) -> Any:
    """Objects and arrays as JSON: no statement has a way to write them."""
    return to_json(value) if isinstance(value, dict | list) else value


def _is_zoned(value: Any) -> bool:
    """Whether a value is a time as ISO 8601 and every database write it, with its zone."""
    return isinstance(value, str) and _ZONED.fullmatch(value) is not None


def _time(dialect: Dialect, value: Any) -> Any:
    moment = value if isinstance(value, datetime) else moment_of(value)
    if moment is None:
        return _no_structure(value)
    in_utc = moment.astimezone(UTC)
    return str(in_utc if dialect.reads_zones else in_utc.replace(tzinfo=None))


def _decimal(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent that no database takes
        return text


def _found(source: str, fields: Sequence[dict[str, Any]], partition: Partition, records: Sequence[Record]) -> Column:
    match source:
        case _ if source == TOPIC:
            return [partition.topic] * len(records)
        case _ if source == NUMBER:
            return [partition.number] * len(records)
        case _ if source == OFFSET:
            return [record.offset for record in records]
        case _ if source == TIMESTAMP:
            return [_moment(record.timestamp) for record in records]
        case _ if source == KEY:
            return [None if record.key is None else record.key.decode(errors="replace") for record in records]
        case _ if source == VALUE:
            return [None if record.value is None else record.value.decode() for record in records]
        case _ if source.startswith(KEY_FIELD):
            name = source.removeprefix(KEY_FIELD)
            return [within(_of_key(record.key), name) for record in records]
    return [within(one, source) for one in fields]


def _moment(milliseconds: int) -> datetime | None:
    """The time of a record; producers may have written it in another unit."""
    if milliseconds < 0:
        return None
    try:
        return _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise ValueError(f"the record's time, {milliseconds} milliseconds since 1970, is after the year 9999") from None


def _exact_keys(records: Sequence[Record]) -> Column:
    """The records' keys, where they tell which row is which: two that are not UTF-8 could become the same text."""
    try:
        return [None if record.key is None else record.key.decode() for record in records]
    except UnicodeDecodeError as error:
        raise ValueError(f"the record's key is not UTF-8, so it does not say which row to replace ({error})") from None


def _of_key(key: bytes | None) -> dict[str, Any]:
    """The fields of a key that is a JSON object."""
    try:
        return msgspec.json.decode(key or b"{}", type=dict[str, Any])
    except (ValueError, RecursionError):
        return {}
