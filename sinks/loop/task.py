"""The sink task: one thread that owns one Consumer and moves the records of its partitions to a writer.

The thread polls, pauses, seeks and commits; batches are stored by a few threads beside it and their results are
collected here, so reading and writing overlap. An offset is committed only when every record below it is stored.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from events.schema import Check
from kafka_client.log import Outage
from sinks.control import Control, Outcome, Restart
from sinks.dead_letters.producing import DeadLetters
from sinks.errors import Fatal, Fenced
from sinks.loop.memory import MemoryBudget
from sinks.loop.retry import Backoff, Retry
from sinks.loop.storing import StoreQueue
from sinks.loop.writer import PartitionWriter, Writer
from sinks.records import Batch, BatchLimits, Columns, Partition, Rejected, readable_headers
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.states import MEMORY, OPERATOR, PartitionStatus, TaskStatus

logger = logging.getLogger(__name__)

CONSUMER_DEFAULTS = {
    # A task that died without a word is missed after this time.
    "session.timeout.ms": 10_000,
    "topic.metadata.refresh.interval.ms": 10_000,
    # Read on as soon as there is room: the default of 1,000 ms leaves a fast consumer waiting (docs/performance.md).
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 4 * 1024,
    # To commit beyond the marks of transactions, which are no records (see _pass_marks).
    "enable.partition.eof": True,
}
"""librdkafka options that a sink's `consumer` setting may override."""

CONSUMER_REQUIRED = {
    "enable.auto.commit": False,
    # The first reading of a partition starts at its beginning (see _start); an offset that is gone is an error.
    "auto.offset.reset": "error",
    "partition.assignment.strategy": "cooperative-sticky",
}
"""librdkafka options without which records could be lost; no setting overrides them."""

_CONSUME_RECORDS = 2_000
_RECORD_BYTES = 10_000
_POLL_SECONDS = 0.1
_REST_SECONDS = 1.0
_ROOM_SECONDS = 0.01
_PAUSE_AFTER_SECONDS = 1.0
_COMMITTED_SECONDS = 5.0
_COMMIT_AGAIN_SECONDS = 0.1
_AWAY_DRAIN_SECONDS = 5.0  # while Kafka is away nothing can be committed, and most stores ask it for something
_LEAVE_SECONDS = 15.0
_LOOK_SECONDS = 5.0
_LOOK_TIMEOUT = 1.0
_REBALANCING = {KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION}

STORY_SECONDS = 10.0
"""How often a busy task logs what it has done."""


@dataclass(frozen=True)
class TaskSettings:
    """What a task needs to know of its sink.

    in_flight: groups of batches that are stored at a time; drain_seconds: how long storing may take when partitions
    are revoked or the sink stops, before what is unfinished is given up to be read again; is_static_member: the
    consumer has a group.instance.id, by which Kafka keeps its partitions for it while the process restarts.
    """

    topics: tuple[str, ...]
    limits: BatchLimits
    in_flight: int
    drain_seconds: float
    backoff: Backoff
    is_static_member: bool = False


@dataclass(eq=False)
class _Assigned:
    """A partition that this task owns, from its assignment until it is revoked, lost or fenced.

    queue: there as soon as the partition is open and read; paused: why it is not read now (MEMORY, OPERATOR), or
    empty; position: records below this offset were read; fell_back: the consumer has given one of those again; end: the
    offset at which the consumer found no more to read; stored: every record below this offset is stored.
    """

    partition: Partition
    status: PartitionStatus
    cancelled: threading.Event = field(default_factory=threading.Event)
    opening: Future[PartitionWriter] | None = None
    queue: StoreQueue | None = None
    paused: str = ""
    batch: Batch | None = None
    position: int = 0
    fell_back: bool = False
    end: int = 0
    stored: int | None = None
    committed: int | None = None


OnCommit = Callable[[KafkaError | None, list[TopicPartition]], None]
"""Is told the outcome of a commit, on the thread that polls."""


class SinkTask:
    """Moves records of the topics to the writer until it is stopped.

    name: for the log; make_consumer: makes one with CONSUMER_DEFAULTS and CONSUMER_REQUIRED, not yet subscribed, that
    tells the callback the outcome of each commit; check: tells which records can be stored; budget: shared by the
    tasks of the process; control: what operators want; outage: is told by the consumer when Kafka goes away; clock:
    monotonic seconds; wall_clock: seconds since 1970. `status` tells what the task is doing.
    """

    def __init__(
        self,
        name: str,
        *,
        make_consumer: Callable[[OnCommit], Consumer],
        writer: Writer,
        check: Check,
        dead_letters: DeadLetters,
        budget: MemoryBudget,
        settings: TaskSettings,
        metrics: SinkMetrics | None = None,
        control: Control | None = None,
        outage: Outage | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._consumer = make_consumer(self._note_commit)
        self._writer = writer
        self._check = check
        self._dead_letters = dead_letters
        self._budget = budget
        self._settings = settings
        self._metrics = metrics or SinkMetrics()
        self._control = control or Control()
        self._outage = outage or Outage(logger, "the sink waits for it")
        self.status = TaskStatus(name, self._metrics, wall_clock)
        self._clock = clock
        self._wall_clock = wall_clock
        self._assigned: dict[Partition, _Assigned] = {}
        self._pool = ThreadPoolExecutor(settings.in_flight, thread_name_prefix=f"{name}-store")
        # A small budget is not overshot by one reading of many records.
        self._consume_records = max(100, min(_CONSUME_RECORDS, budget.limit // _RECORD_BYTES))
        self._is_leaving = False
        self._pressed_since: float | None = None
        self._records = self._batches = self._rejected = 0
        self._told = (clock(), 0)
        self._looked_at = clock()
        self._looks_in_vain = 0
        self._rested = clock()

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; then stores what was read, commits and leaves the group.

        Raises Fatal or KafkaException when it can't go on; nothing unfinished is committed then.
        """
        self._consumer.subscribe(
            list(self._settings.topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose
        )
        try:
            while not stop.is_set():
                self.run_once()
            if self._outage.is_away:
                self._ask_kafka()  # it may be back by now
            self._drain(self._assigned.values())
        except BaseException as error:
            self.status.failed(error)
            raise
        finally:
            self._is_leaving = True  # the revocation that closing brings has nothing to store any more
            self._give_up(self._assigned.values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            if not (self._outage.is_away or self._settings.is_static_member):
                self._leave_group()

    def _leave_group(self) -> None:
        """What is stored is committed by now, so nothing is lost when Kafka misses this member instead."""
        # Kafka may be slow to let it go, and close() has no time-out.
        leaving = threading.Thread(target=self._close_consumer, name=f"{self.name}-leaves", daemon=True)
        leaving.start()
        leaving.join(_LEAVE_SECONDS)
        if leaving.is_alive():
            logger.warning("%s: has not left its group within %g s; Kafka will miss it", self.name, _LEAVE_SECONDS)

    def _close_consumer(self) -> None:
        """Gives all partitions back before closing.

        A rebalance callback that is left to close() now and then waits for an answer that librdkafka never gives, and
        holds Python's lock meanwhile: all threads stand still for ever (librdkafka issue 4884; a way around it: 4527).
        """
        # After a fatal error of librdkafka there is no membership left to end, and no callback comes.
        with suppress(KafkaException):
            self._consumer.unsubscribe()
            has_partitions = True
            while has_partitions:
                self._consumer.consume(self._consume_records, timeout=_POLL_SECONDS)  # an assignment may still be due
                has_partitions = bool(self._consumer.assignment())
        self._consumer.close()

    def run_once(self) -> None:
        """Reads what there is, starts storing what is due, commits what is stored."""
        self._put(self._read())
        self._restart_asked()
        self._open_assigned()
        self._submit_due()
        self._rest()
        self._collect()
        self._look_around()
        self._tell_story()

    # Reading

    def _read(self) -> list[Message]:
        if not self._budget.pressed:
            self._pressed_since = None
            self._pause_and_resume(is_pressed=False)
        elif self._pressed_since is None or self._clock() - self._pressed_since < _PAUSE_AFTER_SECONDS:
            # Paused, librdkafka would drop what it has fetched: for a moment it is cheaper to let it wait.
            self._pressed_since = self._pressed_since or self._clock()
            time.sleep(_ROOM_SECONDS)
            return []
        else:
            self._pause_and_resume(is_pressed=True)
        messages: list[Message] = self._consumer.consume(self._consume_records, timeout=_POLL_SECONDS)
        return messages

    def _put(self, messages: list[Message]) -> None:
        if not messages:
            return
        for partition, read in _by_partition(messages):
            assigned = self._assigned.get(partition)
            if errors := [message for message in read if message.error() is not None]:
                for message in errors:
                    self._note_error(message, assigned)
                read = [message for message in read if message.error() is None]
            # Until its resume offset is known, what was read is dropped, and read again from there.
            if read and assigned is not None and assigned.queue is not None:
                self._put_run(assigned, read)
        for assigned in self._assigned.values():
            if assigned.fell_back:
                self._seek_position(assigned)

    def _put_run(self, assigned: _Assigned, messages: list[Message]) -> None:
        columns = _columns(messages)
        if repeated := _repeated(columns.offsets, assigned.position):
            assigned.fell_back = True
            columns = columns.without(repeated)
        if not columns.offsets:
            return
        assigned.position = columns.offsets[-1] + 1
        limits, now, period = self._settings.limits, self._clock(), self._period()
        refused = self._check.refusals(columns.values, columns.lines)
        begin, count = 0, len(columns.offsets)
        while begin < count:
            batch = assigned.batch
            if batch is None:
                batch = assigned.batch = Batch(
                    assigned.partition,
                    columns.offsets[begin],
                    columns.timestamps[begin],
                    opened_at=now,
                    period=period,
                )
            end = limits.end(batch, columns, begin)
            if end > begin:
                reasons = {place - begin: why for place, why in refused.items() if begin <= place < end}
                self._budget.add(batch.add(columns.part(begin, end), reasons))
            if end < count or batch.is_full(limits):
                self._submit(assigned)
            begin = end

    def _seek_position(self, assigned: _Assigned) -> None:
        """librdkafka may overrule the seek of _start later on, when its lookup of the beginning had to be repeated."""
        logger.warning(
            "%s: Kafka's client fell back in %s; reads on from offset %d",
            self.name,
            assigned.partition,
            assigned.position,
        )
        try:
            self._consumer.seek(TopicPartition(*assigned.partition, assigned.position))
        except KafkaException as error:
            # What it gives again is left out all the same; the next one that it gives brings another try.
            logger.debug("%s: seek %s: %s", self.name, assigned.partition, error.args[0].str())
        assigned.fell_back = False

    def _note_error(self, message: Message, assigned: _Assigned | None) -> None:
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            if assigned is not None and assigned.queue is not None:
                assigned.end = message.offset() or 0
            return
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise Fatal(
                f"{message.topic()}-{message.partition()} offset {message.offset()} is not in Kafka "
                f"({error.str()}): records may have expired unread or the topic was made again; not skipping silently"
            )
        if error.fatal() or error.code() in (
            KafkaError._FATAL,  # by which consume() tells of one that came before, without its flag
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            raise Fatal(f"Kafka: {error.str()}")
        logger.warning("%s: Kafka: %s", self.name, error.str())

    # Taking partitions over, giving them back

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            partition = Partition(tp.topic, tp.partition)
            self._assigned[partition] = _Assigned(partition, self.status.assign(partition))
            tp.offset = OFFSET_BEGINNING  # until the writer has said where to go on; nothing is read before
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)

    def _open_assigned(self) -> None:
        new = [assigned for assigned in self._assigned.values() if assigned.opening is None]
        if new:
            try:
                committed = self._consumer.committed(
                    [TopicPartition(*assigned.partition) for assigned in new], timeout=_COMMITTED_SECONDS
                )
            except KafkaException as error:
                logger.warning("%s: Kafka: committed offsets: %s", self.name, error.args[0].str())
                return
            for assigned, tp in zip(new, committed, strict=True):
                assigned.committed = tp.offset if tp.offset >= 0 else None
                assigned.opening = self._pool.submit(self._open, assigned, assigned.committed)
        for assigned in self._assigned.values():
            if assigned.queue is None and assigned.opening is not None and assigned.opening.done():
                try:
                    self._start(assigned, assigned.opening.result())
                except Fenced as fenced:
                    logger.warning("%s: %s; tries again", self.name, fenced)
                    assigned.status.fenced()
                    assigned.opening = None

    def _open(self, assigned: _Assigned, committed: int | None) -> PartitionWriter:
        return self._writer.open(assigned.partition, committed, self._retry(assigned))

    def _retry(self, assigned: _Assigned) -> Retry:
        return Retry(f"{self.name} {assigned.partition}", self._settings.backoff, assigned.cancelled, assigned.status)

    def _start(self, assigned: _Assigned, writer: PartitionWriter) -> None:
        resume_at = writer.resume_at
        tp = TopicPartition(*assigned.partition, OFFSET_BEGINNING if resume_at is None else resume_at)
        try:
            self._consumer.seek(tp)
        except KafkaException as error:
            # The assignment is not active inside librdkafka yet: the next pass tries again.
            logger.debug("%s: seek %s: %s", self.name, assigned.partition, error.args[0].str())
            return
        self._consumer.resume([tp])
        retry = self._retry(assigned)
        assigned.queue = StoreQueue(
            self._pool,
            partial(self._store, assigned, writer, retry),
            lambda leaving: writer.rest(retry, leaving=leaving),
            ordered=self._writer.ordered,
            group=self._writer.group,
        )
        assigned.stored = resume_at
        assigned.position = resume_at or 0
        assigned.status.running()
        logger.info(
            "%s: reads %s from %s",
            self.name,
            assigned.partition,
            "the beginning" if resume_at is None else f"offset {resume_at}",
        )

    def _revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        revoked = [a for tp in partitions if (a := self._assigned.get(Partition(tp.topic, tp.partition)))]
        if not self._is_leaving:
            self._drain(revoked)
        self._give_up(revoked)

    def _lose(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        lost = [a for tp in partitions if (a := self._assigned.get(Partition(tp.topic, tp.partition)))]
        logger.warning("%s: lost %s", self.name, ", ".join(str(a.partition) for a in lost))
        self._give_up(lost)

    def _drain(self, leaving: Iterable[_Assigned]) -> None:
        """Stores and commits what was read of these partitions, as far as the deadline allows."""
        leaving = list(leaving)
        for assigned in leaving:
            self._submit(assigned)
            if assigned.queue is not None:
                assigned.queue.rest(leaving=True)
        seconds = self._settings.drain_seconds
        deadline = self._clock() + (min(seconds, _AWAY_DRAIN_SECONDS) if self._outage.is_away else seconds)
        for assigned in leaving:
            if assigned.queue is not None:
                assigned.queue.wait(max(0.0, deadline - self._clock()))
            try:
                self._collect_stored(assigned)
                self._collect_stored(assigned)  # an error comes after what was stored before it
            except Fenced as fenced:
                logger.warning("%s: fenced: %s", self.name, fenced)
                assigned.status.fenced()
        self._commit_at_last(leaving, deadline)

    def _give_up(self, leaving: Iterable[_Assigned]) -> None:
        for assigned in list(leaving):
            assigned.cancelled.set()
            self._assigned.pop(assigned.partition, None)
            self.status.leave(assigned.partition)
            left = assigned.queue.abandon() if assigned.queue is not None else []
            left += [assigned.batch] if assigned.batch is not None else []
            self._budget.add(-sum(batch.memory for batch in left))
            if left:
                logger.warning(
                    "%s: gives %s up with %d records not stored; they are read again",
                    self.name,
                    assigned.partition,
                    sum(batch.count for batch in left),
                )
            elif assigned.queue is not None:
                logger.info(
                    "%s: leaves %s %s",
                    self.name,
                    assigned.partition,
                    "with nothing read" if assigned.stored is None else f"at offset {assigned.stored}",
                )

    def _take_over_again(self, assigned: _Assigned) -> None:
        """After it was fenced: while Kafka says that the partition is ours, it is opened anew."""
        self._consumer.pause([TopicPartition(*assigned.partition)])
        self._give_up([assigned])
        partition = assigned.partition
        self._assigned[partition] = _Assigned(partition, self.status.assign(partition))

    # Storing

    def _submit_due(self) -> None:
        now, period = self._clock(), self._period()
        # Above the bound what has been read is stored at once, or nothing would ever make room.
        pressed = self._budget.pressed
        for assigned in self._assigned.values():
            batch = assigned.batch
            if batch is None:
                continue
            if batch.is_due(self._settings.limits, now, period) or (
                pressed and assigned.queue is not None and assigned.queue.is_idle
            ):
                self._submit(assigned)

    def _rest(self) -> None:
        """Lets the writer see to the partitions for which there is nothing to store."""
        if self._clock() - self._rested >= _REST_SECONDS:
            self._rested = self._clock()
            for assigned in self._assigned.values():
                if assigned.queue is not None:
                    assigned.queue.rest()

    def _period(self) -> int:
        return self._settings.limits.period(self._wall_clock())

    def _submit(self, assigned: _Assigned) -> None:
        batch, assigned.batch = assigned.batch, None
        if batch is not None and assigned.queue is not None:
            logger.debug("%s: stores %s", self.name, batch)
            assigned.queue.add(batch)

    def _store(self, assigned: _Assigned, writer: PartitionWriter, retry: Retry, batches: list[Batch]) -> None:
        """Runs beside the owner thread."""
        with self._metrics.flush():
            # Before the writer commits: what it has committed is never read again.
            self._deliver([refused for batch in batches for refused in batch.rejected], assigned, retry)
            self._deliver(writer.store(batches, retry), assigned, retry)

    def _deliver(self, rejected: list[Rejected], assigned: _Assigned, retry: Retry) -> None:
        if rejected:
            retry("delivering dead letters", self._dead_letters.round(assigned.partition, rejected).deliver)
            assigned.status.dead_letters(rejected)
            self._rejected += len(rejected)

    def _collect(self) -> None:
        for assigned in list(self._assigned.values()):
            try:
                self._collect_stored(assigned)
            except Fenced as fenced:
                logger.warning("%s: fenced: %s", self.name, fenced)
                assigned.status.fenced()
                self._take_over_again(assigned)
        self._commit_async()

    def _collect_stored(self, assigned: _Assigned) -> None:
        for batch in assigned.queue.collect() if assigned.queue is not None else ():  # raises what storing raised
            self._budget.add(-batch.memory)
            assigned.stored = batch.next_offset
            assigned.status.stored(batch)
            self._records += batch.count
            self._batches += 1
            logger.debug("%s: stored %s (%d records)", self.name, batch, batch.count)
        self._pass_marks(assigned)

    def _pass_marks(self, assigned: _Assigned) -> None:
        """Behind the last record that was read only marks of transactions are left: nothing of them is to be stored.

        Without this the lag of an idle partition would stay above 0. The position stays, should a record come up there.
        """
        is_all_stored = assigned.batch is None and assigned.queue is not None and assigned.queue.is_idle
        if is_all_stored and assigned.stored is not None and assigned.position <= assigned.stored < assigned.end:
            assigned.stored = assigned.end

    def _commit_async(self) -> None:
        offsets = _commits(self._assigned.values())
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._note_commit(error.args[0], offsets)

    def _note_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is None:
            return
        places = ", ".join(f"{tp.topic}-{tp.partition} at {tp.offset}" for tp in partitions)
        logger.warning("%s: commit of %s: %s; committed again", self.name, places, error.str())
        for tp in partitions:
            assigned = self._assigned.get(Partition(tp.topic, tp.partition))
            if assigned is not None:
                assigned.committed = None

    def _commit_at_last(self, leaving: Iterable[_Assigned], deadline: float) -> None:
        """Commits and waits for the answer; a rebalance under way may refuse it for a moment."""
        # Also what seems to be committed: the answer to the commit before may still be on its way.
        offsets = [TopicPartition(*a.partition, a.stored) for a in leaving if a.stored is not None]
        if offsets and self._outage.is_away:
            logger.warning("%s: Kafka is away: what was stored last is not committed", self.name)
            return
        while offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
                return
            except KafkaException as error:
                if error.args[0].code() not in _REBALANCING or self._clock() >= deadline:
                    # Stored but not committed: never lost; read again unless the store itself knows better.
                    logger.warning("%s: last commit: %s", self.name, error.args[0].str())
                    return
                time.sleep(_COMMIT_AGAIN_SECONDS)

    # Pausing, for want of memory or because an operator asks for it

    def _pause_and_resume(self, *, is_pressed: bool) -> None:
        changes: dict[str, list[_Assigned]] = {}
        for assigned in self._assigned.values():
            if assigned.queue is not None:
                why = OPERATOR if self._control.is_paused(assigned.partition) else MEMORY if is_pressed else ""
                if why != assigned.paused:
                    changes.setdefault(why, []).append(assigned)
        for why, partitions in changes.items():
            self._change_pause(why, partitions)

    def _change_pause(self, why: str, partitions: list[_Assigned]) -> None:
        places = [TopicPartition(*assigned.partition) for assigned in partitions]
        if not why:
            self._consumer.resume(places)
        else:
            self._consumer.pause(places)
        if why == MEMORY:
            logger.info("%s: pauses, %d bytes wait to be stored", self.name, self._budget.used)
        elif why == OPERATOR or OPERATOR in {assigned.paused for assigned in partitions}:
            names = ", ".join(str(assigned.partition) for assigned in partitions)
            logger.info("%s: an operator %s %s", self.name, "pauses" if why else "resumes", names)
        for assigned in partitions:
            assigned.paused = why
            if why:
                assigned.status.paused(why)
            else:
                assigned.status.running()

    # Going back because an operator asks for it

    def _restart_asked(self) -> None:
        for assigned in list(self._assigned.values()):
            if assigned.queue is not None and (wish := self._control.take_restart(assigned.partition)) is not None:
                self._control.done(Outcome(wish.number, self._restart(assigned, wish)))

    def _restart(self, assigned: _Assigned, wish: Restart) -> str:
        """Stores what was read, commits the earlier offset and opens the partition anew; says why not, if not."""
        self._drain([assigned])
        if assigned.stored is None or wish.offset > assigned.stored:
            error = f"offset {wish.offset} is not below {assigned.stored}: records would be left out"
        else:
            error = self._commit_earlier(TopicPartition(*assigned.partition, wish.offset))
        # Also after an error: what draining has given up must be read again.
        self._take_over_again(assigned)
        logger.warning(
            "%s: an operator restarts %s at %d%s", self.name, wish.partition, wish.offset, error and f": {error}"
        )
        return error

    def _commit_earlier(self, place: TopicPartition) -> str:
        try:
            self._consumer.commit(offsets=[place], asynchronous=False)
        except KafkaException as error:
            return f"Kafka: {error.args[0].str()}"
        return ""

    # Telling what it does

    def _look_around(self) -> None:
        """Notes now and then how far each partition is, and while Kafka is away, whether it is back."""
        now = self._clock()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        if self._outage.is_away:
            self._ask_kafka()
        is_answering = not self._outage.is_away
        for assigned in self._assigned.values():
            end = self._end(assigned) if is_answering else None
            is_answering = is_answering and end is not None  # one that hangs is not asked for each partition
            assigned.status.progress(
                position=max(assigned.position, assigned.stored or 0),
                stored=assigned.stored,
                committed=assigned.committed,
                end=end,
            )

    def _ask_kafka(self) -> None:
        try:
            self._consumer.list_topics(self._settings.topics[0], timeout=_LOOK_TIMEOUT)
        except KafkaException as error:
            self._looks_in_vain += 1
            self.status.kafka_away(f"Kafka is away: {error.args[0].str()}", self._looks_in_vain)
        else:
            self._looks_in_vain = 0
            self.status.kafka_back()
            self._outage.over("the sink reads on")

    def _end(self, assigned: _Assigned) -> int | None:
        """The offset after the partition's last record, None when Kafka does not tell."""
        tp = TopicPartition(*assigned.partition)
        end: int
        try:
            if assigned.queue is not None and not assigned.paused:
                _, end = self._consumer.get_watermark_offsets(tp, cached=True)
            else:  # the client keeps itself informed only while it fetches
                _, end = self._consumer.get_watermark_offsets(tp, timeout=_LOOK_TIMEOUT)
        except KafkaException as error:
            logger.debug("%s: the end of %s: %s", self.name, assigned.partition, error.args[0].str())
            return None
        return end

    def _tell_story(self) -> None:
        told_at, told_records = self._told
        now = self._clock()
        if now - told_at < STORY_SECONDS or self._records == told_records:
            return
        self._told = (now, self._records)
        logger.info(
            "%s: stored %d records in %d batches so far (%.0f/s), %d dead letters; %s",
            self.name,
            self._records,
            self._batches,
            (self._records - told_records) / (now - told_at),
            self._rejected,
            ", ".join(self._position(assigned) for assigned in self._assigned.values()),
        )

    def _position(self, assigned: _Assigned) -> str:
        stored = assigned.stored or 0
        _, end = self._consumer.get_watermark_offsets(TopicPartition(*assigned.partition), cached=True)
        return f"{assigned.partition} at {stored}" + (f" lag {max(0, end - stored)}" if end >= 0 else "")


def _commits(partitions: Iterable[_Assigned]) -> list[TopicPartition]:
    """What is stored and not committed yet."""
    offsets = []
    for assigned in partitions:
        if assigned.stored is not None and assigned.stored != assigned.committed:
            offsets.append(TopicPartition(*assigned.partition, assigned.stored))
            assigned.committed = assigned.stored
    return offsets


def _by_partition(messages: list[Message]) -> Iterator[tuple[Partition, list[Message]]]:
    """The messages of a reading, those of one partition that follow each other together."""
    topics, numbers = [message.topic() for message in messages], [message.partition() for message in messages]
    if topics.count(topics[0]) == numbers.count(numbers[0]) == len(messages):  # the usual case, and quick
        yield Partition(topics[0], numbers[0]), messages
        return
    for place, run in groupby(messages, key=lambda message: (message.topic(), message.partition())):
        yield Partition(*place), list(run)


def _columns(messages: list[Message]) -> Columns:
    """The records of messages of one partition."""
    offsets = [message.offset() for message in messages]
    dense = range(offsets[0], offsets[0] + len(offsets))
    keys = [message.key() for message in messages]
    try:
        headers = [message.headers() for message in messages]
    except (SystemError, UnicodeDecodeError):
        headers = [readable_headers(message) for message in messages]
    return Columns(
        dense if offsets == list(dense) else offsets,
        [message.value() for message in messages],
        [message.timestamp()[1] for message in messages],
        keys if keys.count(None) < len(keys) else None,
        headers if headers.count(None) < len(headers) else None,
    )


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
