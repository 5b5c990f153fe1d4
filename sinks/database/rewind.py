"""Moves the offset at which a sink goes on, on purpose: back, to store records again, or forward, to leave some out."""

from collections.abc import Iterator, Sequence

from sinks.database.config import DatabaseTarget
from sinks.database.connection import change, select, transaction
from sinks.database.offsets import decide, where_it_is
from sinks.records import Partition
from worker.errors import Fatal
from worker.retry import Retry

_AT_ONCE = 20_000
"""Offsets whose rows are deleted in one transaction."""


class DatabaseRewinding:
    """The rewind of one partition. event: the kind of the sink's events. Raises Retriable and Fatal."""

    def __init__(self, target: DatabaseTarget, event: str, sink: str, partition: Partition, to: int) -> None:
        self._target = target
        self._sink = sink
        self._partition = partition
        self.to = to
        with transaction(target.database) as connection:
            now = where_it_is(connection, sink, partition)
            quote = connection.ops.quote_name
            place = None if target.key else target.place(event)
            self._rows = ""
            if place is not None:
                topic, number, offset = map(quote, place)
                self._rows = f"FROM {quote(target.table)} WHERE {topic} = %s AND {number} = %s AND {offset} >= %s"
                [(count,)] = select(connection, f"SELECT count(*) {self._rows}", (*partition, to))
        if now is None:
            raise Fatal(f"{sink} has stored nothing of {partition} yet")
        self._now = now
        self.leaves_out = to > now
        self.told: Sequence[str] = list(self._told(count if self._rows else 0))
        if to < now and not (self._rows or target.key):
            raise Fatal(
                f"{target}: its columns do not tell which rows are of the offsets from {to} on. They would be there "
                "twice: delete them by hand, and set next_offset and owner = '' in the table sink_offsets"
            )

    def _told(self, count: int) -> Iterator[str]:
        yield f"{self._partition}: up to now the sink goes on at offset {self._now}"
        if self._rows and self.to < self._now:
            yield f"{self._target}: {count} rows with offsets from {self.to} on would be deleted, and stored again"
        elif self.to < self._now:
            yield (
                f"{self._target}: rows stay, and get the older values of their keys until the sink has caught up; rows "
                "of keys that Kafka has no records of any longer stay as they are"
            )
        if self.leaves_out:
            what = f"offsets {self._now} to {self.to - 1} would be left out"
            yield f"{what}: no rows, a gap that `manage.py verify` reports as long as Kafka has them"

    def carry_out(self, retry: Retry, *, skip: bool) -> str:
        """Deletes rows, and moves the offset, from the end on: after each transaction a sink could go on."""
        deleted = 0
        steps = [*range(self._now - _AT_ONCE, self.to, -_AT_ONCE), self.to] if self._rows else [self.to]
        for to in steps:
            deleted += retry(f"going back to offset {to}", lambda to=to: self._move(to))  # type: ignore[misc]
        return (
            f"{self._partition}: goes on at offset {self.to}; {deleted} rows were deleted\n"
            "A sink that is running notices with its next transaction, and takes the partition over again."
        )

    def _move(self, to: int) -> int:
        with transaction(self._target.database) as connection:
            decide(connection, self._sink, self._partition, to)
            return change(connection, f"DELETE {self._rows}", (*self._partition, to)) if self._rows else 0
