"""The Kafka producer of one process: never waits for Kafka, counts every delivery, says no when it can't keep up.

No Django here: sinks use it for their dead letters too.
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

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kafka_client.log import Outage, client_logger, repeating_logger
from kafka_client.statistics import BrokerStatistics, read_statistics

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

Headers = list[tuple[str, bytes]]
DeliveryReport = Callable[[KafkaError | None, Message], None]

Record = tuple[str, bytes, Headers | None]
"""Topic, value and headers."""

Keep = Callable[[str, bytes, Headers | None], bool]
"""Keeps a record (topic, value, headers) that was not delivered elsewhere; whether it could."""

DEFAULTS: dict[str, Any] = {
    "acks": 1,
    # What waits for Kafka is bounded; above it, produce() refuses.
    "queue.buffering.max.kbytes": 64 * 1024,
    "queue.buffering.max.messages": 100_000,
    "linger.ms": 5,
    # How long a topic may be unknown to the brokers, as one is that was made just now, until its records fail. Shorter
    # than librdkafka's 30 s, for what fails is kept and tried again, and others wait behind it in the spool.
    "topic.metadata.propagation.max.ms": 5_000,
}
"""librdkafka options that the settings may override; everything else is librdkafka's default."""

DURABLE: dict[str, Any] = {"acks": "all", "enable.idempotence": True}
"""The options of the durable profile: all replicas in sync have a record, once and in order."""

UNHURRIED: dict[str, Any] = {"linger.ms": 20, "sticky.partitioning.linger.ms": 40}
"""The options of a producer that nobody waits for: fewer and larger requests cost less, here and in Kafka."""

STATISTICS: dict[str, Any] = {
    "statistics.interval.ms": 1000,
    # A client that asks for metadata now and then is not disconnected as idle, and hears from a broker.
    "topic.metadata.refresh.interval.ms": 10_000,
}
"""The options of a producer that is to know whether Kafka can be reached, also while it has nothing to deliver."""

REACHED_SECONDS = 25.0
"""How long a broker that was heard counts as reachable, with the options of STATISTICS."""

_POLL_SECONDS = 0.1
_CLOSE_SECONDS = 5.0
# For so long after Kafka went away, what is in the queue, or comes back to it, is kept elsewhere.
_PURGE_SECONDS = 2.0
_ENTERED_SECONDS = 0.001

HOPELESS = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_RECORD}
"""The codes of errors of the record itself: no further try, nor another place, would help."""

OF_TOPIC = {
    KafkaError._UNKNOWN_TOPIC,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_EXCEPTION,
}
"""The codes of errors that concern the records of one topic alone."""


class KafkaUnavailable(Exception):
    """An event was refused: the queue is full, or Kafka has taken nothing for too long."""


class TopicUnavailable(KafkaUnavailable):
    """An event was refused: Kafka does not have its topic, or forbids it."""


@dataclass(frozen=True)
class DeliveryCounts:
    """What became of the events of this process so far (records). kept: not delivered, but kept elsewhere."""

    delivered: int
    failed: int
    refused: int
    waiting: int
    kept: int = 0


class EventProducer:
    """Produces to Kafka in the background; one thread of its own serves delivery reports. Made without connecting.

    config: librdkafka options, those of DEFAULTS may be overridden.
    away_seconds: when events have been waiting for so long (beyond linger) with no delivery, further ones are refused.
    keep: where records go that were not delivered; with one, Kafka being away empties the queue into it at once, so
    that nothing waits in memory. Records with a delivery report of their own are their caller's.
    reports: whether deliveries are reported to callers, too; without, only a failure costs a call of Python.
    Raises KafkaException for an option that librdkafka does not know.
    """

    def __init__(
        self, config: Mapping[str, Any], *, away_seconds: float, keep: Keep | None = None, reports: bool = False
    ) -> None:
        options = {**DEFAULTS, **config, "delivery.report.only.error": not reports}
        self._outage = Outage(logger, "events wait for it")
        # A cycle of references would leave the end of a closed client to the garbage collector, perhaps in a forked
        # child, where it hangs.
        note_error, note_statistics = WeakMethod(self._note_error), WeakMethod(self._note_statistics)
        report = WeakMethod(self._report_plain)
        self._producer = Producer(
            {
                **options,
                "error_cb": lambda error: (note := note_error()) and note(error),
                "stats_cb": lambda text: (note := note_statistics()) and note(text),
                "on_delivery": lambda error, message: (note := report()) and note(error, message),
            },
            logger=client_logger("events.librdkafka"),
        )
        linger = options.get("queue.buffering.max.ms", options["linger.ms"])  # the same option by its older name
        self._patience = away_seconds + float(linger) / 1000
        self._away_reason = f"Kafka has taken no event for {away_seconds:g} s"
        self._keep = keep
        self._reports = reports
        # Threads add to it without a lock: CPython changes threads at calls and jumps, and there is none in `+=`.
        self._handed = 0
        # Only the thread that serves reports writes these: the poller, then the closer once the poller has ended.
        self._delivered = self._delivered_before = 0
        self._returned = 0
        self._failed = 0
        self._kept = 0
        self._progressed_at = time.monotonic()
        self._is_stalled = False
        self.is_away = False
        """Whether Kafka can't be reached, or has taken nothing for too long; a delivery ends it, or a broker that is
        heard while nothing waits."""
        self._away_since = 0.0
        self.statistics = BrokerStatistics()
        """What librdkafka told last, with the options of STATISTICS."""
        self._reached_at = -math.inf
        self._purge_until = 0.0
        # Callers that are on their way into librdkafka: appending and popping take no lock.
        self._entered: deque[None] = deque()
        self._is_closed = False
        # Refusing is rare enough for a lock.
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
        headers: Headers | None = None,
        on_delivery: DeliveryReport | None = None,
    ) -> None:
        """Hands one record to librdkafka and returns at once.

        on_delivery: called from the reports' thread, after the outcome was counted; for producers with `reports`.
        Raises KafkaUnavailable (TopicUnavailable where only its topic is), and KafkaException for a record that
        librdkafka will never take (too large).
        """
        if on_delivery is not None and not self._reports:
            raise ValueError("this producer was made without reports")
        report: DeliveryReport | None = None if on_delivery is None else partial(self._report_to, on_delivery)
        # Entering before looking makes close() exact: a record is either refused or in the queue before its last flush.
        self._entered.append(None)
        try:
            if self._is_closed:
                raise self._refusal("the producer is closed")
            if self._is_stalled:
                raise self._refusal(self._away_reason)
            if headers:
                # A failed record's report has lost them.
                report = report or partial(self._report, headers)
                self._producer.produce(topic, value, key=key, headers=headers, on_delivery=report)
            else:
                self._producer.produce(topic, value, key=key, on_delivery=report)
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
        """Hands records to librdkafka, none while Kafka is away; returns the indexes of those that it did not take."""
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
        # produce() with two arguments is quicker than produce_batch(), which wants a dict for each record.
        produce = self._producer.produce
        left = []
        for index, (topic, value, headers) in enumerate(records):
            try:
                if headers:
                    produce(topic, value, headers=headers, on_delivery=partial(self._report, headers))
                else:
                    produce(topic, value)
            except (BufferError, KafkaException):
                left.append(index)
        return left

    def _count_delivered(self) -> int:
        """What librdkafka was handed, and neither has any more nor gave back."""
        # In this order what happens meanwhile makes it too small, never too large.
        handed = self._handed
        waiting = len(self._producer)
        return max(self._delivered, handed - waiting - self._returned)

    def counts(self) -> DeliveryCounts:
        """Deliveries so far."""
        delivered = self._count_delivered()
        return DeliveryCounts(delivered, self._failed, self._refused, len(self._producer), self._kept)

    @property
    def is_reached(self) -> bool:
        """Whether a broker was heard lately, by librdkafka's statistics (the options of STATISTICS).

        Where events wait and none is delivered, it tells a Kafka that is away from topics that are stuck.
        """
        is_silent = self.is_away and self._reached_at <= self._away_since
        return not is_silent and time.monotonic() - self._reached_at < REACHED_SECONDS

    @property
    def is_closed(self) -> bool:
        """Whether close() was called: every further event is refused."""
        return self._is_closed

    def close(self, timeout: float) -> int:
        """Refuses further events and waits up to `timeout` seconds for the delivery of those that wait.

        Returns how many were not delivered by then.
        """
        self._is_closed = True
        while self._entered:
            time.sleep(_ENTERED_SECONDS)
        self._stop_polling.set()
        self._poller.join()
        undelivered: int = self._producer.flush(timeout)
        if undelivered:
            logger.error("%d events were not delivered to Kafka within %g s of shutdown", undelivered, timeout)
            # Fails each of them, so that it is kept elsewhere, or counted and logged.
            self._producer.purge()
            self._producer.flush(_CLOSE_SECONDS)
        self._keep = None
        self._delivered = self._count_delivered()
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
            except Exception:
                # One on_delivery that fails must not end the reports of all others.
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
            # A broker that was heard in the later half of this time is there: it is the topics that are stuck.
            self._go_away(since=self._progressed_at + self._patience / 2)
        if self.is_away and time.monotonic() < self._purge_until:
            self._purge()

    def _note_error(self, error: KafkaError) -> None:
        self._outage.note(error)
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._go_away(since=time.monotonic())

    def _note_statistics(self, text: str) -> None:
        self.statistics = read_statistics(text)
        if self.statistics.silent_seconds is None:
            return
        self._reached_at = time.monotonic() - self.statistics.silent_seconds
        if self.is_away and self._reached_at > self._away_since and not len(self._producer):
            self.is_away = False
            self._outage.over("it can be reached again")

    def _go_away(self, *, since: float) -> None:
        if self.is_away:
            return
        self._away_since = since
        self._delivered_before = self._delivered  # only what is delivered from now on tells that it is back
        self.is_away = True
        if self._keep is not None:
            self._purge_until = time.monotonic() + _PURGE_SECONDS
            self._purge()

    def _purge(self) -> None:
        # Without those in flight, which Kafka may have; they come back to the queue when their connection ends.
        self._producer.purge(in_queue=True, in_flight=False, blocking=False)

    def _report_plain(self, error: KafkaError | None, message: Message) -> None:
        self._report(None, error, message)

    def _report(self, headers: Headers | None, error: KafkaError | None, message: Message) -> None:
        if error is None:
            return
        self._returned += 1
        value = message.value() or b""
        if self._keep is not None and error.code() not in HOPELESS and self._keep(message.topic(), value, headers):
            self._kept += 1
            return
        self._note_failure(error, message)

    def _report_to(self, on_delivery: DeliveryReport, error: KafkaError | None, message: Message) -> None:
        # Its caller knows, and says so: it is no failure of this process, and no matter for its log.
        self._returned += error is not None
        on_delivery(error, message)

    def _note_failure(self, error: KafkaError, message: Message) -> None:
        self._failed += 1
        value = (message.value() or b"").decode(errors="backslashreplace")
        logger.error("event not delivered to %s: %s: %r", message.topic(), error.str(), value)


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
