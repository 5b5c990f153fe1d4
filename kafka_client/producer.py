"""A Kafka producer that never waits for Kafka, counts every delivery, and refuses records when it can't keep up.

No Django here: the web processes send events with it, the sinks their dead letters.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from weakref import WeakMethod

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kafka_client.log import Outage, client_logger, repeating_logger
from kafka_client.statistics import BrokerStatistics, read_statistics

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

Headers = Sequence[tuple[str, bytes | None]]
DeliveryReport = Callable[[KafkaError | None, Message], None]


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record for Kafka. timestamp: milliseconds since 1970; None: Kafka's client takes the time of `produce`.

    The spool keeps records as arrays of these fields, so a new field goes to the end and has a default.
    """

    topic: str
    value: bytes | None
    headers: Headers | None = None
    key: bytes | None = None
    timestamp: int | None = None


Keep = Callable[[Sequence[Record]], bool]
"""Takes records that Kafka did not get, and stores them elsewhere, all or none. Returns whether it could."""

DEFAULTS: dict[str, Any] = {
    "acks": 1,
    # The bounds of librdkafka's queue; when it is full, produce() refuses.
    "queue.buffering.max.kbytes": 64 * 1024,
    "queue.buffering.max.messages": 100_000,
    "linger.ms": 5,
    # A topic that was just made is unknown to the brokers for a moment; its records wait for so long before they fail.
    # This is shorter than librdkafka's 30 s: failed records are kept and tried again, and meanwhile all records behind
    # them in the spool wait.
    "topic.metadata.propagation.max.ms": 5_000,
}
"""librdkafka options that the settings may override. All others have librdkafka's defaults."""

DURABLE: dict[str, Any] = {"acks": "all", "enable.idempotence": True}
"""librdkafka options of the durable profile: all in-sync replicas have each record, once and in order."""

UNHURRIED: dict[str, Any] = {
    # Fewer and larger requests cost less, here and in Kafka.
    "linger.ms": 20,
    "sticky.partitioning.linger.ms": 40,
    # When a broker hangs, records in its unanswered requests can't be moved to `keep`: the broker may store them when
    # it goes on. librdkafka's default has no bound, so that these were all records of the first seconds of a hang.
    "max.in.flight.requests.per.connection": 5,
}
"""librdkafka options of a producer that no caller waits for."""

STATISTICS: dict[str, Any] = {
    "statistics.interval.ms": 1000,
    # Regular requests for metadata keep an idle connection open, and show that a broker answers.
    "topic.metadata.refresh.interval.ms": 10_000,
}
"""librdkafka options of a producer that must know whether Kafka can be reached, even when it has nothing to deliver."""

REACHED_SECONDS = 25.0
"""With the options of STATISTICS, Kafka counts as reachable for so long after a broker's last answer."""

_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 5.0
# For so long after Kafka went away, and while records wait in vain, the queue is emptied into `keep` again and again:
# requests that were in flight fail one after the other, and their records come back to the queue.
_PURGE_SECONDS = 2.0
# Records that come back at once, and can't be kept, do not go round and round without a pause.
_PUT_BACK_SECONDS = 0.5
_ENTERED_SECONDS = 0.001
_KEEP_RECORDS = 500

HOPELESS = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG}
"""Codes of errors that are the record's own fault: Kafka will never take it, however often it is tried."""

OF_TOPIC = {
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_EXCEPTION,
    # By the topic's settings: it is compacted and the record has no key, or the clock of this machine is far ahead.
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_TIMESTAMP,
}
"""Codes of errors that concern one topic alone: the records of other topics can be delivered."""


class KafkaUnavailable(Exception):
    """A record was refused: the producer is closed, its queue is full, or Kafka has taken nothing for too long."""


class TopicUnavailable(KafkaUnavailable):
    """A record was refused: Kafka does not have its topic, or forbids it."""


@dataclass(frozen=True)
class DeliveryCounts:
    """What became of the records of a producer so far. refused: not taken; kept: not delivered, but given to `keep`."""

    delivered: int
    failed: int
    refused: int
    waiting: int
    kept: int = 0


class EventProducer:
    """Produces to Kafka in the background. A thread serves the delivery reports. Making one connects to nothing.

    config: librdkafka options; they override DEFAULTS.
    away_seconds: when records have waited for so long (beyond linger) and none was delivered, further ones are refused.
    keep: gets the records that were not delivered. When Kafka goes away, the whole queue goes there at once, so that
    nothing waits in memory. What it can't take goes back to the queue, and is given up at close alone. Records that
    were produced with `on_delivery` do not go there: their caller handles them.
    reports: whether `on_delivery` may be used. Without it, only failures call into Python, which is cheaper.
    Raises KafkaException for an option that librdkafka does not know.
    """

    def __init__(
        self, config: Mapping[str, Any], *, away_seconds: float, keep: Keep | None = None, reports: bool = False
    ) -> None:
        options = {**DEFAULTS, **config, "delivery.report.only.error": not reports}
        self._outage = Outage(logger, "events wait for it")
        # Weak references, so that the client and this object form no cycle. In a cycle, the garbage collector would
        # destroy the closed client at some later time, perhaps in a forked child, where that hangs.
        note_error, note_statistics = WeakMethod(self._note_error), WeakMethod(self._note_statistics)
        report = WeakMethod(self._report)
        self._producer = Producer(
            {
                **options,
                "error_cb": lambda error: (note := note_error()) and note(error),
                "stats_cb": lambda text: (note := note_statistics()) and note(text),
                "on_delivery": lambda error, message: (note := report()) and note(None, None, error, message),
            },
            logger=client_logger("events.librdkafka"),
        )
        linger = options.get("queue.buffering.max.ms", options["linger.ms"])  # the same option by its older name
        self._patience = away_seconds + float(linger) / 1000
        self._away_reason = f"Kafka has taken no event for {away_seconds:g} s"
        self._keep = keep
        self._reports = reports
        # Records handed to librdkafka. Threads add to it without a lock: CPython switches threads only at calls and
        # jumps, and `+=` has none.
        self._handed = 0
        # Only the thread that serves reports writes these: the poller, then the closer once the poller has ended.
        self._delivered = self._delivered_before = 0
        self._returned = 0
        self._unkept: list[Record] = []  # returned records that `keep` has not been given yet, or could not take
        self._keep_from = 0.0
        self._failed = 0
        self._kept = 0
        self._progressed_at = time.monotonic()
        self._is_stalled = False
        self.is_away = False
        """Whether Kafka can't be reached, or has taken nothing for too long. A delivery ends this state; when nothing
        waits, so does a broker's answer."""
        self._away_since = 0.0
        self.statistics = BrokerStatistics()
        """librdkafka's last report, with the options of STATISTICS."""
        self._reached_at = self._lost_at = -math.inf
        self._can_keep = False  # whether `keep` has taken all that it was given since Kafka went away
        self._keeps_in_flight = False
        self._purge_until = 0.0
        # Has an entry for each thread that is handing records to librdkafka. A deque needs no lock for append and pop.
        self._entered: deque[None] = deque()
        self._is_closed = False
        self._left: int | None = None  # records that were in the queue at the end of close()
        # Refusals are rare, so counting them may cost a lock.
        self._lock = threading.Lock()
        self._refused = 0
        self._is_refusing = False
        self._refused_topics: set[str] = set()
        self._stop_polling = threading.Event()
        self._poller = threading.Thread(target=self._serve_reports, name="kafka-delivery-reports", daemon=True)
        self._poller.start()

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        timestamp: int | None = None,
        headers: Headers | None = None,
        on_delivery: DeliveryReport | None = None,
    ) -> None:
        """Hands one record (see Record) to librdkafka and returns at once.

        on_delivery: called from the thread of the reports, after the outcome was counted; for producers with `reports`.
        Raises KafkaUnavailable (TopicUnavailable when only the record's topic is unavailable), and KafkaException for a
        record that librdkafka will never take, such as one that is too large.
        """
        if on_delivery is not None and not self._reports:
            raise ValueError("this producer was made without reports")
        report: DeliveryReport | None = None if on_delivery is None else partial(self._report_to, on_delivery)
        # First _entered, then _is_closed: close() sets _is_closed and waits until _entered is empty. So each record is
        # either refused or in the queue before close() flushes it.
        self._entered.append(None)
        try:
            if self._is_closed:
                raise self._refusal("the producer is closed")
            if self._is_stalled:
                raise self._refusal(self._away_reason)
            if headers or timestamp:
                # librdkafka's report of a failure contains neither of them, so they travel with the callback.
                report = report or partial(self._report, headers, timestamp)
            self._producer.produce(topic, value, key=key, timestamp=timestamp or 0, headers=headers, on_delivery=report)
            self._handed += 1
        except BufferError:
            raise self._refusal("the queue to Kafka is full") from None
        except KafkaException as error:
            if error.args[0].code() in HOPELESS:
                raise
            if error.args[0].code() in OF_TOPIC:
                raise self._topic_refusal(topic, error.args[0].str()) from error
            raise self._refusal(error.args[0].str()) from error
        finally:
            self._entered.pop()
        if self._refused_topics:
            self._refused_topics.discard(topic)
        if self._is_refusing:
            self._is_refusing = False
            logger.info("events are taken again; %d were refused so far", self._refused)

    def produce_all(self, records: Sequence[Record]) -> Sequence[int]:
        """Hands records to librdkafka, none while Kafka is away. Returns the indexes of the records it did not take."""
        self._entered.append(None)
        try:
            if self._is_closed or self.is_away:
                return range(len(records))
            left = self._produce_each(records)
            taken = len(records) - len(left)
            self._handed += taken
        finally:
            self._entered.pop()
        if left:
            self._refused += 1
        return left

    def _produce_each(self, records: Sequence[Record]) -> list[int]:
        # produce() with two arguments is faster than produce_batch(), which needs a dict for each record.
        produce = self._producer.produce
        left = []
        for index, record in enumerate(records):
            headers, key, timestamp = record.headers, record.key, record.timestamp
            try:
                if headers or key is not None or timestamp:
                    report = partial(self._report, headers, timestamp)
                    # Keywords would take half as long again. -1: any partition; None: another name of `report`.
                    produce(record.topic, record.value, key, -1, report, None, timestamp or 0, headers)
                else:
                    produce(record.topic, record.value)
            except (BufferError, KafkaException):
                left.append(index)
        return left

    def _count_waiting(self) -> int:
        # librdkafka counts its errors and statistics that nobody has taken yet as well. After close() nobody does.
        return len(self._producer) if self._left is None else self._left

    def _count_delivered(self) -> int:
        """How many records librdkafka has neither in its queue any more nor has given back."""
        # In this order, a record that is handed over or returned meanwhile makes the result too small, never too large.
        handed = self._handed
        waiting = self._count_waiting()
        return max(self._delivered, handed - waiting - self._returned)

    def counts(self) -> DeliveryCounts:
        """What became of the records so far."""
        delivered = self._count_delivered()
        waiting = self._count_waiting() + len(self._unkept)
        return DeliveryCounts(delivered, self._failed, self._refused, waiting, self._kept)

    @property
    def is_reached(self) -> bool:
        """Whether a broker has answered within REACHED_SECONDS, and since all brokers were lost, if they were.

        By the statistics (the options of STATISTICS). Where records wait and none is delivered, this tells a Kafka that
        is away from topics that are stuck.
        """
        return self._reached_at > max(self._lost_at, time.monotonic() - REACHED_SECONDS)

    @property
    def is_closed(self) -> bool:
        """Whether close() was called: every further event is refused."""
        return self._is_closed

    def keep_in_flight(self) -> None:
        """From now on, when Kafka is away, `keep` is given the records in flight, too: they may come twice.

        For a process that will end, perhaps by kill -9, so that close() is not called.
        """
        self._keeps_in_flight = True

    def close(self, timeout: float) -> int:
        """Refuses further records, and waits up to `timeout` seconds for the delivery of those in the queue.

        Returns how many were not delivered by then.
        """
        self._is_closed = True
        while self._entered:
            time.sleep(_ENTERED_SECONDS)
        self._stop_polling.set()
        self._poller.join()
        left: int = self._producer.flush(timeout)
        returned_before = self._returned - len(self._unkept)
        if left:
            # Each record that still waits now fails, so that it is kept elsewhere, or counted and logged.
            self._producer.purge()
            left = self._producer.flush(_CLOSE_SECONDS)
        undelivered = self._returned - returned_before + left
        if undelivered:
            logger.error("%d events were not delivered to Kafka within %g s of shutdown", undelivered, timeout)
        self._keep_returned(otherwise=partial(self._give_up, "it can't be kept elsewhere"))
        self._keep = None
        self._left = left
        return undelivered

    def _refusal(self, reason: str) -> KafkaUnavailable:
        with self._lock:
            self._refused += 1
            if not self._is_refusing:
                self._is_refusing = True
                logger.error("events are refused: %s; %d wait", reason, len(self._producer))
        return KafkaUnavailable(reason)

    def _topic_refusal(self, topic: str, reason: str) -> TopicUnavailable:
        with self._lock:
            self._refused += 1
            if topic not in self._refused_topics:
                self._refused_topics.add(topic)
                logger.error("events for %s are refused: %s", topic, reason)
        return TopicUnavailable(reason)

    def _serve_reports(self) -> None:
        while not self._stop_polling.is_set():
            try:
                self._producer.poll(_POLL_SECONDS)
                self._watch()
                if time.monotonic() >= self._keep_from:
                    self._keep_returned(otherwise=self._put_back)
            except Exception:
                # An on_delivery that raises must not end the reports of all other records.
                loop_logger.exception("a delivery report could not be handled")

    def _watch(self) -> None:
        """Notices that Kafka takes nothing, and that it takes events again."""
        self._delivered = self._count_delivered()
        if self._delivered != self._delivered_before:
            self._delivered_before = self._delivered
            self._progressed_at = time.monotonic()
            self.is_away = False
            self._outage.over("it takes events again")
        elif not len(self._producer):
            self._progressed_at = time.monotonic()
        self._is_stalled = time.monotonic() - self._progressed_at > self._patience
        if self._is_stalled:
            self._go_away()
        if self.is_away and self._can_keep and (self._is_stalled or time.monotonic() < self._purge_until):
            self._purge()

    def _note_error(self, error: KafkaError) -> None:
        self._outage.note(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._lost_at = time.monotonic()
            self._go_away()

    def _note_statistics(self, text: str) -> None:
        self.statistics = read_statistics(text)
        if self.statistics.silent_seconds is None:
            return
        self._reached_at = time.monotonic() - self.statistics.silent_seconds
        if self.is_away and self._reached_at > self._away_since and not len(self._producer):
            self.is_away = False
            self._outage.over("it can be reached again")

    def _go_away(self) -> None:
        if self.is_away:
            return
        self._away_since = time.monotonic()
        self._delivered_before = self._delivered  # a delivery after this one ends the outage
        self.is_away = True
        self._can_keep = self._keep is not None
        if self._can_keep:
            self._purge_until = time.monotonic() + _PURGE_SECONDS
            self._purge()

    def _purge(self) -> None:
        # Kafka may have the records in flight. They come back to the queue when their connection ends.
        self._producer.purge(in_queue=True, in_flight=self._keeps_in_flight, blocking=False)

    def _report(
        self, headers: Headers | None, timestamp: int | None, error: KafkaError | None, message: Message
    ) -> None:
        if error is None:
            return
        self._returned += 1
        if timestamp is None:
            timestamp = int((time.time() - message.latency()) * 1000)  # when it was produced
        record = Record(message.topic(), message.value(), headers, message.key(), timestamp)
        if self._keep is None or error.code() in HOPELESS:
            self._give_up(error.str(), [record])
        else:
            self._unkept.append(record)

    def _keep_returned(self, otherwise: Callable[[list[Record]], Sequence[Record]]) -> None:
        """Has the returned records kept elsewhere, many at once: each time may cost an fsync.

        otherwise: is given those that can't be kept, and returns those to try again later.
        """
        for _ in range(0, len(self._unkept), _KEEP_RECORDS):
            records = self._unkept[:_KEEP_RECORDS]
            left: Sequence[Record] = ()
            if self._keep is not None and self._keep(records):
                self._kept += len(records)
            else:
                left = otherwise(records)
            del self._unkept[: len(records)]
            self._unkept += left
            if left:
                return

    def _put_back(self, records: list[Record]) -> list[Record]:
        """Gives records to librdkafka once more; returns those that it does not take at once."""
        self._can_keep = False  # the rest of the queue could not be kept either
        self._keep_from = time.monotonic() + _PUT_BACK_SECONDS
        left = self._produce_each(records)
        self._handed += len(records) - len(left)
        return [records[index] for index in left]

    def _give_up(self, reason: str, records: list[Record]) -> Sequence[Record]:
        self._failed += len(records)
        for record in records:
            text = (record.value or b"").decode(errors="backslashreplace")
            logger.error("event not delivered to %s: %s: %r", record.topic, reason, text)
        return ()

    def _report_to(self, on_delivery: DeliveryReport, error: KafkaError | None, message: Message) -> None:
        # The caller handles a failure, so it is neither counted as one nor logged here.
        self._returned += error is not None
        on_delivery(error, message)


def check_options(config: Mapping[str, Any]) -> None:
    """Raises ValueError for an option or value that a producer can't be made or used with; connects to nothing."""
    options = {key: value for key, value in config.items() if key != "bootstrap.servers"}
    if "transactional.id" in options:
        raise ValueError("transactional.id can't be used: this producer sends no transactions")
    try:
        Producer({**DEFAULTS, **options, "log_level": 0})
    except KafkaException as error:
        raise ValueError(error.args[0].str()) from error
    except TypeError as error:
        raise ValueError(str(error)) from error
