"""The source task: one thread that owns one Consumer, a member of the source's group.

The group divides the partitions of the positions topic among the tasks of all processes. For each partition that is
assigned to it, the task has an owner, which reads the parts whose positions lie there (sources/owner.py). The consumer
also tells of positions that others write, such as `rewind_source`.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from kafka_client.log import Outage, repeating_logger
from sources.owner import Owner, Work
from sources.positions import OWNER
from sources.states import TaskStatus
from worker.errors import Fatal, Retriable
from worker.group import leave_group
from worker.retry import Backoff

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

CONSUMER_DEFAULTS: dict[str, Any] = {
    # A task that died without a word is missed after this time.
    "session.timeout.ms": 10_000,
    "topic.metadata.refresh.interval.ms": 10_000,
    "queued.max.messages.kbytes": 1024,
    "reconnect.backoff.max.ms": 2_000,
}
"""librdkafka options that a source's `consumer` setting may override."""

CONSUMER_REQUIRED: dict[str, Any] = {
    "enable.auto.commit": False,
    "auto.offset.reset": "latest",
    "isolation.level": "read_committed",
    "partition.assignment.strategy": "cooperative-sticky",
}
"""librdkafka options that no setting overrides."""

_IDLE_SECONDS = 0.2
"""A signal to stop is noticed within this time."""

_CONSUME_RECORDS = 500
_LOOK_SECONDS = 5.0
_LOOK_TIMEOUT = 1.0
_FATAL = {
    KafkaError._FATAL,  # consume() reports an earlier fatal error by this code, without the flag
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
}


@dataclass(eq=False, kw_only=True)
class SourceTask:
    """Moves records of the source's parts into Kafka until it is stopped.

    work: what its owners share; make_consumer: makes one with CONSUMER_DEFAULTS and CONSUMER_REQUIRED; check_topic:
    raises Retriable and Fatal when the positions topic can't be used; release: closes what `work` reads positions with;
    outage: is told by the consumer when Kafka goes
    away; is_static_member: the consumer has a group.instance.id, by which Kafka keeps its partitions for it while the
    process restarts.
    """

    work: Work
    make_consumer: Callable[[], Consumer]
    check_topic: Callable[[], None]
    release: Callable[[], None]
    outage: Outage
    is_static_member: bool = False

    def __post_init__(self) -> None:
        self._clock = self.work.clock
        self._backoff = Backoff(maximum=self.work.source.options.retry_seconds)
        self._delays = self._backoff.delays()
        self._owners: dict[int, Owner] = {}
        self._watched: set[int] = set()
        self._parts: list[set[str]] = [set() for _ in range(self.work.positions.partitions)]
        self._list_at = 0.0
        self._looked_at = self._clock()

    @property
    def name(self) -> str:
        """Names its thread and its lines in the log."""
        return self.work.status.name

    @property
    def status(self) -> TaskStatus:
        """What the task is doing."""
        return self.work.status

    def run(self, stop: threading.Event) -> None:
        """Works until `stop` is set; then finishes the transactions that were begun and leaves the group.

        Raises Fatal or KafkaException when it can't go on; nothing unfinished is committed then.
        """
        self._consumer = self.make_consumer()
        try:
            self._wait_for_topic(stop)
            self._consumer.subscribe(
                [self.work.positions.topic], on_assign=self._assign, on_revoke=self._give_up, on_lost=self._give_up
            )
            while not stop.is_set():
                self.run_once(stop)
            self._finish(stop)
        except BaseException as error:
            self.status.failed(error)
            raise
        finally:
            for owner in self._owners.values():
                owner.close()
            self.release()
            if not (self.outage.is_away or self.is_static_member):
                leave_group(self._consumer, self.name)

    def run_once(self, stop: threading.Event) -> None:
        """Looks which parts there are, has the owners do what is due, the longest due first, and serves the group."""
        self._list_parts()
        begun = self._clock()
        for owner in sorted(self._owners.values(), key=attrgetter("due_at")):
            owner.step(stop)
            # The group is served in between: Kafka takes a task that does not ask for long for dead.
            if self._clock() - begun >= self.work.source.options.transaction_seconds:
                break
        self._watch()
        for message in self._consumer.consume(_CONSUME_RECORDS, timeout=self._idle_seconds()):
            self._take(message)
        self._look_at_kafka()

    def _idle_seconds(self) -> float:
        """How long there is nothing to do."""
        if not self._owners:
            return _IDLE_SECONDS
        due_at = min(self._list_at, *(owner.due_at for owner in self._owners.values()))
        return min(_IDLE_SECONDS, max(0.0, due_at - self._clock()))

    def _finish(self, stop: threading.Event) -> None:
        """Waits for Kafka's answer to commits that were begun."""
        deadline = self._clock() + self.work.source.options.stop_seconds
        while (open_ := [owner for owner in self._owners.values() if owner.is_committing]) and self._clock() < deadline:
            for owner in open_:
                owner.step(stop)
        if open_:
            text = "%s: Kafka has not answered the last commit; the next owner finds out what it holds"
            logger.warning(text, self.name)

    def _wait_for_topic(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.check_topic()
            except Retriable as error:
                loop_logger.warning("%s: %s", self.name, error)
                self.status.backing_off("topic", str(error))
                stop.wait(next(self._delays))
            else:
                self.status.goes_on("topic")
                self._delays = self._backoff.delays()
                return

    # Membership of the group

    def _assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            if tp.partition >= self.work.positions.partitions:
                raise Fatal(
                    f"topic {tp.topic} has got more partitions than positions_partitions says "
                    f"({self.work.positions.partitions}): parts would move and be read twice"
                )
            self._owners[tp.partition] = owner = Owner(tp.partition, self.work)
            owner.want(self._parts[tp.partition])
            tp.offset = OFFSET_END  # nothing is read before the owner has said from where on
        self.status.partitions = set(self._owners)
        consumer.incremental_assign(partitions)
        consumer.pause(partitions)

    def _give_up(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        for tp in partitions:
            self._watched.discard(tp.partition)
            if owner := self._owners.pop(tp.partition, None):
                owner.close()
        self.status.partitions = set(self._owners)

    # Parts

    def _list_parts(self) -> None:
        if self._clock() < self._list_at or not self._owners:
            return
        work = self.work
        try:
            names = set(work.kind.parts(work.source))
        except Retriable as error:
            loop_logger.warning("%s: looking for parts: %s", self.name, error)
            work.status.metrics.retries(reason=error.reason)
            work.status.backing_off("parts", f"looking for parts: {error}")
            self._list_at = self._clock() + next(self._delays)
            return
        work.status.goes_on("parts")
        self._delays = self._backoff.delays()
        self._list_at = self._clock() + work.source.poll_seconds
        parts: list[set[str]] = [set() for _ in range(work.positions.partitions)]
        for name in names:
            parts[work.positions.partition_of(name)].add(name)
        for number, owner in self._owners.items():
            if parts[number] != self._parts[number]:
                owner.want(parts[number])
        self._parts = parts

    # What others write

    def _watch(self) -> None:
        for number, owner in self._owners.items():
            if owner.watch_from is None or number in self._watched:
                continue
            tp = TopicPartition(self.work.positions.topic, number, owner.watch_from)
            try:
                self._consumer.seek(tp)
            except KafkaException as error:
                # The assignment is not active inside librdkafka yet: the next pass tries again.
                logger.debug("%s: seek %s: %s", self.name, tp, error.args[0].str())
                continue
            self._consumer.resume([tp])
            self._watched.add(number)

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            if error.fatal() or error.code() in _FATAL:
                raise Fatal(f"Kafka: {error.str()}")
            loop_logger.warning("%s: Kafka: %s", self.name, error.str())
        elif owner := self._owners.get(message.partition()):
            writer = dict(message.headers() or ()).get(OWNER) or b""
            owner.see(message.offset(), message.key(), writer.decode(errors="replace"))

    def _look_at_kafka(self) -> None:
        """Asks now and then whether a Kafka that was away is back."""
        if not self.outage.is_away or self._clock() - self._looked_at < _LOOK_SECONDS:
            return
        self._looked_at = self._clock()
        try:
            self._consumer.list_topics(self.work.positions.topic, timeout=_LOOK_TIMEOUT)
        except KafkaException as error:
            self.status.backing_off("kafka", f"Kafka is away: {error.args[0].str()}")
        else:
            self.status.goes_on("kafka")
            self.outage.over("the source goes on")
