"""Databases for the tests of the database sink: an SQLite file, or a PostgreSQL of the test run."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections

ALIAS = "rows"


@contextmanager
def database_at(entry: dict[str, Any]) -> Iterator[str]:
    """The alias of a database that is like an entry of DATABASES, until the block ends."""
    connections.settings[ALIAS] = connections.configure_settings({"default": {}, ALIAS: entry})[ALIAS]
    try:
        yield ALIAS
    finally:
        connections[ALIAS].close()
        del connections[ALIAS], connections.settings[ALIAS]
