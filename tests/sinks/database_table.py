"""A table for the tests of the database sink, its writer, and records for it."""

import json
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sinks.database.config import DatabaseTarget
from sinks.database.connection import change, select, transaction
from sinks.database.writer import DatabasePartition, DatabaseWriter
from sinks.records import Batch, Columns, Partition, Rejected
from sinks.refusals import FirstRefusals
from tests.sinks.schedules import hasty_retry

PARTITION = Partition("clicks", 2)
TIME = 1_795_000_000_123
SOURCES = {"number": "kafka.offset", "color": "color", "amount": "amount", "at": "kafka.timestamp"}
CREATE = {
    "sqlite": "CREATE TABLE {} (number bigint, color text, amount integer CHECK (typeof(amount) = 'integer'),"
    " at datetime)",
    "postgresql": "CREATE TABLE {} (number bigint, color text, amount integer NOT NULL, at timestamptz)",
    "mysql": "CREATE TABLE {} (number bigint, color varchar(200), amount integer NOT NULL, at datetime(3))",
}


class Table:
    """A table of its own for each test. sink: the name of the sink that stores there."""

    def __init__(self, alias: str, *, key: Sequence[str] = (), sources: dict[str, str] = SOURCES) -> None:
        self.name = self.sink = f"t_{uuid.uuid4().hex[:8]}"
        self.alias = alias
        self.target = DatabaseTarget(table=self.name, database=alias, columns=sources, key=tuple(key))
        self.topic_id = "first"
        with transaction(alias) as connection:
            change(connection, CREATE[connection.vendor].format(self.name))
            if key:
                change(connection, f"CREATE UNIQUE INDEX {self.name}_key ON {self.name} ({', '.join(key)})")

    def writer(self, stop_after: int = 0) -> DatabaseWriter:
        refusals = FirstRefusals("the database", "look at the table.", stop_after)
        return DatabaseWriter(self.target, self.sink, "a-group", "json", lambda _: self.topic_id, refusals)

    def owner(self, committed: int | None = None, stop_after: int = 0) -> DatabasePartition:
        owner: DatabasePartition = run(self.writer(stop_after).open(PARTITION, committed))
        return owner

    def rows(self, what: str = "number, color, amount") -> list[Any]:
        with transaction(self.alias) as connection:
            return select(connection, f"SELECT {what} FROM {self.name} ORDER BY number")

    @property
    def numbers(self) -> Counter[int]:
        return Counter(number for (number,) in self.rows("number"))


def run(work: Any) -> Any:
    return hasty_retry().run(work)


def batch(begin: int, end: int, values: Callable[[int], Any] = lambda n: n) -> Batch:
    """Records whose `amount` is their offset, or what `values` gives."""
    offsets = range(begin, end)
    made = [json.dumps({"color": f"color {n}", "amount": values(n)}).encode() for n in offsets]
    found = Batch(PARTITION, begin, TIME, opened_at=0.0)
    found.add(Columns(offsets, made, [TIME] * len(offsets)), {})
    return found


def store(owner: DatabasePartition, *batches: Batch) -> list[Rejected]:
    rejected: list[Rejected] = run(owner.store(batches))
    return rejected


def stored(table: Table, *values: Any) -> tuple[list[int], list[Any]]:
    """Stores records with these amounts; tells the offsets of those that are refused, and the amounts in the table."""
    rejected = store(table.owner(), batch(0, len(values), lambda n: values[n]))
    return [letter.record.offset for letter in rejected], [amount for (amount,) in table.rows("amount")]
