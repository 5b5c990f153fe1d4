"""Real databases for the tests of the database source, read without Kafka."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pymysql

from devstack.server import Server
from sources.config import SourceConfig
from sources.reader import PartReader, Position
from sources.registry import KINDS, source_of
from tests.databases import NO_TLS


class TestDatabase:
    """A server, with what its SQL says in its own way. number: the type of a column whose numbers grow."""

    __test__ = False

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = server.ports[0].number
        self.is_postgres = server.name == "postgres"
        self.number = "bigserial" if self.is_postgres else "bigint AUTO_INCREMENT"
        self.time = "timestamptz(6)" if self.is_postgres else "timestamp(6)"

    def connect(self, **options: Any) -> Any:
        """A connection in autocommit mode."""
        if self.is_postgres:
            options = {"user": "devstack", **options}
            return psycopg.connect(host="127.0.0.1", port=self.port, dbname="postgres", autocommit=True, **options)
        options = {"user": "devstack", **options}
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            database="devstack",
            autocommit=True,
            init_command="SET time_zone='+00:00'",
            ssl_disabled=True,
            **options,
        )

    def run(self, *statements: str) -> list[Any]:
        """Runs statements; the rows of the last one."""
        connection = self.connect()
        try:
            return run(connection, *statements)
        finally:
            connection.close()

    def url(self, user: str = "devstack", name: str = "", port: int = 0) -> str:
        """Its address with a user."""
        scheme, default, options = ("postgres", "postgres", "") if self.is_postgres else ("mysql", "devstack", NO_TLS)
        return f"{scheme}://{user}@127.0.0.1:{port or self.port}/{name or default}{options}"

    def source(self, *, options: Any = None, **target: Any) -> SourceConfig:
        """A source of it, as SOURCES describes it."""
        target = {"database": self.url(), "topic": "t-{table}", **target}
        return source_of("under-test", {"kind": "database", "target": target, "options": options or {}})


def run(connection: Any, *statements: str) -> list[Any]:
    """Runs statements on a connection; the rows of the last one."""
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


class Reading:
    """Reads a part as the core does, with positions that went through JSON. sent: the records' values so far."""

    def __init__(self, source: SourceConfig, part: str = "goods") -> None:
        self._source = source
        self._part = part
        self.position: Position | None = None
        self.sent: list[Any] = []
        self.keys: list[Any] = []
        self._reader: PartReader | None = None

    def read(self) -> list[Any]:
        """Reads until there is nothing more; returns what is new."""
        before = len(self.sent)
        while self.read_chunk():
            pass
        return self.sent[before:]

    def read_chunk(self) -> bool:
        """Reads once; returns whether there may be more at once."""
        if self._reader is None:
            self._reader = KINDS["database"].reader(self._source, self._part)
            self._reader.open(self.position)
        chunk = self._reader.read()
        if chunk is None:
            return False
        self.sent += [json.loads(record.value or b"") for record in chunk.records]
        self.keys += [record.key for record in chunk.records]
        self.position = json.loads(json.dumps(chunk.position))
        return chunk.more

    def close(self) -> None:
        """As after a failure: the next read opens a reader at the last position."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None


@contextmanager
def reading(source: SourceConfig, part: str = "goods") -> Iterator[Reading]:
    """Closes its connection at the end."""
    found = Reading(source, part)
    try:
        yield found
    finally:
        found.close()
