"""The database source as an operator runs it, on real databases and a real Kafka: each committed row is there once."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.stack import Stack
from sources.positions import POSITIONS_CONFIG
from tests.sources.shop import Shop
from tests.sources.tables import TestDatabase
from tests.support import Process, kafka_alone, make_topics, manage, stack_env, wait_until
from worker.errors import Retriable
from worker.log_reader import MessageReader

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("database-sources")]

GAP_SECONDS = 60
"""Longer than the test: a session may use a number that it has drawn before at any time."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Kafka of its own."""
    with kafka_alone(tmp_path_factory.mktemp("kafka")) as stack:
        yield stack


class Source:
    """A source of one table, its topic, and its processes."""

    def __init__(self, stack: Stack, database: TestDatabase, table: str, **target: Any) -> None:
        self._stack = stack
        self._table = table
        self._database = database
        self.name = f"{table}-{uuid.uuid4().hex[:8]}"
        positions = f"{self.name}-positions"
        make_topics(stack, self.name, partitions=3)
        make_topics(stack, positions, partitions=1, config=POSITIONS_CONFIG)
        self._entry = {
            "kind": "database",
            "target": {
                "database": database.url(),
                "mode": "incrementing",
                "incrementing_column": "seq",
                "tables": [table],
                "topic": self.name,
                "key": ["writer"],
                **target,
            },
            "positions_topic": positions,
            "positions_partitions": 1,
            "poll_seconds": 0.1,
            "options": {"retry_seconds": 1, "transaction_seconds": 0.2},
            "consumer": {"group.instance.id": "one", "session.timeout.ms": 6000},
        }
        self.processes: list[Process] = []

    def command(self, name: str) -> Process:
        env = stack_env(self._stack, SOURCES=json.dumps({self.name: self._entry}))
        self.processes.append(Process(manage(name, "--source", self.name), env))
        return self.processes[-1]

    def start(self) -> Process:
        return self.command("run_source")

    def committed(self) -> dict[int, list[int]]:
        """The committed numbers of each writer, in their order in Kafka."""
        found: dict[int, list[int]] = {}
        reader = MessageReader({"bootstrap.servers": self._stack.bootstrap_servers}, group="tests-read")
        try:
            for partition in range(3):
                for message in reader.messages(self.name, partition, *reader.ends(self.name, partition)):
                    row = json.loads(message.value())
                    assert message.key() == str(row["writer"]).encode()
                    found.setdefault(row["writer"], []).append(row["seq"])
        finally:
            reader.close()
        return found

    def count(self) -> int:
        """How many rows are committed; -1 while a transaction hides some."""
        try:
            return sum(map(len, self.committed().values()))
        except Retriable:
            return -1

    def check(self) -> None:
        """Each committed row is there once; those of a writer are in the order in which it has committed them."""
        rows = self._database.run(f"SELECT seq FROM {self._table}")
        wait_until(lambda: self.count() >= len(rows), seconds=60, what=f"{len(rows)} rows of {self.name}")
        committed = self.committed()
        assert Counter(number for numbers in committed.values() for number in numbers) == {seq: 1 for [seq] in rows}

    def check_verified(self, verified: Process) -> None:
        """The command says so, too."""
        [[count]] = self._database.run(f"SELECT count(*) FROM {self._table}")
        assert verified.wait() == 0, verified.text
        assert f"{count} rows compared, 0 missing in Kafka, 0 there twice; 0 versions" in verified.text


@pytest.fixture
def make(kafka: Stack, database: TestDatabase) -> Iterator[Any]:
    made: list[Source] = []

    def make(table: str, **target: Any) -> Source:
        made.append(Source(kafka, database, table, **target))
        return made[-1]

    yield make
    for process in (process for source in made for process in source.processes):
        if process.is_running():
            process.kill()


def test_rows_of_20_writers_are_committed_once_by_sources_that_are_killed(make: Any, database: TestDatabase) -> None:
    # Numbers of `orders` are drawn in the transaction, some of them early. Those of `early` a session has in advance.
    database.run("DROP TABLE IF EXISTS orders", "DROP TABLE IF EXISTS early")
    if database.is_postgres:
        database.run(
            "CREATE TABLE orders (seq bigserial PRIMARY KEY, writer int)",
            "CREATE TABLE early (seq bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 20) PRIMARY KEY, writer int)",
        )
        draws = {"orders": "SELECT nextval('orders_seq_seq')", "early": "SELECT nextval('early_seq_seq')"}
    else:
        database.run(
            "CREATE TABLE orders (seq bigint AUTO_INCREMENT PRIMARY KEY, writer int)",
            "CREATE OR REPLACE SEQUENCE numbers CACHE 20",
            "CREATE TABLE early (seq bigint DEFAULT NEXTVAL(numbers) PRIMARY KEY, writer int)",
        )
        draws = {"orders": "", "early": "SELECT NEXTVAL(numbers)"}
    sources = [make("orders"), make("early", gap_seconds=GAP_SECONDS)]
    shops = [Shop(database, table, draws=sql, writers=20 if table == "orders" else 8) for table, sql in draws.items()]
    processes: list[Process] = []
    for _ in range(3):
        for process in processes:
            process.kill()
        processes = [source.start() for source in sources]
        counts = [source.count() for source in sources]
        for source, before in zip(sources, counts, strict=True):
            wait_until(lambda: source.count() > before + 20, seconds=60, what="further rows")  # noqa: B023
    for shop in shops:
        shop.close()
    for source in sources:
        source.check()
    verified = [source.command("verify_source") for source in sources]
    for source, command in zip(sources, verified, strict=True):
        source.check_verified(command)
    assert "Set target.gap_seconds" not in processes[1].text
    for writer, numbers in sources[0].committed().items():
        assert numbers == sorted(numbers), writer
    assert [process.stop() for process in processes] == [0, 0]
