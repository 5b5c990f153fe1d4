"""What a reader asks PostgreSQL besides rows, and PostgreSQL's own types."""

from collections.abc import Collection, Iterator, Sequence, Set
from datetime import datetime
from typing import Any

from psycopg import DataError
from psycopg.postgres import types
from psycopg.types.datetime import DateLoader, TimeLoader, TimestampLoader, TimestamptzLoader, TimetzLoader
from psycopg.types.string import TextLoader

from sources.database.connection import INEXACT, Column, Database
from sources.database.horizon import Look
from sources.database.values import Converter, finite, finite_decimal, raw, within

# Each transaction holds a lock on its own virtual id from before its first statement until its rows can be seen. All
# users may see these locks. Those of other databases do not matter, nor does autovacuum, which inserts nothing.
_RUNNING = """
SELECT l.virtualxid FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
  AND (a.datid IS NULL
    OR (a.datname = pg_catalog.current_database() AND a.backend_type IS DISTINCT FROM 'autovacuum worker'))
"""

_PREPARED = """
SELECT 'prepared ' || transaction FROM pg_catalog.pg_prepared_xacts WHERE database = pg_catalog.current_database()
"""

# The sequences that belong to a column, and those of its default.
_SEQUENCES = """
SELECT s.seqcache, s.seqincrement, s.seqcycle FROM pg_catalog.pg_sequence s WHERE s.seqrelid IN (
  SELECT p.objid FROM pg_catalog.pg_depend p JOIN pg_catalog.pg_attribute a
    ON a.attrelid = p.refobjid AND a.attnum = p.refobjsubid
  WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
    AND p.refobjid = %s::regclass AND a.attname = %s
  UNION
  SELECT p.refobjid FROM pg_catalog.pg_attrdef d
    JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
    JOIN pg_catalog.pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
  WHERE p.refclassid = 'pg_class'::regclass AND d.adrelid = %s::regclass AND a.attname = %s)
"""

_PARTIAL = """
SELECT c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = %s::regclass AND (i.indpred IS NOT NULL OR NOT i.indisvalid)
"""

_TEXTS = ("json", "interval", "money", "int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange")
_MULTIRANGES = tuple(name.replace("range", "multirange") for name in _TEXTS if name.endswith("range"))


def _oids(*names: str) -> frozenset[int]:
    return frozenset(types[name].oid for name in names)


def _array_oids(*names: str) -> frozenset[int]:
    return frozenset(types[name].array_oid for name in names)


_FLOATS, _FLOAT_ARRAYS = _oids("float4", "float8"), _array_oids("float4", "float8")
_DECIMALS, _DECIMAL_ARRAYS = _oids("numeric"), _array_oids("numeric")
_JSON, _JSON_ARRAYS = _oids("json", "jsonb"), _array_oids("json", "jsonb")
_WHOLE = _oids("int2", "int4", "int8")
_WITH_ZONE, _WITHOUT_ZONE = _oids("timestamptz"), _oids("timestamp")


class _OddTimestamp(TimestampLoader):
    def load(self, data: Any) -> Any:
        return _or_text(super().load, data)


class _OddTimestamptz(TimestamptzLoader):
    def load(self, data: Any) -> Any:
        return _or_text(super().load, data)


class _OddDate(DateLoader):
    def load(self, data: Any) -> Any:
        return _or_text(super().load, data)


class _OddTime(TimeLoader):
    def load(self, data: Any) -> Any:
        return _or_text(super().load, data)


class _OddTimetz(TimetzLoader):
    def load(self, data: Any) -> Any:
        return _or_text(super().load, data)


_ODD = {
    "timestamp": _OddTimestamp,
    "timestamptz": _OddTimestamptz,
    "date": _OddDate,
    "time": _OddTime,
    "timetz": _OddTimetz,
}


def _or_text(load: Converter, data: Any) -> Any:
    try:
        return load(data)
    except DataError:
        return bytes(data).decode()


class Postgres(Database):
    """By psycopg."""

    reads_zones = True

    def blind_because(self) -> str:
        """A standby does not have the transactions of the server that it follows."""
        [[is_standby]] = self.query("SELECT pg_catalog.pg_is_in_recovery()").rows
        return "the server is a standby, which does not know the transactions of its primary" if is_standby else ""

    def look(self) -> Look | None:
        """First the running ones, then the prepared ones: one that is prepared in between is seen twice, not missed."""
        running = {str(name) for [name] in self.query(_RUNNING).rows}
        prepared = {str(name) for [name] in self.query(_PREPARED).rows}
        return look_of(running, prepared)

    def begin_snapshot(self) -> None:
        """The first statement takes the snapshot."""
        self.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def now(self) -> datetime:
        """Not the time at which the statement began."""
        [[found]] = self.query("SELECT pg_catalog.clock_timestamp()").rows
        assert isinstance(found, datetime)
        return found

    def not_comparable(self, column: Any) -> str:
        """An ENUM is compared by its order."""
        return INEXACT if column.type_code in _FLOATS else ""

    def drawn_outside(self, table: str, column: str) -> str:
        """A session draws as many numbers at once as its sequence's CACHE says, and uses them later."""
        quoted = self.quoted(table)
        for cache, increment, cycles in self.query(_SEQUENCES, (quoted, column, quoted, column)).rows:
            if cache > 1:
                return f"its sequence has CACHE {cache}: a session draws so many numbers at once, and uses them later"
            if increment < 0 or cycles:
                return "its sequence does not only grow"
        return ""

    def partial_indexes(self, table: str) -> Collection[str]:
        """Also those that are not valid: CREATE UNIQUE INDEX CONCURRENTLY leaves one when it finds two equal rows."""
        return {str(name) for [name] in self.query(_PARTIAL, (self.quoted(table),)).rows}

    def converters(self, columns: Sequence[Column], table: str | None) -> Sequence[Converter | None]:
        """The driver gives most values as Python's."""
        return [_converter(column[1]) for column in columns]

    def time_has_zone(self, column: Column) -> bool | None:
        """timestamptz or timestamp."""
        return True if column[1] in _WITH_ZONE else False if column[1] in _WITHOUT_ZONE else None

    def is_whole(self, column: Column) -> bool:
        """smallint, integer, bigint."""
        return column[1] in _WHOLE

    def _options(self) -> dict[str, Any]:
        """A host that swallows packets must not hold a task for minutes."""
        return {
            "tcp_user_timeout": 10_000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
        }

    def _session(self) -> Iterator[str]:
        yield f"SET statement_timeout = {int(self._seconds * 1000)}"
        yield "SET intervalstyle = 'iso_8601'"
        yield "SET default_transaction_isolation = 'read committed'"
        if self._schema:
            yield f"SET search_path = {self.quoted(self._schema)}"

    def _make_cursor(self) -> Any:
        """Its types are its own, not those of Django."""
        cursor = super()._make_cursor()
        for name in (*_TEXTS, *_MULTIRANGES):
            cursor.adapters.register_loader(name, TextLoader)
        cursor.adapters.register_loader("timestamptz", TimestamptzLoader)  # Django's takes six times as long
        return cursor

    def _can_read_odd_values(self) -> bool:
        """`infinity` and 24:00 are no times in Python. Texts make all times slower, so that begins when needed."""
        adapters = self._cursor.adapters
        if adapters.get_loader(types["date"].oid, 0) is _OddDate:
            return False
        for name, loader in _ODD.items():
            adapters.register_loader(name, loader)
        return True


def look_of(running: Set[str], prepared: Set[str]) -> Look:
    """One that was running and has ended may be any of those that are prepared now."""
    return Look(running | prepared, lambda name: () if name.startswith("prepared ") else prepared)


def _converter(oid: int) -> Converter | None:
    if oid in _FLOATS:
        return finite
    if oid in _DECIMALS:
        return finite_decimal
    if oid in _JSON:
        return raw
    if oid in _FLOAT_ARRAYS:
        return within(finite)
    if oid in _DECIMAL_ARRAYS:
        return within(finite_decimal)
    if oid in _JSON_ARRAYS:
        return within(raw)
    return None
