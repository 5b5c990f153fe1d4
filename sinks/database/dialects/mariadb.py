"""MariaDB: rows go as one INSERT with many rows. (MySQL speaks the same language; no test runs on it.)"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

from django.db import OperationalError

from sinks.database.dialects.base import Column, Connection, Dialect, Holds, Type

# https://mariadb.com/docs/server/reference/error-codes: keys and foreign keys, NULL, ranges, lengths, formats, checks
# of tables and views, what a trigger signals, a row or a partition that the table has no room for.
_OF_ROWS = {
    *(1022, 1048, 1062, 1118, 1169, 1216, 1217, 1263, 1264, 1265, 1292, 1300, 1364, 1365, 1366, 1367, 1369, 1406, 1411),
    *(1416, 1441, 1451, 1452, 1526, 1557, 1586, 1644, 1690, 1713, 1748, 1918, 3819, 4025, 4078),
}
# Rights, columns that are missing or computed, views that take no rows.
_LASTING = {1044, 1054, 1142, 1143, 1227, 1288, 1348, 1370, 1393, 1394, 1419, 1471, 1906, 3105}

_HOLDS = {
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), Holds.TEXT),
    **dict.fromkeys(("datetime", "timestamp"), Holds.TIME),
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint"), Holds.INTEGER),
    "date": Holds.DATE,
    "decimal": Holds.DECIMAL,
    "json": Holds.JSON,
}
_BOOLEAN = "tinyint(1)"
# Its JSON is a text with this check. (Django's introspection takes a column with any check of its own for JSON.)
_JSON_COLUMNS = """
SELECT constraint_name FROM information_schema.check_constraints
WHERE constraint_schema = DATABASE() AND table_name = %s
  AND check_clause = CONCAT('json_valid(`', constraint_name, '`)')
"""
_CAST_AS = {"timestamp": "datetime"}
_CASTABLE = ("date", "time", "decimal", "float", "double", "char", "uuid", "inet")
"""Beginnings of the types whose values it writes otherwise than they came, and into which it can cast."""
_SURELY_TAKEN = 500_000
"""Characters of a statement that every server takes; its max_allowed_packet is 16 MB by default."""


class MariaDB(Dialect):
    """Rows of InnoDB's tables."""

    title = "MariaDB"

    # Without a strict mode, it cuts what does not fit. An owner whose machine stopped in mid-transaction holds the
    # partition's row until the server ends its session; who waits for that row asks again. MySQL skips what stands
    # between /*M! and */.
    begin = (
        "SET SESSION sql_mode = 'TRADITIONAL', time_zone = '+00:00', lock_wait_timeout = 5, "
        "innodb_lock_wait_timeout = 5 /*M!100300 , idle_transaction_timeout = 10 */"
    )
    longest_key = 255
    # Its usual collations take texts for the same that differ in case, in accents, or in spaces at the end.
    table_options = " ENGINE = InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"

    def is_of_row(self, error: Exception) -> bool:
        return super().is_of_row(error) or _code(error) in _OF_ROWS

    def is_lasting(self, error: Exception) -> bool:
        return _code(error) in _LASTING

    def words(self, error: Exception) -> str:
        return f"error {_code(error)}: {error.args[1]}" if _code(error) else str(error)

    def types(self, connection: Connection, table: str) -> dict[str, Type]:
        columns = "SELECT column_name, data_type, column_type FROM information_schema.columns"
        here = "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position"
        with connection.cursor() as cursor:
            cursor.execute(f"{columns} {here}", [table])
            found = {
                name: Type(_HOLDS.get(short, Holds.OTHER), whole.removesuffix(" unsigned"))
                for name, short, whole in cursor.fetchall()
            }
            if connection.mysql_is_mariadb:
                cursor.execute(_JSON_COLUMNS, [table])
                found |= {name: Type(Holds.JSON, "json") for (name,) in cursor.fetchall()}
        return found

    def unusable(self, connection: Connection, table: str, filled: Sequence[str], key: Sequence[str]) -> str:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT t.engine FROM information_schema.tables t JOIN information_schema.engines e USING (engine) "
                "WHERE t.table_schema = DATABASE() AND t.table_name = %s AND e.transactions <> 'YES'",
                [table],
            )
            for (engine,) in cursor.fetchall():
                return f"its engine is {engine}, which knows no transactions (ALTER TABLE … ENGINE = InnoDB)"
            if not key:
                return ""
            cursor.execute(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_schema = DATABASE() AND table_name = %s AND extra LIKE '%%auto_increment%%'",
                [table],
            )
            counted = {name for (name,) in cursor.fetchall()} - set(filled)
            indexes = connection.introspection.get_constraints(cursor, table).values()
        unique = [set(index["columns"]) for index in indexes if index["unique"] or index["primary_key"]]
        if set(key) not in unique:
            return f"it has no unique index of exactly the columns of `key`: {', '.join(key)}"
        # Any unique index makes MariaDB replace a row, whatever the key of that row is.
        for columns in unique:
            if not (columns >= set(key) or columns & counted):
                names = ", ".join(sorted(columns))
                return (
                    f"it has a further unique index, of {names}: a row with other values in the key would be replaced"
                )
        return ""

    def unfit(self, type_: Type, values: Column) -> dict[int, str]:
        if type_.holds is not Holds.INTEGER or set(map(type, values)) == {int}:
            return {}
        takes_bool = type_.name == _BOOLEAN
        return {
            place: f"no integer: {value!r} for a column of {type_.name}"
            for place, value in enumerate(values)
            if not _is_integer(value, takes_bool=takes_bool)
        }

    def insert(
        self,
        connection: Connection,
        table: str,
        types: Mapping[str, Type],
        columns: Sequence[Column],
        key: Sequence[str],
    ) -> None:
        quote = connection.ops.quote_name
        rows = "), (".join(map(", ".join, zip(*map(_literals, columns), strict=True)))
        into = f"INSERT INTO {quote(table)} ({', '.join(map(quote, types))})"
        replace = ""
        if key:
            others = [quote(name) for name in types if name not in key]
            sets = [f"{name} = VALUES({name})" for name in others] or [f"{quote(key[0])} = {quote(key[0])}"]
            replace = f" ON DUPLICATE KEY UPDATE {', '.join(sets)}"
        statement = f"{into} VALUES ({rows}){replace}"
        with connection.cursor() as cursor:
            if len(statement) > _SURELY_TAKEN:
                cursor.execute("SELECT @@max_allowed_packet")
                [(most,)] = cursor.fetchall()
                if (size := len(statement.encode())) >= most:
                    raise OverflowError(f"too large: {size} bytes are more than max_allowed_packet, {most}")
            cursor.execute(statement)

    def same(self, connection: Connection, table: str, column: str, type_: Type) -> str | None:
        short = type_.name.partition("(")[0]
        name = type_.name.replace(short, _CAST_AS.get(short, short))
        return f"CAST(%s AS {name}) = {connection.ops.quote_name(column)}" if name.startswith(_CASTABLE) else None

    @contextmanager
    def making(self, connection: Connection, table: str) -> Iterator[None]:
        # A CREATE TABLE ends the transaction, which could hold nobody up.
        with connection.cursor() as cursor:
            cursor.execute("SELECT GET_LOCK(%s, 10)", [f"sinks {table}"[:64]])
            [(is_held,)] = cursor.fetchall()
            if not is_held:
                raise OperationalError(f"another process has been making {table} for 10 seconds")
            try:
                yield
            finally:
                cursor.execute("SELECT RELEASE_LOCK(%s)", [f"sinks {table}"[:64]])


def _code(error: Exception) -> int:
    """The number of the server's error, 0 for none."""
    code = error.args[0] if len(error.args) == 2 else 0
    return code if isinstance(code, int) else 0


def _is_integer(value: Any, *, takes_bool: bool) -> bool:
    """Whether MariaDB stores the value as it is, or refuses it, instead of rounding it."""
    match value:
        case bool():
            return takes_bool
        case str():
            return not set(".eE") & set(value)
        case float():
            return value.is_integer()
        case Decimal():
            return value == value.to_integral_value()
    return True


def _literals(values: Column) -> list[str]:
    """Values as a statement has them, in a session that takes backslashes for escapes."""
    try:
        texts = "\0".join(values)
    except TypeError:  # not all are texts
        return list(map(str if set(map(type, values)) == {int} else _literal, values))
    if texts.count("\0") >= len(values):  # a text has this character, too
        return list(map(_literal, values))
    return [f"'{text}'" for text in _escaped(texts).split("\0")]


def _literal(value: Any) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return "1" if value else "0"
        case str():
            return f"'{_escaped(value)}'".replace("\0", "\\0")
    return str(value)


def _escaped(text: str) -> str:
    if "\\" in text:
        text = text.replace("\\", "\\\\")
    return text.replace("'", "\\'") if "'" in text else text
