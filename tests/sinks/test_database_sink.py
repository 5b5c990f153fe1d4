"""The database sink as an operator runs it, on PostgreSQL and on MariaDB: every record is one row, or one letter."""

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from devstack.server import Server
from devstack.stack import Stack
from settings.env import _database
from sinks import registry
from sinks.checks import check_sinks
from sinks.database.connection import change, select, transaction
from tests.databases import ALIAS, database_at
from tests.sinks.file_bench import Told
from tests.support import Process, event, produce, read_topic, wait_until

pytestmark = pytest.mark.integration

RunSink = Callable[..., Process]


class Bench:
    """A topic, and a table for its records."""

    def __init__(self, stack: Stack, topic: str, run_sink: RunSink, command: Callable[..., Told], address: str) -> None:
        self.stack = stack
        self.topic = topic
        self.table = topic.replace("-", "_")
        self._run_sink = run_sink
        self._command = command
        self._address = address
        self.produced = 0

    def entry(self, **target: Any) -> dict[str, Any]:
        return {
            "kind": "database",
            "topics": [self.topic],
            "group": f"g-{self.topic}",
            "target": {"database": ALIAS, "table": self.table, **target},
            "options": {"flush_records": 50, "flush_seconds": 0.2},
            "consumer": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300},
        }

    def produce(self, count: int) -> None:
        produce(self.stack, self.topic, [event(self.produced + number) for number in range(count)])
        self.produced += count

    def set_up(self) -> None:
        with override_settings(SINKS={"under-test": self.entry()}):
            registry.sinks.cache_clear()
            assert check_sinks() == []
            call_command("setup_pipeline")

    def start(self, **options: Any) -> Process:
        return self._run_sink(self.entry(), DATABASES=json.dumps({ALIAS: self._address}), **options)

    def command(self, name: str, *arguments: str) -> Told:
        return self._command(self.entry(), name, *arguments)

    @property
    def quote(self) -> Callable[[str], str]:
        found: Callable[[str], str] = connections[ALIAS].ops.quote_name
        return found

    def change(self, statement: str) -> None:
        with transaction(ALIAS) as connection:
            change(connection, statement)

    def count(self) -> int:
        with transaction(ALIAS) as connection:
            return int(select(connection, f"SELECT count(*) FROM {self.table}")[0][0])

    def wait_stored(self) -> None:
        wait_until(lambda: self.count() >= self.produced, seconds=90, what=f"{self.produced} rows")

    def check(self) -> None:
        """Each record is one row."""
        distinct = f"(SELECT DISTINCT kafka_partition, kafka_offset FROM {self.table}) AS places"
        with transaction(ALIAS) as connection:
            [(places,)] = select(connection, f"SELECT count(*) FROM {distinct}")
        assert (self.count(), places) == (self.produced, self.produced)
        verified = self.command("verify")
        assert (verified.code, verified.text.count("each is stored once")) == (0, 3), verified.text


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the two."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def bench(
    servers: Stack,
    topic: str,
    run_sink: RunSink,
    command: Callable[..., Told],
    server: Server,
    django_db_blocker: Any,
) -> Iterator[Bench]:
    with django_db_blocker.unblock(), database_at(_database("DATABASES", server.address)):
        bench = Bench(servers, topic, run_sink, command, server.address)
        bench.set_up()
        yield bench


def test_records_are_rows_that_verify_and_bad_ones_are_letters_with_the_databases_reason(bench: Bench) -> None:
    name = bench.quote("userName")
    bench.change(f"ALTER TABLE {bench.table} ADD CONSTRAINT no_eve CHECK ({name} <> 'Eve')")
    bench.produce(300)
    sink = bench.start()
    bench.wait_stored()
    bad = event(1, userName="Eve")
    produce(bench.stack, bench.topic, [b"no json", bad, event(999)], partition=1)
    bench.produced += 1
    bench.wait_stored()
    letters = {letter.value(): dict(letter.headers()) for letter in read_topic(bench.stack, f"{bench.topic}.dlq", 2)}
    assert b"no_eve" in letters[bad]["dlq.reason"]
    assert b"JSON is malformed" in letters[b"no json"]["dlq.reason"]
    assert sink.stop() == 0
    bench.check()
    assert "2 dead letters" in bench.command("verify").text
    with transaction(ALIAS) as connection:
        of_first = "WHERE kafka_partition = 0 AND kafka_offset = 0"
        [row] = select(connection, f"SELECT {name}, {bench.quote('timestamp')} FROM {bench.table} {of_first}")
    bench.change(f"DELETE FROM {bench.table} WHERE kafka_partition = 0 AND kafka_offset = 7")
    bench.change(f"UPDATE {bench.table} SET {name} = 'Bob' WHERE kafka_partition = 2 AND kafka_offset = 3")
    first = json.loads(event(0))
    assert row[0] == first["userName"]
    assert row[1].isoformat(timespec="milliseconds").startswith("2026-11-20T01:15:00.000")
    verified = bench.command("verify").text
    assert f"{bench.topic}-0: gap: offsets 7-7: there is no row" in verified
    assert f"{bench.topic}-2: difference: offsets 3-3: the column userName is not what Kafka has" in verified


def test_sinks_that_are_killed_and_one_that_wakes_up_late_store_each_record_once(bench: Bench) -> None:
    bench.produce(3_000)
    for _ in range(2):
        sink = bench.start()
        before = bench.count()
        wait_until(lambda: bench.count() > before, what="further rows")  # noqa: B023
        sink.kill()
        bench.produce(3_000)
    sleeper = bench.start()
    before = bench.count()
    wait_until(lambda: bench.count() > before, what="rows of the one that falls asleep")
    sleeper.signal(signal.SIGSTOP)
    other = bench.start(wait=False)
    other.wait_for(": reads ", seconds=120)  # once Kafka and PostgreSQL have given the sleeper up
    bench.wait_stored()
    sleeper.signal(signal.SIGCONT)
    bench.produce(300)
    bench.wait_stored()
    assert sleeper.stop() == 0
    assert other.stop() == 0
    bench.check()


def test_a_database_that_is_killed_is_waited_for(bench: Bench, server: Server) -> None:
    bench.produce(30)
    sink = bench.start()
    bench.wait_stored()
    server.kill()
    try:
        bench.produce(300)
        sink.wait_for("failed (try 2")
    finally:
        server.start()
        server.wait_ready()
        connections[ALIAS].close()  # the test's own, to the server that was killed
    bench.wait_stored()
    assert sink.stop() == 0
    bench.check()


def test_a_rewind_beside_a_running_sink_lets_each_record_be_stored_again_once(bench: Bench) -> None:
    bench.produce(600)
    sink = bench.start()
    bench.wait_stored()
    rewind = ["rewind", "--partition", f"{bench.topic}-0", "--to", "150"]
    told = bench.command(*rewind)
    assert "50 rows with offsets from 150 on would be deleted, and stored again" in told.text
    assert "Nothing was changed" in told.text
    assert "goes on at offset 150; 50 rows were deleted" in bench.command(*rewind, "--yes").text
    bench.produce(300)
    bench.wait_stored()
    assert sink.stop() == 0
    bench.check()
