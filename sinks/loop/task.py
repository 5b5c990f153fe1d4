"""The sink task: one thread that owns one Consumer, a member of the sink's group.

The thread polls, pauses, seeks and commits; what it reads of a partition goes to the partition's pump, which has it
stored beside this thread. An offset is committed only when every record below it is stored.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from kafka_client.log import Outage, repeating_logger
from sinks.control import Control, Restart
from sinks.loop.memory import MemoryBudget
from sinks.loop.pump import Pump, Storing
from sinks.loop.writer import PartitionWriter
from sinks.records import Columns, Partition, readable_headers
from sinks.reporting.states import MEMORY, OPERATOR, TaskStatus
from worker.errors import Fatal, Fenced
from worker.group import leave_group

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

CONSUMER_DEFAULTS = {
    # A task that died without a word is missed after this time.
    "session.timeout.ms": 10_000,
    "topic.metadata.refresh.interval.ms": 10_000,
    # Read on as soon as there is room: the default of 1,000 ms leaves a fast consumer waiting (docs/performance.md).
    "fetch.queue.backoff.ms": 10,
    "queued.max.messages.kbytes": 4 * 1024,
    # To commit beyond the markers of transactions, which are no records (see Pump.pass_markers).
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
_COMMITTED_SECONDS = 5.0
_COMMIT_AGAIN_SECONDS = 0.1
_AWAY_DRAIN_SECONDS = 5.0  # while Kafka is away nothing can be committed, and most stores ask it for something
_LOOK_SECONDS = 5.0
_LOOK_TIMEOUT = 1.0
_REBALANCING = {KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION}
_NO_TOPIC = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}

# A partition that is paused loses the records that librdkafka has fetched of it. So before the task pauses a partition,
# it waits a moment for room. While it could read other partitions, it waits for a fifth of its time at most: a slow
# partition must not set the pace of the others.
_PAUSE_AFTER_SECONDS = 1.0
_PATIENCE_SECONDS = 0.2
_PATIENCE_SHARE = 0.2

STORY_SECONDS = 10.0
"""How often a busy task logs what it has done."""


OnCommit = Callable[[KafkaError | None, list[TopicPartition]], None]
"""Called with the outcome of a commit, on the thread that polls."""


@dataclass(eq=False, kw_only=True)
class SinkTask(Storing):
    """Moves records of the topics to the writer until it is stopped.

    make_consumer: makes one with CONSUMER_DEFAULTS and CONSUMER_REQUIRED, not yet subscribed, that tells the callback
    the outcome of each commit; is_static_member: the consumer has a group.instance.id, by which Kafka keeps its
    partitions for it while the process restarts; budget: shared by the tasks of the process; control: what operators
    want; outage: is told by the consumer when Kafka goes away; wall_clock: seconds since 1970. `status` tells what the
    task is doing.
    """

    topics: tuple[str, ...]
    make_consumer: Callable[[OnCommit], Consumer]
    budget: MemoryBudget
    control: Control
    outage: Outage
    is_static_member: bool = False
    wall_clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._consumer = self.make_consumer(self._note_commit)
        super().__post_init__()  # starts threads, which nobody would end if there were no consumer
        self.status = TaskStatus(self.name, self.metrics, self.wall_clock)
        self._pumps: dict[Partition, Pump] = {}
        # A small budget is not overshot by one reading of many records.
        self._consume_records = max(100, min(_CONSUME_RECORDS, self.budget.limit // _RECORD_BYTES))
        self._is_leaving = False
        self._pressed_since: dict[Partition, float] = {}
        self._patience = _PATIENCE_SECONDS
        self._patience_counted_at = self.clock()
        self._missing_topics: set[str] = set()
        self._rejected = 0
        self._told = (self.clock(), 0)
        self._looked_at = self.clock()
        self._rested = self.clock()

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; then stores what was read, commits and leaves the group.

        Raises Fatal or KafkaException when it can't go on; nothing unfinished is committed then.
        """
        self._consumer.subscribe(list(self.topics), on_assign=self._assign, on_revoke=self._revoke, on_lost=self._lose)
        try:
            while not stop.is_set():
                self.run_once()
            if self.outage.is_away:
                self._ask_kafka()  # it may be back by now
            self._drain(self._pumps.values())
        except BaseException as error:
            self.status.failed(error)
            raise
        finally:
            self._is_leaving = True  # the revocation that closing brings has nothing to store any more
            self._give_up(self._pumps.values())
            self.storers.close()
            self.openers.close()
            if not (self.outage.is_away or self.is_static_member):
                leave_group(self._consumer, self.name)

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

    # Membership of the group

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            self._take(Partition(tp.topic, tp.partition))
            tp.offset = OFFSET_BEGINNING  # until the writer has said where to go on; nothing is read before
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)

    def _take(self, partition: Partition) -> None:
        self._pumps[partition] = Pump(partition, self, self.budget.join(), self.status.assign(partition))
        self._find_topic(partition.topic)

    def _revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        revoked = self._pumps_of(partitions)
        if not self._is_leaving:
            self._drain(revoked)
        self._give_up(revoked)

    def _lose(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        lost = self._pumps_of(partitions)
        logger.warning("%s: lost %s", self.name, ", ".join(str(pump.partition) for pump in lost))
        self._give_up(lost)

    def _pumps_of(self, partitions: list[TopicPartition]) -> list[Pump]:
        return [pump for tp in partitions if (pump := self._pumps.get(Partition(tp.topic, tp.partition)))]

    def _give_up(self, leaving: Iterable[Pump]) -> None:
        for pump in list(leaving):
            self._pumps.pop(pump.partition, None)
            self._pressed_since.pop(pump.partition, None)
            self.status.leave(pump.partition)
            self._rejected += pump.rejected
            left = pump.give_up()
            if left:
                text = "%s: gives %s up with %d records not stored; they are read again"
                logger.warning(text, self.name, pump.partition, left)
            elif pump.is_open:
                where = "with nothing read" if pump.stored is None else f"at offset {pump.stored}"
                logger.info("%s: leaves %s %s", self.name, pump.partition, where)

    def _take_over_again(self, pump: Pump) -> None:
        """After it was fenced: while Kafka says that the partition is ours, it is opened anew."""
        self._consumer.pause([TopicPartition(*pump.partition)])
        self._give_up([pump])
        self._take(pump.partition)

    # Taking partitions over in the store

    def _open_assigned(self) -> None:
        new = [pump for pump in self._pumps.values() if pump.is_new]
        if new:
            try:
                asked = [TopicPartition(*pump.partition) for pump in new]
                committed = self._consumer.committed(asked, timeout=_COMMITTED_SECONDS)
            except KafkaException as error:
                loop_logger.warning("%s: Kafka: committed offsets: %s", self.name, error.args[0].str())
                return
            for pump, tp in zip(new, committed, strict=True):
                pump.open(tp.offset if tp.offset >= 0 else None)
        for pump in self._pumps.values():
            try:
                writer = pump.opened()
            except Fenced as fenced:
                logger.warning("%s: %s; tries again", self.name, fenced)
                pump.status.fenced()
            else:
                if writer is not None:
                    self._start(pump, writer)

    def _start(self, pump: Pump, writer: PartitionWriter) -> None:
        resume_at = writer.resume_at
        tp = TopicPartition(*pump.partition, OFFSET_BEGINNING if resume_at is None else resume_at)
        try:
            self._consumer.seek(tp)
        except KafkaException as error:
            # The assignment is not active inside librdkafka yet: the next pass tries again.
            logger.debug("%s: seek %s: %s", self.name, pump.partition, error.args[0].str())
            return
        self._consumer.resume([tp])
        pump.start(writer)
        where = "the beginning" if resume_at is None else f"offset {resume_at}"
        logger.info("%s: reads %s from %s", self.name, pump.partition, where)

    # Reading

    def _read(self) -> list[Message]:
        if self._waits_for_room():
            time.sleep(_ROOM_SECONDS)
            return []
        self._pause_and_resume()
        messages: list[Message] = self._consumer.consume(self._consume_records, timeout=_POLL_SECONDS)
        return messages

    def _waits_for_room(self) -> bool:
        """Whether to wait for a partition that holds too much, before it is paused."""
        now, pool_used = self.clock(), self.budget.pool_used
        read = [pump for pump in self._pumps.values() if pump.is_open and not pump.paused]
        pressed = [pump for pump in self._pumps.values() if pump.memory.press(pool_used)]
        since = self._pressed_since
        self._pressed_since = {pump.partition: since.get(pump.partition, now) for pump in pressed}
        waiting = [pump for pump in pressed if not pump.paused]
        patience, self._patience_counted_at = self._patience + _PATIENCE_SHARE * (now - self._patience_counted_at), now
        self._patience = min(_PATIENCE_SECONDS, patience)
        if not waiting or len(waiting) == len(read):
            return any(now - self._pressed_since[pump.partition] < _PAUSE_AFTER_SECONDS for pump in waiting)
        self._patience = max(0.0, self._patience - _ROOM_SECONDS)
        return self._patience > 0

    def _put(self, messages: list[Message]) -> None:
        if not messages:
            return
        period = self.options.period(self.wall_clock())
        for partition, read in _by_partition(messages):
            pump = self._pumps.get(partition)
            if errors := [message for message in read if message.error() is not None]:
                for message in errors:
                    self._note_error(message, pump)
                read = [message for message in read if message.error() is None]
            # Until its resume offset is known, what was read is dropped, and read again from there.
            if read and pump is not None and pump.is_open:
                pump.put(_columns(read), period)
        for pump in self._pumps.values():
            if pump.fell_back:
                self._seek_position(pump)

    def _seek_position(self, pump: Pump) -> None:
        """librdkafka may overrule the seek of _start later on, when its lookup of the beginning had to be repeated."""
        text = "%s: Kafka's client jumped back in %s; reads on from offset %d"
        logger.warning(text, self.name, pump.partition, pump.position)
        try:
            self._consumer.seek(TopicPartition(*pump.partition, pump.position))
        except KafkaException as error:
            # What it gives again is left out all the same; the next one that it gives brings another try.
            logger.debug("%s: seek %s: %s", self.name, pump.partition, error.args[0].str())
        pump.fell_back = False

    def _note_error(self, message: Message, pump: Pump | None) -> None:
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            if pump is not None and pump.is_open:
                pump.end = message.offset() or 0
            return
        if error.code() == KafkaError._AUTO_OFFSET_RESET:
            raise Fatal(
                f"{message.topic()}-{message.partition()} offset {message.offset()} is not in Kafka "
                f"({error.str()}): records may have expired unread or the topic was made again; not skipping silently"
            )
        if error.fatal() or error.code() in (
            KafkaError._FATAL,  # consume() reports an earlier fatal error by this code, without the flag
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            raise Fatal(f"Kafka: {error.str()}")
        loop_logger.warning("%s: Kafka: %s", self.name, error.str())
        if error.code() in _NO_TOPIC and message.topic():
            self._miss_topic(message.topic())

    # Pausing, for want of memory or because an operator asks for it

    def _pause_and_resume(self) -> None:
        changes: dict[str, list[Pump]] = {}
        for pump in self._pumps.values():
            if pump.is_open:
                is_pressed = pump.memory.is_pressed
                why = OPERATOR if self.control.is_paused(pump.partition) else MEMORY if is_pressed else ""
                if why != pump.paused:
                    changes.setdefault(why, []).append(pump)
        for why, pumps in changes.items():
            places = [TopicPartition(*pump.partition) for pump in pumps]
            names = ", ".join(str(pump.partition) for pump in pumps)
            if why:
                self._consumer.pause(places)
            else:
                self._consumer.resume(places)
            if why == MEMORY:
                waiting = sum(pump.memory.used for pump in pumps)
                logger.info("%s: pauses %s, of which %d bytes wait to be stored", self.name, names, waiting)
            elif why == OPERATOR or OPERATOR in {pump.paused for pump in pumps}:
                logger.info("%s: an operator %s %s", self.name, "pauses" if why else "resumes", names)
            for pump in pumps:
                pump.paused = why
                if why:
                    pump.status.paused(why)
                else:
                    pump.status.running()

    # Storing and committing

    def _submit_due(self) -> None:
        period = self.options.period(self.wall_clock())
        for pump in self._pumps.values():
            pump.submit_due(period)

    def _rest(self) -> None:
        """Now and then lets the writer see to the partitions for which there is nothing to store."""
        if self.clock() - self._rested >= _REST_SECONDS:
            self._rested = self.clock()
            for pump in self._pumps.values():
                pump.pass_markers()
                pump.rest()

    def _collect(self) -> None:
        for pump in list(self._pumps.values()):
            try:
                pump.collect()
            except Fenced as fenced:
                logger.warning("%s: fenced: %s", self.name, fenced)
                pump.status.fenced()
                self._take_over_again(pump)
        self._commit_async()

    def _drain(self, leaving: Iterable[Pump]) -> None:
        """Stores and commits what was read of these partitions, as far as the deadline allows."""
        leaving = list(leaving)
        for pump in leaving:
            pump.submit()
            pump.rest(leaving=True)
        seconds = self.options.drain_seconds
        deadline = self.clock() + (min(seconds, _AWAY_DRAIN_SECONDS) if self.outage.is_away else seconds)
        for pump in leaving:
            pump.wait(max(0.0, deadline - self.clock()))
            try:
                pump.collect()
                pump.collect()  # an error comes after what was stored before it
            except Fenced as fenced:
                logger.warning("%s: fenced: %s", self.name, fenced)
                pump.status.fenced()
        self._commit_at_last(leaving, deadline)

    def _commit_async(self) -> None:
        behind = [pump for pump in self._pumps.values() if pump.stored is not None and pump.stored != pump.committed]
        if not behind:
            return
        offsets = [TopicPartition(*pump.partition, pump.stored) for pump in behind]
        for pump in behind:
            pump.committed = pump.stored
        try:
            self._consumer.commit(offsets=offsets, asynchronous=True)
        except KafkaException as error:
            self._note_commit(error.args[0], offsets)

    def _note_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        if error is None:
            return
        places = ", ".join(f"{tp.topic}-{tp.partition} at {tp.offset}" for tp in partitions)
        logger.warning("%s: commit of %s: %s; committed again", self.name, places, error.str())
        for pump in self._pumps_of(partitions):
            pump.committed = None

    def _commit_at_last(self, leaving: Iterable[Pump], deadline: float) -> None:
        """Commits and waits for the answer; a rebalance under way may refuse it for a moment."""
        # Also what seems to be committed: the answer to the commit before may still be on its way.
        offsets = [TopicPartition(*pump.partition, pump.stored) for pump in leaving if pump.stored is not None]
        if offsets and self.outage.is_away:
            logger.warning("%s: Kafka is away: what was stored last is not committed", self.name)
            return
        while offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=False)
                return
            except KafkaException as error:
                if error.args[0].code() not in _REBALANCING or self.clock() >= deadline:
                    # Stored but not committed: never lost; read again unless the store itself knows better.
                    logger.warning("%s: last commit: %s", self.name, error.args[0].str())
                    return
                time.sleep(_COMMIT_AGAIN_SECONDS)

    # Going back because an operator asks for it

    def _restart_asked(self) -> None:
        for pump in list(self._pumps.values()):
            if pump.is_open and (wish := self.control.take_restart(pump.partition)) is not None:
                self.control.done(wish.number, self._restart(pump, wish))

    def _restart(self, pump: Pump, wish: Restart) -> str:
        """Stores what was read, commits the earlier offset and opens the partition anew; says why not, if not."""
        self._drain([pump])
        error = ""
        if pump.stored is None or wish.offset > pump.stored:
            error = f"offset {wish.offset} is not below {pump.stored}: records would be left out"
        else:
            try:
                self._consumer.commit(offsets=[TopicPartition(*pump.partition, wish.offset)], asynchronous=False)
            except KafkaException as refused:
                error = f"Kafka: {refused.args[0].str()}"
        # Also after an error: what draining has given up must be read again.
        self._take_over_again(pump)
        text = "%s: an operator restarts %s at %d%s"
        logger.warning(text, self.name, wish.partition, wish.offset, error and f": {error}")
        return error

    # Telling what it does

    def _look_around(self) -> None:
        """Notes now and then how far each partition is, and while Kafka is away, whether it is back."""
        now = self.clock()
        if now - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = now
        if self.outage.is_away:
            self._ask_kafka()
        for topic in list(self._missing_topics):
            self._look_for_topic(topic)
        is_answering = not self.outage.is_away
        for pump in self._pumps.values():
            end = self._end(pump) if is_answering else None
            is_answering = is_answering and end is not None  # one that hangs is not asked for each partition
            position = max(pump.position, pump.stored or 0)
            pump.status.progress(position=position, stored=pump.stored, committed=pump.committed, end=end)

    def _ask_kafka(self) -> None:
        try:
            self._consumer.list_topics(self.topics[0], timeout=_LOOK_TIMEOUT)
        except KafkaException as error:
            self.status.backing_off("kafka", f"Kafka is away: {error.args[0].str()}")
        else:
            self.status.goes_on("kafka")
            self.outage.over("the sink reads on")

    def _miss_topic(self, topic: str) -> None:
        """Kafka does not have the topic. librdkafka reports this once; the task shows it until the topic is there."""
        self._missing_topics.add(topic)
        self.status.backing_off(("topic", topic), f"Kafka has no topic {topic}: run `manage.py setup_pipeline`")

    def _find_topic(self, topic: str) -> None:
        self._missing_topics.discard(topic)
        self.status.goes_on(("topic", topic))

    def _look_for_topic(self, topic: str) -> None:
        try:
            found = self._consumer.list_topics(topic, timeout=_LOOK_TIMEOUT).topics[topic]
        except KafkaException as error:
            logger.debug("%s: looking for topic %s: %s", self.name, topic, error.args[0].str())
            return
        if found.error is None:
            self._find_topic(topic)
        else:
            self._miss_topic(topic)

    def _end(self, pump: Pump) -> int | None:
        """The offset after the partition's last record, None when Kafka does not answer."""
        is_fetched = pump.is_open and not pump.paused  # else the client does not keep itself informed
        how: dict[str, Any] = {"cached": True} if is_fetched else {"timeout": _LOOK_TIMEOUT}
        try:
            return int(self._consumer.get_watermark_offsets(TopicPartition(*pump.partition), **how)[1])
        except KafkaException as error:
            logger.debug("%s: the end of %s: %s", self.name, pump.partition, error.args[0].str())
            return None

    def _tell_story(self) -> None:
        told_at, told_records = self._told
        now, records = self.clock(), self.status.records
        if now - told_at < STORY_SECONDS or records == told_records:
            return
        self._told = (now, records)
        text = "%s: stored %d records in %d batches so far (%.0f/s), %d dead letters; %s"
        rate = (records - told_records) / (now - told_at)
        rejected = self._rejected + sum(pump.rejected for pump in self._pumps.values())
        positions = ", ".join(self._position(pump) for pump in self._pumps.values())
        logger.info(text, self.name, records, self.status.batches, rate, rejected, positions)

    def _position(self, pump: Pump) -> str:
        stored = pump.stored or 0
        _, end = self._consumer.get_watermark_offsets(TopicPartition(*pump.partition), cached=True)
        return f"{pump.partition} at {stored}" + (f" lag {max(0, end - stored)}" if end >= 0 else "")


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
