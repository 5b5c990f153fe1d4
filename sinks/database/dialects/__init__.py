"""The databases that sinks store in."""

from collections.abc import Mapping

from sinks.database.dialects.base import Connection, Dialect
from sinks.database.dialects.mariadb import MariaDB
from sinks.database.dialects.postgresql import PostgreSQL
from sinks.database.dialects.sqlite import SQLite

DIALECTS: Mapping[str, Dialect] = {"postgresql": PostgreSQL(), "mysql": MariaDB(), "sqlite": SQLite()}
"""By the vendor that Django names."""


def dialect_of(connection: Connection) -> Dialect:
    """That of a connection."""
    return DIALECTS[connection.vendor]
