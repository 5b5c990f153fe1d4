"""PostgreSQL: rows go as one text array for each column, which it reads as it reads the text of any value."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from sinks.database.dialects.base import Column, Connection, Dialect, Holds, Type, on_conflict, to_json

# Two rows of a statement with one key, a view's check, a limit such as an index's for the size of a value, and what a
# trigger raises: https://www.postgresql.org/docs/current/errcodes-appendix.html
_OF_ROWS = ("21000", "44000", "54", "P0")

# A domain counts as the type that it restricts: a cast to the domain itself would cut a text that is too long for it.
_TYPES = """
SELECT a.attname, t.typcategory, t.typname, format_type(t.oid, -1)
FROM pg_attribute a
CROSS JOIN LATERAL (
    WITH RECURSIVE base (oid, restricted) AS (
        SELECT oid, typbasetype FROM pg_type WHERE oid = a.atttypid
        UNION ALL SELECT p.oid, p.typbasetype FROM base JOIN pg_type p ON p.oid = base.restricted
    ) SELECT oid FROM base WHERE restricted = 0
) found
JOIN pg_type t ON t.oid = found.oid
WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
_HOLDS = {
    "date": Holds.DATE,
    "timestamp": Holds.TIME,
    "timestamptz": Holds.ZONED_TIME,
    **dict.fromkeys(("json", "jsonb"), Holds.JSON),
    **dict.fromkeys(("int2", "int4", "int8"), Holds.INTEGER),
    "numeric": Holds.DECIMAL,
}
_HOLDS_OF_CATEGORY = {"S": Holds.TEXT, "A": Holds.ARRAY}
_INSERT = 8
"""The bit that pg_relation_is_updatable sets for what takes an INSERT."""


class PostgreSQL(Dialect):
    """Not COPY: from an owner that stops in the middle of one, PostgreSQL waits for the rest without a time-out.

    All meanwhile holds the partition's row, so no other process could take the partition over.
    """

    title = "PostgreSQL"
    reads_zones = True

    # An owner whose machine stopped in mid-transaction holds the partition's row until the database ends its session;
    # who waits for that row asks again. Constraints that are deferred until the COMMIT would not tell which row they
    # refuse.
    begin = (
        "SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '10s'; "
        "SET CONSTRAINTS ALL IMMEDIATE"
    )

    def is_of_row(self, error: Exception) -> bool:
        state = getattr(error.__cause__, "sqlstate", None) or ""
        return super().is_of_row(error) or state.startswith(_OF_ROWS)

    def types(self, connection: Connection, table: str) -> dict[str, Type]:
        with connection.cursor() as cursor:
            cursor.execute(_TYPES, [connection.ops.quote_name(table)])
            return {
                name: Type(_HOLDS.get(type_, _HOLDS_OF_CATEGORY.get(category, Holds.OTHER)), written)
                for name, category, type_, written in cursor.fetchall()
            }

    def unusable(self, connection: Connection, table: str, filled: Sequence[str], key: Sequence[str]) -> str:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT relpersistence, pg_relation_is_updatable(oid, true) FROM pg_class WHERE oid = to_regclass(%s)",
                [connection.ops.quote_name(table)],
            )
            [(persistence, changes)] = cursor.fetchall()
        if persistence != "p":
            return "it is unlogged or temporary, and would lose its rows when the database crashes"
        if not changes & _INSERT:
            return "it is a view that takes no rows: name its table, or give it an INSTEAD OF trigger"
        return ""

    def insert(
        self,
        connection: Connection,
        table: str,
        types: Mapping[str, Type],
        columns: Sequence[Column],
        key: Sequence[str],
    ) -> None:
        quote, places = connection.ops.quote_name, range(len(columns))
        casts = [
            f"c{place}::{type_.name.replace('%', '%%')}" for place, type_ in zip(places, types.values(), strict=True)
        ]
        insert = (
            f"INSERT INTO {quote(table)} ({', '.join(map(quote, types))}) SELECT {', '.join(casts)} "
            f"FROM unnest({', '.join(['%s::text[]'] * len(columns))}) AS rows({', '.join(f'c{n}' for n in places)})"
            f"{on_conflict(connection, list(types), key)}"
        )
        # The driver's own cursor hands the arrays over as they are; Django's would quote them into the statement.
        with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
            cursor.execute(insert.encode(), list(map(array_of, columns)))

    def same(self, connection: Connection, table: str, column: str, type_: Type) -> str | None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
                "WHERE attrelid = to_regclass(%s) AND attname = %s",
                [connection.ops.quote_name(table), column],
            )
            [(whole,)] = cursor.fetchall()
        return (
            f"CAST(CAST(%s AS {whole.replace('%', '%%')}) AS text) = CAST({connection.ops.quote_name(column)} AS text)"
        )

    def text(self, value: Any) -> str:
        return str(value) if isinstance(value, str) else _text(value)

    def compared(self, value: Any) -> Any:
        return self.text(value)  # which it reads as the column's type; it compares no number with a uuid

    @contextmanager
    def making(self, connection: Connection, table: str) -> Iterator[None]:
        with connection.cursor() as cursor:  # of two that make it at once, the second one would fail
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [table])
        yield


def array_of(values: Column) -> str:
    """Values as PostgreSQL writes an array of texts."""
    try:
        texts = "\0".join(values)
    except TypeError:  # not all are texts
        return _array(values)
    if texts.count("\0") >= len(values):  # a text has this character, too, and PostgreSQL will refuse it
        return _array(values)
    return '{"' + _escaped(texts).replace("\0", '","') + '"}'


def _array(values: Column) -> str:
    write = str if set(map(type, values)) == {int} else _element
    return f"{{{','.join(map(write, values))}}}"


def _element(value: Any) -> str:
    """A value within an array."""
    if value is None:
        return "NULL"
    text = _text(value)
    return f'"{_escaped(text)}"' if isinstance(value, str | list | dict) else text


def _text(value: Any) -> str:
    """A value as PostgreSQL reads it, given as a text; as a number it would round 1.5 for a column of integers."""
    match value:
        case bool():
            return "true" if value else "false"
        case list():
            return f"{{{','.join(map(_within_array, value))}}}"
        case dict():
            return to_json(value)
    return str(value)


def _within_array(value: Any) -> str:
    """An array within an array is a further dimension, and stands there without quotes."""
    return _text(value) if isinstance(value, list) else _element(value)


def _escaped(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    return text.replace('"', '\\"') if '"' in text else text
