"""Databases for the tests of sinks and sources: an SQLite file, a PostgreSQL or a MariaDB of the test run."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.db import connections

from devstack.config import PROJECT, StackConfig
from devstack.mariadb import fetch_mariadb, mariadb_server
from devstack.ports import choose_free
from devstack.server import Server

ALIAS = "rows"
NO_TLS = "?ssl_disabled=true"
"""Of an address of MariaDB. With TLS the driver reads the system's certificates for each connection: 40 ms of CPU."""


@contextmanager
def database_at(entry: dict[str, Any]) -> Iterator[str]:
    """The alias of a database that is like an entry of DATABASES, until the block ends."""
    connections.settings[ALIAS] = connections.configure_settings({"default": {}, ALIAS: entry})[ALIAS]
    try:
        yield ALIAS
    finally:
        connections[ALIAS].close()
        del connections[ALIAS], connections.settings[ALIAS]


@contextmanager
def running_mariadb() -> Iterator[Server]:
    """A server with an empty database at its address; its user may do everything."""
    data = Path(tempfile.mkdtemp(prefix="mariadb-"))
    config = StackConfig(home=PROJECT / ".devstack", data=data, logs=data)
    fetch_mariadb(config.home)
    server = mariadb_server(config, choose_free(set()))
    server.address += NO_TLS
    server.start()
    try:
        server.wait_ready()
        yield server
    finally:
        server.kill()
        shutil.rmtree(data, ignore_errors=True)
