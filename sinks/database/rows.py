"""The rows of records: what each column gets, and how many rows go into the table at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import DatabaseError
from django.db.transaction import atomic

from sinks.database.config import NUMBER, OFFSET, TOPIC
from sinks.database.connection import Connection, is_of_row, words_of
from sinks.records import Partition, Record
from sinks.times import moment_of
from worker.errors import Fatal

Row = Sequence[Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = {"CharField", "TextField"}
_OID_OF_JSON = 114  # PostgreSQL's; Django knows jsonb alone
_MOST_ROWS = 1000
_MOST_PARAMETERS = 30_000  # PostgreSQL takes 65,535


@dataclass(frozen=True)
class Columns:
    """The columns of a table that a sink fills.

    sources: column -> what it holds; types: column -> the Django field that is nearest to its type in the table.
    """

    table: str
    sources: Mapping[str, str]
    types: Mapping[str, str]
    key: Sequence[str] = ()

    def row(self, connection: Connection, partition: Partition, record: Record) -> Row:
        """The row of a record, whose value is a JSON object."""
        fields = msgspec.json.decode(record.value or b"{}", type=dict[str, Any])
        return [
            self._adapted(connection, self.types[name], _found(source, fields, partition, record))
            for name, source in self.sources.items()
        ]

    def _adapted(self, connection: Connection, kind: str, value: Any) -> Any:
        if value is None:
            return None
        if kind == "DateTimeField":
            moment = moment_of(value) if not isinstance(value, datetime) else value
            return value if moment is None else connection.ops.adapt_datetimefield_value(moment.astimezone(UTC))
        is_text = isinstance(value, str)
        if kind == "JSONField" or isinstance(value, dict | list) or (kind in _TEXTS and not is_text):
            return msgspec.json.encode(value).decode()
        return value

    def put(self, connection: Connection, rows: Sequence[Row]) -> dict[int, str]:
        """Puts rows into the table, within a transaction. Returns place -> reason of those that the database refuses.

        Raises DatabaseError for what does not concern a row.
        """
        refused: dict[int, str] = {}
        for begin, end in self._parts(rows):
            self._put(connection, rows, begin, end, refused)
        return refused

    def _put(self, connection: Connection, rows: Sequence[Row], begin: int, end: int, refused: dict[int, str]) -> None:
        try:
            with atomic(using=connection.alias):
                self._insert(connection, rows[begin:end])
        except (DatabaseError, OverflowError) as error:
            if not is_of_row(error):
                raise
            if end - begin == 1:
                refused[begin] = words_of(error)
                return
            middle = (begin + end) // 2
            self._put(connection, rows, begin, middle, refused)
            self._put(connection, rows, middle, end, refused)

    def _parts(self, rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
        """Which rows go into one statement; no two rows of one can have the same key."""
        most = max(1, min(_MOST_ROWS, _MOST_PARAMETERS // len(self.sources)))
        keyed = [place for place, name in enumerate(self.sources) if name in self.key]
        begin, keys = 0, set[Any]()
        for place, row in enumerate(rows):
            key = tuple(str(row[column]) for column in keyed)
            if place - begin == most or (keyed and key in keys):
                yield begin, place
                begin, keys = place, set()
            keys.add(key)
        if begin < len(rows):
            yield begin, len(rows)

    def _insert(self, connection: Connection, rows: Sequence[Row]) -> None:
        quote = connection.ops.quote_name
        table, names = quote(self.table), ", ".join(map(quote, self.sources))
        with connection.cursor() as cursor:
            places = f"({', '.join(['%s'] * len(self.sources))})"
            insert = f"INSERT INTO {table} ({names}) VALUES {', '.join([places] * len(rows))}{self._on_conflict(quote)}"
            # Not COPY: from an owner that stops in the middle of one, PostgreSQL waits for the rest without a time-out.
            values = [value for row in rows for value in row]
            cursor.execute(insert, list(map(as_text, values)) if connection.vendor == "postgresql" else values)

    def _on_conflict(self, quote: Any) -> str:
        if not self.key:
            return ""
        others = [quote(name) for name in self.sources if name not in self.key]
        sets = ", ".join(f"{name} = excluded.{name}" for name in others)
        return f" ON CONFLICT ({', '.join(map(quote, self.key))}) DO " + (f"UPDATE SET {sets}" if sets else "NOTHING")


def find_columns(connection: Connection, table: str, sources: Mapping[str, str], key: Sequence[str]) -> Columns:
    """The columns as the table has them. Raises Fatal when the table or one of them is missing."""
    with connection.cursor() as cursor:
        if table not in connection.introspection.table_names(cursor):
            raise Fatal(f"there is no table {table}: run `manage.py setup_pipeline`")
        described = connection.introspection.get_table_description(cursor, table)
    types = {column.name: _type(connection, column) for column in described}
    if missing := [name for name in sources if name not in types]:
        raise Fatal(f"the table {table} has no column {missing[0]}; it has {', '.join(types)}")
    return Columns(table, sources, types, key)


def _type(connection: Connection, column: Any) -> str:
    try:
        found = connection.introspection.get_field_type(column.type_code, column)
    except KeyError:  # a type of the database's own
        return "JSONField" if column.type_code == _OID_OF_JSON else ""
    return str(found[0] if isinstance(found, tuple) else found)


def as_text(value: Any) -> str | None:
    """A value as PostgreSQL reads it into a column of any type; it would round the number 1.5 for one of integers."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if value is None else str(value)


def _found(source: str, fields: Mapping[str, Any], partition: Partition, record: Record) -> Any:
    match source:
        case _ if source == TOPIC:
            return partition.topic
        case _ if source == NUMBER:
            return partition.number
        case _ if source == OFFSET:
            return record.offset
        case "kafka.timestamp":
            return None if record.timestamp < 0 else _EPOCH + timedelta(milliseconds=record.timestamp)
        case "kafka.key":
            return None if record.key is None else record.key.decode(errors="replace")
        case "kafka.value":
            return None if record.value is None else record.value.decode()
    found: Any = fields
    for name in source.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return fields.get(source) if found is None else found
