"""Transactions of a sink in its database, and what the database's errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connections,
)
from django.db.transaction import atomic

from events.shortening import shortened
from worker.errors import Fatal, Retriable

Connection = Any
"""A connection of Django's."""

VENDORS = {"postgresql": "PostgreSQL", "sqlite": "SQLite"}

_MAX_REASON = 500

# Two rows of a statement with one key, a view's check, a limit such as an index's for the size of a value, and what a
# trigger raises: https://www.postgresql.org/docs/current/errcodes-appendix.html
_OF_ROWS = ("21000", "44000", "54", "P0")

# An owner whose machine stopped in mid-transaction holds the partition's row until the database ends its session; who
# waits for that row asks again. Constraints that are deferred until the COMMIT would not tell which row they refuse.
_BEGIN = {
    "postgresql": "SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '20s'; "
    "SET CONSTRAINTS ALL IMMEDIATE",
}


@contextmanager
def transaction(alias: str) -> Iterator[Connection]:
    """All or nothing. Raises Retriable when the database is away or busy, Fatal when it can't do what it is asked.

    DataError and IntegrityError are the caller's: they concern a row.
    """
    connection = connections[alias]
    try:
        with atomic(using=alias, durable=True):
            if connection.vendor in _BEGIN:
                with connection.cursor() as cursor:
                    cursor.execute(_BEGIN[connection.vendor])
            yield connection
    except (OperationalError, InterfaceError, InternalError) as error:
        connection.close()
        raise Retriable(f"{name_of(alias)}: {words_of(error)}", reason="database") from error
    except DatabaseError as error:
        raise Fatal(f"{name_of(alias)}: {words_of(error)}") from error


def is_of_row(error: Exception) -> bool:
    """Whether a row was refused for what it holds."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, DataError | IntegrityError | OverflowError) or state.startswith(_OF_ROWS)


def words_of(error: Exception) -> str:
    """The database's own words, without the statement that it quotes in further lines."""
    return shortened(" ".join(str(error).splitlines()[:2]), _MAX_REASON)


def name_of(alias: str) -> str:
    """A database's name for people, with its address and without its password."""
    connection = connections[alias]
    found = connection.settings_dict
    vendor = VENDORS.get(connection.vendor, connection.vendor)
    if not found["HOST"]:
        return f"{vendor} ({found['NAME']})"
    return f"{vendor} ({found['HOST']}:{found['PORT'] or 'default port'}/{found['NAME']})"


def version_of(alias: str) -> str:
    """The server's version. Raises Retriable and Fatal."""
    with transaction(alias) as connection:
        return ".".join(map(str, connection.get_database_version()))


def select(connection: Connection, sql: str, values: Any = ()) -> list[Any]:
    """The rows of a query. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def change(connection: Connection, sql: str, values: Any = ()) -> int:
    """How many rows a statement has changed. Raises DatabaseError."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)
