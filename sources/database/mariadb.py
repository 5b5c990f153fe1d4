"""What a reader asks MariaDB besides rows, and MariaDB's own types."""

import random
import re
import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions

from sources.database.connection import INEXACT, Column, Database, Forbidden
from sources.database.horizon import Look
from sources.database.values import Converter, raw

# A number is drawn just before its transaction begins for InnoDB, so statements that run are looked at as well. The
# threads of a replica never sleep; their rows have numbers of another server.
_STATEMENTS = """
SELECT ID, QUERY_ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID()
  AND COMMAND NOT IN ('Sleep', 'Daemon', 'Binlog Dump', 'Slave_IO', 'Slave_SQL', 'Slave_worker')
"""

_TRANSACTIONS = """
SELECT /* {mark} */ trx_mysql_thread_id, CAST(trx_started AS CHAR), trx_query, trx_mysql_thread_id = CONNECTION_ID()
FROM information_schema.INNODB_TRX
"""

pymysql.install_as_MySQLdb()  # the name of the driver that Django asks for

_GRACE_SECONDS = 5
"""The server ends a statement that takes too long; when the server itself hangs, the driver gives up so much later."""

_LOOKS = 6
_CACHED_SECONDS = 0.11

_JSON_COLUMN = re.compile(r"json_valid\(`((?:[^`]|``)+)`\)")

_DEFAULT = """
SELECT COLUMN_DEFAULT FROM information_schema.COLUMNS
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = %s AND COLUMN_NAME = %s
"""

_WHOLE = {FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG}
_TIMES = {FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.DATETIME}


class Mariadb(Database):
    """By PyMySQL."""

    reads_zones = False

    def blind_because(self) -> str:
        """Another server's transactions can't be seen here."""
        if not self.connection.mysql_is_mariadb:
            return "MySQL does not tell enough of the statements that run"
        names = ("wsrep_on", "auto_increment_increment")
        rows = self.query("SHOW GLOBAL VARIABLES WHERE Variable_name IN (%s, %s)", names).rows
        if any(str(value) not in ("OFF", "0", "1") for _, value in rows):
            return "several servers draw numbers (wsrep_on, or auto_increment_increment above 1)"
        try:
            self.query("SELECT 1 FROM information_schema.INNODB_TRX LIMIT 1")
        except Forbidden:
            return "the user may not see the transactions of others: grant it PROCESS"
        return ""

    def look(self) -> Look | None:
        """First the statements, then the transactions: a statement that has ended in between is a transaction there."""
        statements = self.query(_STATEMENTS).rows
        # The list of transactions is a cache that InnoDB fills anew only if nobody has read it for 100 ms. It is new if
        # it shows this very query; an own transaction makes the list show it.
        self.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        try:
            for number in range(_LOOKS):
                mark = uuid.uuid4().hex
                found = self.query(_TRANSACTIONS.format(mark=mark)).rows
                if any(mark in (text or "") for _, _, text, _ in found):
                    return look_of(statements, [(thread, began) for thread, began, _, is_own in found if not is_own])
                time.sleep(_CACHED_SECONDS * (1 + number * random.random()))
            return None
        finally:
            self.end_snapshot()

    def begin_snapshot(self) -> None:
        """The snapshot is taken at once."""
        self.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        self.query("START TRANSACTION WITH CONSISTENT SNAPSHOT")

    def now(self) -> datetime:
        """Of the statement's beginning, which is earlier than anything that is read afterwards."""
        [[found]] = self.query("SELECT UTC_TIMESTAMP(6)").rows
        assert isinstance(found, datetime)
        return found.replace(tzinfo=UTC)

    def drawn_outside(self, table: str, column: str) -> str:
        """NEXTVAL begins no transaction of InnoDB."""
        rows = self.query(_DEFAULT, (table, column)).rows
        if any("nextval(" in str(default).lower() for [default] in rows):
            return "it is drawn from a sequence, and MariaDB does not tell that a transaction has drawn from one"
        return ""

    def not_comparable(self, column: Any) -> str:
        """An ENUM is sorted by the places of its values, and compared with a text as a text."""
        if column.data_type in ("enum", "set"):
            return "is an ENUM or SET, whose order is not that of its texts"
        return INEXACT if column.data_type in ("float", "double") else ""

    def converters(self, columns: Sequence[Column], table: str | None) -> Sequence[Converter | None]:
        """A column of type JSON is a LONGTEXT with a constraint. Who may read the table may see how it was made."""
        rows = self.query(f"SHOW CREATE TABLE {self.quoted(table)}").rows if table else ()
        are_json = {name for row in rows for name in _JSON_COLUMN.findall(str(row[1]))}
        return [raw if column[0] in are_json else _converter(column) for column in columns]

    def time_has_zone(self, column: Column) -> bool | None:
        """TIMESTAMP, which this session reads in UTC, or DATETIME."""
        return {FIELD_TYPE.TIMESTAMP: True, FIELD_TYPE.DATETIME: False}.get(column[1])

    def is_whole(self, column: Column) -> bool:
        """TINYINT to BIGINT."""
        return column[1] in _WHOLE

    def _options(self) -> dict[str, Any]:
        """A TIME stays a text: Django would read it as the time of a day, but it may be negative, or longer."""
        seconds = self._seconds + _GRACE_SECONDS
        read = {kind: convert for kind, convert in conversions.items() if kind != FIELD_TYPE.TIME}
        return {"read_timeout": seconds, "write_timeout": seconds, "conv": read}

    def _session(self) -> Iterator[str]:
        yield "SET SESSION time_zone = '+00:00'"
        yield "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"
        if self.connection.mysql_is_mariadb:
            yield f"SET SESSION max_statement_time = {self._seconds}"


def look_of(statements: Sequence[Sequence[Any]], transactions: Sequence[tuple[Any, Any]]) -> Look:
    """A connection has at most one transaction, and its beginning does not change.

    A statement may have become its connection's transaction; a transaction that was prepared (XA) lives on without its
    connection.
    """
    alive = {f"transaction of {thread} since {began}" for thread, began in transactions}
    of_threads = {str(thread): f"transaction of {thread} since {began}" for thread, began in transactions}

    def heirs(name: str) -> list[str]:
        what, _, thread, _, began = name.split(" ", 4)
        found = of_threads.get(thread) if what == "statement" else f"transaction of 0 since {began}"
        return [found] if found in alive else []

    return Look(alive | {f"statement of {thread} number {query}" for thread, query in statements}, heirs)


def _converter(column: Column) -> Converter | None:
    kind, length = column[1], column[3]
    if kind == FIELD_TYPE.TINY and length == 1:
        return _boolean
    if kind == FIELD_TYPE.BIT:
        return _bit if length == 1 else _bits
    if kind == FIELD_TYPE.TIMESTAMP:
        return _utc
    if kind in _TIMES:
        return _date
    return None


def _boolean(value: int) -> bool | int:
    return bool(value) if value in (0, 1) else value


def _bit(value: bytes) -> bool:
    return value != b"\0"


def _bits(value: bytes) -> int:
    return int.from_bytes(value)


def _date(value: Any) -> Any:
    """The driver gives a date that is none as its text."""
    return None if isinstance(value, str) and value.startswith("0000-00-00") else value


def _utc(value: Any) -> Any:
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else _date(value)
