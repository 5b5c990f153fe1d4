"""The database sink against plain COPY and plain INSERTs of many rows, of the same rows, built beforehand."""

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.test import override_settings

from bench.drain import drain
from bench.records import PARTITIONS, event, make_topic
from bench.report import Figure, Report
from devstack.stack import Stack
from settings.env import _database
from sinks import registry
from sinks.database.connection import select, transaction
from sinks.registry import kind_of
from tests.databases import ALIAS, database_at, running_mariadb
from tests.on_postgres import running_postgres

TASKS = 3
ROWS = 1_000
"""Rows of a statement; the yardsticks commit as often as the sink, which stores several batches in a transaction."""
_OF_A_TRANSACTION = 10
_TURNS = 3
_COLUMNS = ("kafka_topic", "kafka_partition", "kafka_offset", "timestamp", "userAgent", "colorName", "userName")

Rows = Sequence[Sequence[Any]]
Way = Callable[[Any, str, Rows], None]


def run(stack: Stack, report: Report, scale: float) -> None:
    """Each in turn, several times, and the best of each counts."""
    count = max(int(150_000 * scale), PARTITIONS * ROWS)
    for server, ways in (
        (running_postgres, {"plain COPY": _copy, "plain INSERT of many rows": _insert}),
        (running_mariadb, {"plain INSERT of many rows": _insert}),
    ):
        with server() as running, database_at(_database("bench", running.address)):
            best: dict[str, float] = {}
            detail = ""
            for _ in range(_TURNS):
                for name, way in ways.items():
                    best[name] = max(best.get(name, 0.0), _plain(stack, way, count))
                drained = _drained(stack, running.address, count)
                if drained.rate > best.get("sink", 0.0):
                    best["sink"], detail = drained.rate, drained.detail
            for name in ways:
                report.add(Figure(f"{running.title}: {name}", best[name], "rows/s"))
                report.add(Figure(f"{running.title}: sink", best["sink"], "rows/s", name, best[name], detail))


@contextmanager
def _table(stack: Stack) -> Iterator[tuple[str, dict[str, Any]]]:
    """A topic and the sink's entry for it; its table, of the same name, is there."""
    topic = make_topic(stack)
    table = topic.replace("-", "_")
    entry = {
        "kind": "database",
        "topics": [topic],
        "tasks": TASKS,
        "target": {"database": ALIAS, "table": table},
        "options": {"flush_records": ROWS, "flush_seconds": 1},
    }
    with override_settings(SINKS={"bench": entry}):
        registry.sinks.cache_clear()
        [sink] = registry.sinks().values()
        list(kind_of(sink).prepare(sink))
    yield table, entry
    with transaction(ALIAS) as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {table}")


def _drained(stack: Stack, address: str, count: int) -> Any:
    with _table(stack) as (table, entry):
        [topic] = entry["topics"]
        drained = drain(stack, "run_sink", topic, count, entry, {"DATABASES": json.dumps({ALIAS: address})})
        with transaction(ALIAS) as connection:
            [(stored,)] = select(connection, f"SELECT count(*) FROM {table}")
        if stored != count:
            raise RuntimeError(f"{stored} of {count} rows are in the table")
        return drained


def _plain(stack: Stack, way: Way, count: int) -> float:
    """Rows/s of a way to store the same rows, built beforehand, by the same number of connections."""
    with _table(stack) as (table, _):
        parts = [_rows(number, count // PARTITIONS) for number in range(TASKS)]

        def store(rows: Rows) -> None:
            connection = connections[ALIAS]
            connection.ensure_connection()
            connection.set_autocommit(False)
            try:
                for begin in range(0, len(rows), ROWS):
                    way(connection.connection, table, rows[begin : begin + ROWS])
                    if begin // ROWS % _OF_A_TRANSACTION == _OF_A_TRANSACTION - 1:
                        connection.commit()
                connection.commit()
            finally:
                connection.close()

        with ThreadPoolExecutor(TASKS) as pool:
            begin = time.perf_counter()
            for future in [pool.submit(store, rows) for rows in parts]:
                future.result()
            return sum(map(len, parts)) / (time.perf_counter() - begin)


def _rows(partition: int, count: int) -> Rows:
    topic = f"plain-{uuid.uuid4().hex[:8]}"
    rows = []
    for offset in range(count):
        fields = json.loads(event(offset * PARTITIONS + partition))
        moment = fields["timestamp"].replace("T10:", " 01:")[:23]
        rows.append((topic, partition, offset, moment, fields["userAgent"], fields["colorName"], fields["userName"]))
    return rows


def _copy(connection: Any, table: str, rows: Rows) -> None:
    names = ", ".join(f'"{name}"' for name in _COLUMNS)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _insert(connection: Any, table: str, rows: Rows) -> None:
    quote = connections[ALIAS].ops.quote_name
    places = f"({', '.join(['%s'] * len(_COLUMNS))})"
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(map(quote, _COLUMNS))}) VALUES {', '.join([places] * len(rows))}",
            [value for row in rows for value in row],
        )
