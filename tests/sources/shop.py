"""Many writers of one table, whose transactions take their time: numbers are drawn early, and rows committed late."""

import random
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import psycopg
import pymysql

from tests.sources.tables import TestDatabase, run

PAUSES = (0.0, 0.0, 0.02, 0.1, 0.5, 1.5, 4.0)
LONG_PAUSES = (*PAUSES, 10.0)
"""Seconds between the statements of a transaction."""


class Shop:
    """Writers that insert orders until they are closed.

    draws: the SQL that draws a number, for transactions that do so long before they insert the row; empty for none.
    pauses: in seconds; reconnects: the server may be killed meanwhile.
    """

    def __init__(
        self,
        database: TestDatabase,
        table: str,
        *,
        draws: str = "",
        writers: int = 20,
        pauses: Sequence[float] = PAUSES,
        reconnects: bool = False,
    ) -> None:
        self._pauses = pauses
        self._passing = (psycopg.OperationalError, pymysql.OperationalError) if reconnects else ()
        self._database = database
        self._table = table
        self._draws = draws
        self._closing = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(writers)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Waits until all transactions have ended. Those that are open do what they have left without a pause."""
        self._closing.set()
        for thread in self._threads:
            thread.join(60)
        assert not self._failed

    def _write(self, writer: int) -> None:
        chance = random.Random(writer)
        try:
            while not self._closing.is_set():
                try:
                    self._work(writer, chance)
                except self._passing:
                    self._closing.wait(0.5)
        except BaseException as error:
            self._failed.append(error)
            raise

    def _work(self, writer: int, chance: random.Random) -> None:
        with closing(self._database.connect()) as connection:
            while not self._closing.is_set():
                self._transaction(connection, writer, chance)

    def _transaction(self, connection: Any, writer: int, chance: random.Random) -> None:
        if chance.random() < 0.4:
            self._insert(connection, writer)
            self._closing.wait(chance.choice(self._pauses[:5]))
            return
        run(connection, "BEGIN")
        for _ in range(chance.choice((1, 1, 2, 5))):
            if self._draws and chance.random() < 0.5:
                [[number]] = run(connection, self._draws)
                self._closing.wait(chance.choice(self._pauses))
                run(connection, f"INSERT INTO {self._table} (seq, writer) VALUES ({number}, {writer})")
            else:
                self._insert(connection, writer)
                self._closing.wait(chance.choice(self._pauses))
        run(connection, chance.choice(("COMMIT", "COMMIT", "ROLLBACK")))

    def _insert(self, connection: Any, writer: int) -> None:
        run(connection, f"INSERT INTO {self._table} (writer) VALUES ({writer})")
