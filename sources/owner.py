"""What a task does with one partition of the positions topic that Kafka has assigned to it.

The owner takes the partition over (it fences every earlier owner, then reads the positions), reads the parts whose
positions lie there, and commits their records together with their new positions, one transaction after the other.
"""

import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kafka_client.log import repeating_logger
from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.dead_letters import dead_letter
from sources.kind import SourceKind
from sources.part import Part
from sources.positions import Positions
from sources.reader import Chunk, Position, in_words
from sources.states import TaskStatus
from sources.transactions import TooLarge, Transactions
from worker.errors import Fatal, Fenced, Pending, Retriable
from worker.retry import Backoff

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

FENCED_SECONDS = 3.0
"""A fenced owner waits for so long: when Kafka has given the partition to another, the task hears of it by then."""


_PENDING_SECONDS = 0.05


class Read(NamedTuple):
    """A chunk that was read of a part, to be committed. totals: how many records and bytes it has for each topic."""

    part: Part
    chunk: Chunk
    totals: dict[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What the owners of one task share.

    make_transactions: for a transactional id; read_positions: of a partition, with the offset up to which they were
    read; clock: monotonic seconds.
    """

    source: SourceConfig
    kind: SourceKind
    positions: Positions
    status: TaskStatus
    make_transactions: Callable[[str], Transactions]
    read_positions: Callable[[int], tuple[dict[str, Position], int]]
    clock: Callable[[], float] = time.monotonic


class Owner:
    """Owns a partition of the positions topic until it is closed.

    number: of the partition; watch_from: the offset from which on others may have written positions, None until the
    partition is taken over.
    """

    def __init__(self, number: int, work: Work) -> None:
        self.number = number
        self.watch_from: int | None = None
        self._work = work
        self._name = f"{work.status.name} {work.positions.topic}-{number}"
        self._backoff = Backoff(maximum=work.source.options.retry_seconds)
        self._delays = self._backoff.delays()
        self._due_at = 0.0
        self._writer = ""
        self._transactions: Transactions | None = None
        self._wanted: set[str] = set()
        self._positions: dict[str, Position] = {}
        self._parts: dict[str, Part] = {}
        self._uncommitted: list[Read] = []  # in the transaction whose commit Kafka has not answered
        self._begun_at = 0.0

    @property
    def due_at(self) -> float:
        """The monotonic time at which there is something to do next; infinity for a partition without parts."""
        if not self._wanted and self._transactions is None:
            return float("inf")
        if self.watch_from is None or self._uncommitted:
            return self._due_at
        return max(self._due_at, min((part.due_at for part in self._parts.values()), default=float("inf")))

    @property
    def is_committing(self) -> bool:
        """Whether a commit was begun that Kafka has not answered."""
        return bool(self._uncommitted)

    def want(self, parts: set[str]) -> None:
        """These are the parts of the partition that there are now."""
        self._wanted = parts
        if self.watch_from is not None:
            self._match_parts()

    def step(self, stop: threading.Event) -> None:
        """Does what is due: takes the partition over, or commits what the parts have. Raises Fatal.

        stop: when it is set, nothing is begun any more; only a commit that was begun is asked for again.
        """
        if self.due_at > self._work.clock() or (stop.is_set() and not self._uncommitted):
            return
        try:
            if self.watch_from is None:
                self._take_over()
            if not self._uncommitted and (read := self._read(stop)):
                self._produce(read)
            if self._uncommitted:
                self._commit()
        except Pending as error:
            self._back_off(error)
            self._due_at = self._work.clock() + _PENDING_SECONDS  # the call itself has waited
        except Retriable as error:
            self._back_off(error)
            self._drop()
            self._due_at = self._work.clock() + next(self._delays)
        except Fenced as error:
            logger.warning("%s: another owner took it over (%s); asks for it again", self._name, error)
            self._work.status.metrics.fenced()
            self._drop()
            self._due_at = self._work.clock() + FENCED_SECONDS
        except TooLarge as error:
            raise Fatal(
                f"{self._name}: a position or a dead letter is too large for Kafka's client ({error}): raise "
                "message.max.bytes in the source's `producer`"
            ) from error

    def see(self, offset: int, key: bytes | None, writer: str) -> None:
        """A committed record of the partition. writer: the take-over that wrote it, empty for none."""
        part = self._work.positions.part(key)
        if part is None or writer == self._writer or self.watch_from is None or offset < self.watch_from:
            return
        logger.warning("%s: the position of %s was changed by another; reads all positions again", self._name, part)
        self._drop()
        self._due_at = 0.0

    def close(self) -> None:
        """Gives the partition up; what is not committed will be read again by the next owner."""
        self._drop()
        self._wanted = set()
        self._work.status.goes_on(self)

    # Taking over

    def _take_over(self) -> None:
        work = self._work
        if self._transactions is None:
            self._transactions = work.make_transactions(work.positions.transactional_id(self.number))
        # In this order: once all earlier owners are fenced, the positions can't change any more.
        self._transactions.take_over()
        self._positions, self.watch_from = work.read_positions(self.number)
        self._writer = uuid.uuid4().hex
        self._went_well()
        self._match_parts()
        logger.info("%s: owns it, with %d parts", self._name, len(self._parts))

    def _match_parts(self) -> None:
        for name in self._parts.keys() - self._wanted:
            if all(read.part.name != name for read in self._uncommitted):
                self._parts.pop(name).close()
                self._work.status.drop_part(name)
        for name in sorted(self._wanted - self._parts.keys()):
            self._parts[name] = self._part(name)

    def _part(self, name: str) -> Part:
        work = self._work
        status = work.status.add_part(name, self.number)
        return Part(
            name,
            lambda: work.kind.reader(work.source, name),
            self._positions.get(name),
            status,
            work.status.metrics,
            self._backoff,
        )

    # Reading and committing

    def _read(self, stop: threading.Event) -> list[Read]:
        """What the parts that are due have, in turn, up to the bounds of one transaction. Nothing is open meanwhile:
        an open transaction would hold up all readers of committed records while a part is slow."""
        work, options = self._work, self._work.source.options
        begun = work.clock()
        due = deque(sorted((p for p in self._parts.values() if p.due_at <= begun), key=lambda part: part.due_at))
        found: list[Read] = []
        count = size = 0
        while due and not stop.is_set():
            part = due.popleft()
            # Parts that were due together are due together again: their records share a transaction.
            try:
                chunk = part.read(begun, work.source.poll_seconds)
            except Fatal:
                if not found:
                    raise
                # What lies before the fault is committed first. Then the part is read again, and fails again.
                part.close()
                break
            if chunk is not None:
                totals = totals_of(chunk.records)
                found.append(Read(part, chunk, totals))
                count += len(chunk.records)
                size += sum(of_topic for _, of_topic in totals.values())
                if chunk.more:
                    due.append(part)
            if count >= options.transaction_records or size >= options.transaction_bytes:
                break
            # Also where nothing was found: while servers do not answer, the group must be served between the reads, or
            # Kafka takes this task for dead.
            if work.clock() - begun >= options.transaction_seconds:
                break
        return found

    def _produce(self, read: list[Read]) -> None:
        assert self._transactions is not None
        self._begun_at = time.perf_counter()
        self._uncommitted = read
        self._transactions.begin()
        for part, chunk, _ in read:
            self._add(part, chunk.records, chunk.position)
        # Only the last position of each part counts.
        positions = {part.name: chunk.position for part, chunk, _ in read}
        records = [self._work.positions.record(name, position, self._writer) for name, position in positions.items()]
        self._transactions.produce(records, partition=self.number)

    def _add(self, part: Part, records: Sequence[Record], position: Position | None) -> None:
        assert self._transactions is not None
        left = iter(records)
        while True:
            try:
                self._transactions.produce(left)
            except TooLarge as error:
                self._add_too_large(part, error.record, position, str(error))
            else:
                return

    def _add_too_large(self, part: Part, record: Record, position: Position | None, why: str) -> None:
        assert self._transactions is not None
        source, size = self._work.source, size_of(record)
        where = f"{part.name}: a record of {size} bytes for {record.topic}, read before position {in_words(position)}"
        if not source.dead_letter_topic:
            raise Fatal(
                f"{where}, is too large for Kafka's client ({why}): raise message.max.bytes in the source's `producer` "
                "and max.message.bytes of the topic, or name a dead_letter_topic for such records"
            )
        loop_logger.warning("%s, is too large for Kafka's client (%s): it is a dead letter", where, why)
        letter = dead_letter(
            source, part.name, reason=why, position=position, value=record.value, size=size, topic=record.topic
        )
        self._transactions.produce([letter])
        self._work.status.metrics.too_large()

    def _commit(self) -> None:
        assert self._transactions is not None
        self._transactions.commit()
        read, self._uncommitted = self._uncommitted, []
        status = self._work.status
        status.metrics.committed(time.perf_counter() - self._begun_at)
        for part, chunk, totals in read:
            part.committed(chunk.position, len(chunk.records))
            status.metrics.records(totals)
            if chunk.position is None:
                self._positions.pop(part.name, None)
            else:
                self._positions[part.name] = chunk.position
        status.committed(sum(len(chunk.records) for _, chunk, _ in read))
        self._went_well()
        self._match_parts()

    # Failing

    def _back_off(self, error: Retriable) -> None:
        loop_logger.warning("%s: %s", self._name, error)
        self._work.status.metrics.retries(reason=error.reason)
        self._work.status.backing_off(self, str(error))

    def _went_well(self) -> None:
        self._delays = self._backoff.delays()
        self._due_at = 0.0
        self._work.status.goes_on(self)

    def _drop(self) -> None:
        """Forgets everything about the partition that an owner after this one may have changed."""
        self.watch_from = None
        self._uncommitted = []
        for part in self._parts.values():
            part.close()
            self._work.status.drop_part(part.name)
        self._parts = {}
        transactions, self._transactions = self._transactions, None
        if transactions is not None:
            transactions.close()


def size_of(record: Record) -> int:
    """The bytes of a record's key and value."""
    return len(record.value or b"") + len(record.key or b"")


def totals_of(records: Sequence[Record]) -> dict[str, tuple[int, int]]:
    """How many records, and bytes of keys and values, there are for each topic."""
    topics = {record.topic for record in records}
    totals = {}
    for topic in topics:
        own = records if len(topics) == 1 else [record for record in records if record.topic == topic]
        totals[topic] = (len(own), sum(map(size_of, own)))
    return totals
