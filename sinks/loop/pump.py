"""The pump of one partition: records that were read become batches, and batches are stored beside the reading."""

import logging
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from events.schema import Check
from sinks.config import SinkOptions
from sinks.loop.letter_limit import LetterLimit
from sinks.loop.memory import MemoryShare
from sinks.loop.storing import StoreQueue
from sinks.loop.workers import Workers
from sinks.loop.writer import Deliver, PartitionWriter, Writer
from sinks.records import Batch, Columns, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.states import PartitionStatus
from worker.retry import Backoff, Steps, attempt, in_steps

logger = logging.getLogger(__name__)

T = TypeVar("T")

_OPENERS = 2


@dataclass(eq=False, kw_only=True)
class Storing:
    """What the pumps of a task share.

    name: of the task, for the log; options: of the sink; check: tells which records can be stored; clock: monotonic
    seconds; storers: the threads that store; openers: those that take partitions over, so that this does not wait
    behind storing.
    """

    name: str
    options: SinkOptions
    writer: Writer
    check: Check
    dead_letters: Deliver
    metrics: SinkMetrics
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.storers = Workers(self.options.in_flight, f"{self.name}-store")
        self.openers = Workers(_OPENERS, f"{self.name}-open")
        self.backoff = Backoff(maximum=self.options.retry_seconds)


@dataclass(eq=False)
class Pump:
    """A partition that a task owns, from its assignment until it is revoked, lost or fenced.

    Only the task's own thread calls it, in the order of a life: `open`, `start` once it is `opened`, `put` for what was
    read, `submit_due` and `collect` now and then, `give_up`. What concerns the consumer is the task's.

    paused: why the task does not read it now, or empty; position: records below this offset were read; fell_back: the
    consumer has given one of those again; end: the offset at which the consumer found no more to read; stored: every
    record below this offset is stored; committed: the offset that was last committed to Kafka; rejected: dead letters
    that were delivered; is_open: whether records can be put.
    """

    partition: Partition
    storing: Storing
    memory: MemoryShare
    status: PartitionStatus
    paused: str = ""
    position: int = 0
    fell_back: bool = False
    end: int = 0
    stored: int | None = None
    committed: int | None = None
    rejected: int = 0
    is_open: bool = False
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _batch: Batch | None = None
    _opening: Future[PartitionWriter] | None = None
    _writer: PartitionWriter = field(init=False)  # once it is open

    def __post_init__(self) -> None:
        storing, options = self.storing, self.storing.options
        self._limit = LetterLimit(options.dead_letters_per_minute, options.dead_letter_share, storing.clock)
        self._queue = StoreQueue(
            storing.storers,
            lambda batches: self._steps(self._store(batches)),
            lambda leaving: self._steps(self._writer.rest(leaving=leaving)),
            at_once=1 if storing.writer.ordered else options.in_flight,
            group=storing.writer.group,
        )

    # Taking over

    @property
    def is_new(self) -> bool:
        """Whether `open` is the next step."""
        return self._opening is None

    def open(self, committed: int | None) -> None:
        """Begins to take the partition over. committed: the offset that Kafka holds for the group."""
        self.committed = committed
        self._opening = self.storing.openers.start(
            lambda: self._steps(self.storing.writer.open(self.partition, committed))
        )

    def opened(self) -> PartitionWriter | None:
        """The writer of the partition once it is taken over, None until then. Raises what taking over raised.

        After Fenced it is new again.
        """
        if self.is_open or self._opening is None or not self._opening.done():
            return None
        try:
            return self._opening.result()
        except BaseException:
            self._opening = None
            raise

    def start(self, writer: PartitionWriter) -> None:
        """From now on records are put, from the writer's `resume_at` on."""
        self._writer = writer
        self.is_open = True
        self.stored = writer.resume_at
        self.position = writer.resume_at or 0
        self.status.running()

    def _steps(self, work: Coroutine[Any, Any, T]) -> Steps[T]:
        who, backoff = f"{self.storing.name} {self.partition}", self.storing.backoff
        return in_steps(work, who=who, backoff=backoff, cancelled=self._cancelled, status=self.status)

    # Records in

    def put(self, columns: Columns, period: int) -> None:
        """Takes records that were read. Those that were read before are left out. period: of the schedule, now."""
        if repeated := _repeated(columns.offsets, self.position):
            self.fell_back = True
            columns = columns.without(repeated)
        if not columns.offsets:
            return
        self.position = columns.offsets[-1] + 1
        options, now = self.storing.options, self.storing.clock()
        refused = self.storing.check.refusals(columns.values, columns.lines)
        begin, count = 0, len(columns.offsets)
        while begin < count:
            batch = self._batch
            if batch is None:
                batch = self._batch = Batch(
                    self.partition, columns.offsets[begin], columns.timestamps[begin], opened_at=now, period=period
                )
            end = options.end(batch, columns, begin)
            if end > begin:
                reasons = {place - begin: why for place, why in refused.items() if begin <= place < end}
                self.memory.used += batch.add(columns.part(begin, end), reasons)
            if end < count or options.is_full(batch):
                self.submit()
            begin = end

    def submit_due(self, period: int) -> None:
        """Has the batch stored that is due. period: of the schedule, now."""
        batch = self._batch
        if batch is None:
            return
        # For want of memory what has been read is stored at once, or nothing would ever make room.
        makes_room = self.memory.is_pressed and self._queue.is_idle
        if makes_room or self.storing.options.is_due(batch, self.storing.clock(), period):
            self.submit()

    def submit(self) -> None:
        """Has stored what was read."""
        batch, self._batch = self._batch, None
        if batch is not None:
            logger.debug("%s: stores %s", self.storing.name, batch)
            self._queue.add(batch)

    def pass_markers(self) -> None:
        """Goes on behind markers of transactions at the end of the partition, which are offsets without records.

        The offsets are stored as a batch without records, for the store must agree with Kafka on how far the sink is.
        The position stays, in case a record comes there all the same.
        """
        is_all_stored = self._batch is None and self._queue.is_idle
        if is_all_stored and self.stored is not None and self.position <= self.stored < self.end:
            batch = Batch(self.partition, self.stored, 0, opened_at=self.storing.clock())
            batch.next_offset = self.end
            self._queue.add(batch)

    # Batches out

    def rest(self, *, leaving: bool = False) -> None:
        """Lets the writer see to the partition while there is nothing to store; leaving: it is about to be given up."""
        if self.is_open:
            self._queue.rest(leaving=leaving)

    def wait(self, seconds: float) -> None:
        """Waits until everything is stored, at most for so many seconds."""
        self._queue.wait(seconds)

    def collect(self) -> None:
        """Notes the batches that are stored since the last call. Raises what storing raised."""
        for batch in self._queue.collect():
            self.memory.used -= batch.memory
            self.stored = batch.next_offset
            if batch.count:
                self.status.stored(batch)
            logger.debug("%s: stored %s (%d records)", self.storing.name, batch, batch.count)

    def give_up(self) -> int:
        """Drops what is not stored; returns how many records that are, which are read again by the next owner."""
        self._cancelled.set()
        left = self._queue.abandon() + ([self._batch] if self._batch is not None else [])
        self.memory.budget.leave(self.memory)
        return sum(batch.count for batch in left)

    # Steps that run beside the task's thread

    async def _store(self, batches: Sequence[Batch]) -> None:
        records = sum(batch.count for batch in batches)
        with self.storing.metrics.flush():
            # Before the writer commits: what it has committed is never read again.
            await self._deliver([refused for batch in batches for refused in batch.rejected], records)
            await self._deliver(await self._writer.store(batches), 0)

    async def _deliver(self, rejected: list[Rejected], records: int) -> None:
        """records: how many the limit of dead letters is told of now, for the first time."""
        await attempt("delivering dead letters", lambda: self._limit.admit(len(rejected), records))
        if rejected:
            deliver = self.storing.dead_letters(self.partition, rejected)
            await attempt("delivering dead letters", deliver)
            self.status.dead_letters(rejected)
            self.rejected += len(rejected)


def _repeated(offsets: Sequence[int], position: int) -> set[int]:
    """The places of offsets that were read before."""
    if isinstance(offsets, range) and offsets[0] >= position:
        return set()
    repeated = set()
    for place, offset in enumerate(offsets):
        if offset < position:
            repeated.add(place)
        else:
            position = offset + 1
    return repeated
