"""Stores records as rows, and the offset beside them in the same transaction: each record is stored exactly once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sinks.database.config import DatabaseTarget
from sinks.database.connection import transaction
from sinks.database.offsets import Ownership, Stored, take_over
from sinks.database.rows import Columns, find_columns
from sinks.records import Batch, Partition, Rejected
from sinks.refusals import FirstRefusals
from worker.errors import Fatal, Fenced
from worker.retry import attempt


@dataclass(eq=False)
class DatabaseWriter:
    """Rows of one sink.

    sink, consumer_group: their names; event: the kind of event; topic_id: gives Kafka's own id of a topic, raises
    Retriable; refusals: of all partitions.
    """

    ordered = True
    group = 32

    target: DatabaseTarget
    sink: str
    consumer_group: str
    event: str
    topic_id: Callable[[str], str]
    refusals: FirstRefusals

    async def open(self, partition: Partition, committed: int | None) -> "DatabasePartition":
        """Becomes the owner; reading goes on where the table says."""
        topic_id = await attempt("checking the topic's identity", lambda: self.topic_id(partition.topic))
        columns = await attempt("looking at the table", self._columns)

        def own() -> tuple[Ownership, Stored]:
            return take_over(
                self.target.database,
                self.sink,
                partition,
                topic_id=topic_id,
                group=self.consumer_group,
                committed=committed,
            )

        ownership, stored = await attempt("taking over", own)
        check_topic = partial(self._check_topic, partition.topic, topic_id)
        return DatabasePartition(ownership, columns, stored, check_topic, self.refusals)

    def close(self) -> None:
        """The connections end with their threads."""

    def _columns(self) -> Columns:
        with transaction(self.target.database) as connection:
            return find_columns(
                connection,
                self.target.table,
                self.target.sources(self.event),
                self.target.key,
                deletes=self.target.tombstones == "delete",
            )

    def _check_topic(self, topic: str, known: str) -> None:
        if self.topic_id(topic) != known:
            raise Fatal(f"the topic {topic} was deleted and made again while this sink read it")


class DatabasePartition:
    """A partition that this process owns. resume_at: the first record whose dead letter may be missing, or the end."""

    def __init__(
        self,
        ownership: Ownership,
        columns: Columns,
        stored: Stored,
        check_topic: Callable[[], None],
        refusals: FirstRefusals,
    ) -> None:
        self._ownership = ownership
        self._columns = columns
        self._check_topic = check_topic
        self._refusals = refusals
        self._refused = set(stored.refused)  # those that the row keeps
        self._end = stored.end or 0
        self.resume_at = min(stored.refused, default=stored.end)
        self._next = self.resume_at or 0  # the dead letters of all records below this offset are delivered

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Stores the batches in one transaction; returns the records that the database refuses."""
        # Checked after the records were read, so that they are records of the topic that has this id.
        await attempt("checking the topic's identity", self._check_topic)
        first, last = batches[0].first_offset, batches[-1].last_offset
        what = f"storing {self._ownership.partition} offsets {first}-{last}"
        refused = await attempt(what, lambda: self._store(batches))
        self._next = batches[-1].next_offset  # once the loop has delivered what is returned here
        return [
            Rejected(record, refused[record.offset], "refused")
            for batch in batches
            for record in (batch.records if refused else ())
            if record.offset in refused
        ]

    async def rest(self, *, leaving: bool) -> None:
        """The dead letters of what was read so far are delivered: the table need not keep them any longer."""
        if any(offset < self._next for offset in self._refused):
            await attempt("noting that dead letters are delivered", self._forget_refused)

    def _store(self, batches: Sequence[Batch]) -> dict[int, str]:
        """Offset -> reason of the records of these batches that the database refuses."""
        partition, begin, end = self._ownership.partition, batches[0].first_offset, batches[-1].next_offset
        with transaction(self._ownership.alias) as connection:
            stored = self._ownership.lock(connection)
            done = stored.end or 0
            if done < self._end:
                raise Fenced(f"{partition}: its row was put back from offset {self._end} to {done}")
            # A transaction whose end this process, or an earlier owner, did not see has stored what lies below `done`.
            records = [record for batch in batches for record in batch.records if record.offset >= done]
            reasons = self._columns.put(connection, partition, records)
            self._refusals.note(taken=len(records) - len(reasons), reasons=list(reasons.values()))
            # Letters below `begin` are delivered: the loop delivers those of a group before it stores the next one.
            refused = {offset: reason for offset, reason in stored.refused.items() if offset >= begin}
            refused |= reasons
            self._ownership.move(connection, Stored(max(done, end), refused))
        self._end, self._refused = max(done, end), set(refused)
        return {offset: reason for offset, reason in refused.items() if offset < end}

    def _forget_refused(self) -> None:
        with transaction(self._ownership.alias) as connection:
            stored = self._ownership.lock(connection)
            refused = {offset: reason for offset, reason in stored.refused.items() if offset >= self._next}
            self._ownership.move(connection, Stored(stored.end, refused))
        self._refused = set(refused)
