"""The database source against a plain loop that reads the same rows, and produces them in transactions of that size."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from django.test import override_settings

from bench.records import make_topic
from bench.report import Figure, Report
from devstack.stack import Stack
from sources import registry
from sources.build import build_source
from sources.positions import POSITIONS_CONFIG
from sources.transactions import PRODUCER_DEFAULTS, PRODUCER_REQUIRED
from tests.databases import running_mariadb
from tests.on_postgres import running_postgres
from tests.sources.tables import TestDatabase

_TURNS = 3
_SECONDS = 120
_READ_ROWS = 1_000
_TRANSACTION_ROWS = 10_000


def run(stack: Stack, report: Report, scale: float) -> None:
    """Rows of five columns, in the mode incrementing. The best of several turns counts."""
    count = max(int(200_000 * scale) // _TRANSACTION_ROWS, 1) * _TRANSACTION_ROWS
    for running in (running_postgres, running_mariadb):
        with running() as server:
            database = TestDatabase(server)
            _make_rows(database, count)
            plain = source = 0.0
            for _ in range(_TURNS):
                plain = max(plain, count / _plain_loop(stack, database))
                source = max(source, count / _source(stack, database, count))
            report.add(Figure(f"source of rows, {server.title}", source, "rows/s", "plain loop", plain))


def _make_rows(database: TestDatabase, count: int) -> None:
    database.run(
        f"CREATE TABLE goods (seq {database.number} PRIMARY KEY, name text, amount int, price decimal(10, 2), "
        f"sold {database.time} NOT NULL DEFAULT CURRENT_TIMESTAMP)"
    )
    numbers = f"generate_series(1, {count})" if database.is_postgres else f"seq_1_to_{count}"
    database.run(f"INSERT INTO goods (name, amount, price) SELECT 'an article of the shop', 5, 12.50 FROM {numbers}")


def _plain_loop(stack: Stack, database: TestDatabase) -> float:
    topic = make_topic(stack)
    own = {"bootstrap.servers": stack.bootstrap_servers, "transactional.id": f"bench-{time.monotonic_ns()}"}
    producer = Producer({**PRODUCER_DEFAULTS, **PRODUCER_REQUIRED, **own})
    producer.init_transactions(60)
    connection = database.connect()
    begin = time.perf_counter()
    last = count = 0
    producer.begin_transaction()
    while rows := _rows_behind(connection, last):
        for row in rows:
            producer.produce(topic, json.dumps(row, default=str).encode())
        last, count = rows[-1]["seq"], count + len(rows)
        if count % _TRANSACTION_ROWS == 0:
            producer.commit_transaction(60)
            producer.begin_transaction()
    producer.commit_transaction(60)
    connection.close()
    return time.perf_counter() - begin


def _rows_behind(connection: Any, last: int) -> Sequence[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM goods WHERE seq > %s ORDER BY seq LIMIT {_READ_ROWS}", (last,))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _source(stack: Stack, database: TestDatabase, count: int) -> float:
    """Seconds from the first transaction until all rows are committed."""
    topic = make_topic(stack)
    positions = f"bench-positions-{time.monotonic_ns()}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.create_topics([NewTopic(positions, 1, 1, config=POSITIONS_CONFIG)]).values():
        future.result()
    entry = {
        "kind": "database",
        "target": {
            "database": database.url(),
            "mode": "incrementing",
            "incrementing_column": "seq",
            "tables": ["goods"],
            "topic": topic,
        },
        "positions_topic": positions,
        "positions_partitions": 1,
        "options": {
            "batch_records": _READ_ROWS,
            "transaction_records": _TRANSACTION_ROWS,
            "transaction_seconds": 60,
        },
    }
    with override_settings(KAFKA={"default": {"bootstrap.servers": stack.bootstrap_servers}}):
        source = build_source(registry.source_of(positions, entry))
    stop = threading.Event()
    (task,) = source.tasks
    thread = threading.Thread(target=task.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + _SECONDS
    first = None
    try:
        while task.status.records < count:
            if first is None and task.status.records:
                first = time.perf_counter(), task.status.records
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the source did not read its rows")
            time.sleep(0.002)
        assert first
        # Joining the group takes seconds, and is no part of the reading.
        begun_at, begun = first
        return (time.perf_counter() - begun_at) * count / (count - begun)
    finally:
        stop.set()
        thread.join()
