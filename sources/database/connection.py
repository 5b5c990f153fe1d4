"""A connection to the database that a source reads, and what the database's errors mean."""

import re
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from django.db import DatabaseError, DataError, Error, InterfaceError, InternalError, OperationalError
from django.db.utils import ConnectionHandler

from events.shortening import shortened
from sources.database.config import ENGINES, DatabaseTarget
from sources.database.horizon import Look
from sources.database.values import Converter
from worker.errors import Fatal, Retriable

Column = Any
"""A column of a result as the driver describes it: its name first, its type second."""

INEXACT = "is a floating-point number, which may be another one once it was read as a text"

_CONNECT_SECONDS = 5
_MAX_REASON = 500
_ALIAS = "source"

# PostgreSQL's SQLSTATE, or MariaDB's number of the error.
_MISSING_TABLE = ("42P01", 1146)
_MISSING_COLUMN = ("42703", 1054)
_FORBIDDEN = ("42501", 1044, 1142, 1143, 1227, 1370)
_REFUSED = ("28000", "28P01", "3D000", 1045, 1049, 1698)

# PostgreSQL's driver gives no SQLSTATE for a connection that is refused.
_REFUSED_WORDS = re.compile(
    "password authentication failed|no pg_hba.conf entry|fe_sendauth|FATAL: +(role|database) .* does not exist"
)


class MissingColumn(Fatal):
    """The table has no such column any longer."""


class Forbidden(Retriable):
    """The user may not do this, until an administrator allows it."""


class Result(NamedTuple):
    """What a query gives."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]


class Database(ABC):
    """One connection, which the thread that has made it uses; it is opened by the first query.

    All methods raise Retriable when the database is away or busy, and Fatal when it can't do what it is asked.
    reads_zones: whether the driver gives a time zone with the times that have one.
    """

    reads_zones: ClassVar[bool]

    def __init__(self, target: DatabaseTarget, entry: dict[str, Any]) -> None:
        self._seconds = target.statement_seconds
        self._schema = target.schema
        self._cursor: Any = None
        options = {**self._options(), "connect_timeout": _CONNECT_SECONDS, **entry.get("OPTIONS", {})}
        changed = {"OPTIONS": options, "AUTOCOMMIT": True, "TIME_ZONE": "UTC", "CONN_MAX_AGE": None}
        self.connection: Any = ConnectionHandler({"default": {}, _ALIAS: {**entry, **changed}})[_ALIAS]

    def query(self, sql: str, values: Sequence[Any] = ()) -> Result:
        """The result of a query."""
        try:
            self._ensure_open()
            cursor = self._cursor
            with self.connection.wrap_database_errors:
                cursor.execute(sql, list(values))
                rows = cursor.fetchall() if cursor.description else ()
                return Result(cursor.description or (), rows)
        except DataError as error:
            if not self._can_read_odd_values():
                raise self._meaning(error) from error
            return self.query(sql, values)
        except Error as error:
            raise self._meaning(error) from error

    def introspect(self, what: str, *of: str) -> Any:
        """What a method of Django's introspection tells."""
        try:
            self._ensure_open()
            with self.connection.cursor() as cursor:
                return getattr(self.connection.introspection, what)(cursor, *of)
        except Error as error:
            raise self._meaning(error) from error

    def version(self) -> str:
        """The server's version."""
        self.query("SELECT 1")
        return ".".join(map(str, self.connection.get_database_version()))

    def quoted(self, name: str) -> str:
        """A name as SQL writes it."""
        return str(self.connection.ops.quote_name(name))

    def close(self) -> None:
        """The connection is closed; the next query would open it anew."""
        try:
            self.connection.close()
        except Error:
            self.connection.connection = None

    @property
    def name(self) -> str:
        """Its name for people, without user and password."""
        return name_of(self.connection.settings_dict)

    @abstractmethod
    def blind_because(self) -> str:
        """Why the server does not tell all transactions that may write; empty when it does."""

    @abstractmethod
    def look(self) -> Look | None:
        """The transactions that are alive, without the own one; None when the server can't tell just now."""

    @abstractmethod
    def begin_snapshot(self) -> None:
        """All that is read until `end_snapshot` is of one moment."""

    def end_snapshot(self) -> None:
        """The next statement sees what is committed by then. A connection that was lost has no snapshot."""
        if self.connection.connection is not None:
            self.query("ROLLBACK")

    @abstractmethod
    def now(self) -> datetime:
        """The server's time, with its time zone."""

    @abstractmethod
    def drawn_outside(self, table: str, column: str) -> str:
        """Why numbers of a column may be drawn outside the transaction that inserts them; empty when they are not."""

    def partial_indexes(self, table: str) -> Collection[str]:
        """The indexes of a table that do not hold all of its rows, so that a unique one says nothing of the others."""
        return ()

    @abstractmethod
    def not_comparable(self, column: Any) -> str:
        """Why rows can't be read behind a value of a column; empty where they can.

        column: as the introspection describes it.
        """

    @abstractmethod
    def converters(self, columns: Sequence[Column], table: str | None) -> Sequence[Converter | None]:
        """What makes a value of JSON of each column's; None where it is one already."""

    @abstractmethod
    def time_has_zone(self, column: Column) -> bool | None:
        """Whether a column's times have a time zone; None for a column that has no date with time."""

    @abstractmethod
    def is_whole(self, column: Column) -> bool:
        """Whether a column holds whole numbers."""

    def _options(self) -> dict[str, Any]:
        """The driver's options, which the entry of DATABASES may give otherwise."""
        return {}

    @abstractmethod
    def _session(self) -> Iterable[str]:
        """The statements of a new connection, so that what the entry of DATABASES says for others does not matter."""

    def _can_read_odd_values(self) -> bool:
        """Has values that the driver can't read be read as texts from now on. Returns whether that is new."""
        return False

    def _ensure_open(self) -> None:
        if self.connection.connection is None:
            self.connection.ensure_connection()
            self._cursor = self._make_cursor()
            with self.connection.wrap_database_errors:
                for statement in self._session():
                    self._cursor.execute(statement)

    def _make_cursor(self) -> Any:
        """The driver's own cursor, for all queries of a connection: it reads values in fewer steps than Django's."""
        return self.connection.connection.cursor()

    def _meaning(self, error: Error) -> Exception:
        text = f"{self.name}: {shortened(' '.join(str(error).split()), _MAX_REASON)}"
        cause = error.__cause__
        is_numbered = cause is not None and cause.args and isinstance(cause.args[0], int)
        code: Any = cause.args[0] if cause and is_numbered else getattr(cause, "sqlstate", None)
        self.close()
        if code in _MISSING_TABLE:
            return Retriable(text, reason="missing table")
        if code in _MISSING_COLUMN:
            return MissingColumn(text)
        if code in _REFUSED or _REFUSED_WORDS.search(text):
            return Fatal(text)
        if code in _FORBIDDEN:
            return Forbidden(text, reason="forbidden")
        if isinstance(error, OperationalError | InterfaceError | InternalError) or not isinstance(error, DatabaseError):
            return Retriable(text, reason="database")
        return Fatal(text)


def database_of(target: DatabaseTarget) -> Database:
    """The database of a source; connects to nothing. A driver is imported where it is needed."""
    entry = target.entry()
    if ENGINES[entry["ENGINE"]] == "PostgreSQL":
        from sources.database.postgres import Postgres

        return Postgres(target, entry)
    from sources.database.mariadb import Mariadb

    return Mariadb(target, entry)


def name_of(entry: dict[str, Any]) -> str:
    """The name of an entry of DATABASES for people: with its address, without user and password."""
    vendor = ENGINES[entry["ENGINE"]]
    if not entry.get("HOST"):
        return f"{vendor} ({entry['NAME']})"
    return f"{vendor} ({entry['HOST']}:{entry.get('PORT') or 'default port'}/{entry['NAME']})"
