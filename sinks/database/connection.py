"""Transactions of a sink in its database, and what the database's errors mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, InterfaceError, InternalError, OperationalError, connections
from django.db.transaction import atomic

from events.shortening import shortened
from sinks.database.dialects import dialect_of
from sinks.database.dialects.base import Connection
from worker.errors import Fatal, Retriable

_MAX_REASON = 500
_MAY_HEAL = (OperationalError, InterfaceError, InternalError)


@contextmanager
def transaction(alias: str) -> Iterator[Connection]:
    """All or nothing. Raises Retriable when the database is away or busy, Fatal when it can't do what it is asked.

    DataError and IntegrityError are the caller's: they concern a row.
    """
    connection = connections[alias]
    dialect = dialect_of(connection)
    try:
        with atomic(using=alias, durable=True):
            if dialect.begin:
                with connection.cursor() as cursor:
                    cursor.execute(dialect.begin)
            yield connection
    except (DatabaseError, InterfaceError) as error:
        what = f"{name_of(alias)}: {words_of(connection, error)}"
        if isinstance(error, _MAY_HEAL) and not dialect.is_lasting(error):
            connection.close()
            raise Retriable(what, reason="database") from error
        raise Fatal(what) from error


def words_of(connection: Connection, error: Exception) -> str:
    """The database's own words, without the statement that it quotes in further lines."""
    return shortened(" ".join(dialect_of(connection).words(error).splitlines()[:2]), _MAX_REASON)


def name_of(alias: str) -> str:
    """A database's name for people, with its address and without its password."""
    connection = connections[alias]
    found = connection.settings_dict
    vendor = dialect_of(connection).title
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
