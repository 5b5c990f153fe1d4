"""Records that a sink can't use go to a topic of their own, byte for byte, with the reason and their origin."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message

from kafka_client.producer import EventProducer, KafkaUnavailable
from sinks.loop.writer import Deliver
from sinks.records import Partition, Record, Rejected
from worker.dead_letters import letter_headers, origin_alone
from worker.errors import Pending, Retriable

logger = logging.getLogger(__name__)

PRODUCER_OPTIONS = {
    "acks": "all",
    "enable.idempotence": True,
    # Whatever the source topic took, headers added; the broker has the last word.
    "message.max.bytes": 256 * 1024 * 1024,
    "queue.buffering.max.kbytes": 512 * 1024,
}
"""librdkafka options of the producer of dead letters."""

_ROUND_SECONDS = 10.0
# The first try waits so long for the answer, which takes some milliseconds as a rule. Later tries hold no thread: those
# of many partitions whose dead letters are stuck would leave the others little of the threads that store.
_ANSWER_SECONDS = 0.1


class Letter:
    """One dead letter on its way."""

    def __init__(self, sink: str, partition: Partition, record: Record, reason: str) -> None:
        self.value = record.value
        self.key = record.key
        origin = (partition.topic, partition.number, record.offset)
        self.headers = letter_headers(
            record.headers or (), reason=reason, by=("sink", sink), origin=origin, timestamp=record.timestamp
        )
        self.is_sent = False

    def shrink(self) -> bool:
        """Keeps reason and origin alone; False when there is nothing more to leave out."""
        if self.value is None and self.key is None:
            return False
        self.headers = origin_alone(self.headers, self.value)
        self.value = self.key = None
        return True


class Round:
    """Delivers letters together; each is sent again only when it is known not to have arrived."""

    def __init__(self, producer: EventProducer, topic: str, letters: list[Letter]) -> None:
        self._producer = producer
        self._topic = topic
        self._missing = list(letters)
        self._error = ""
        self._answer_seconds = _ANSWER_SECONDS
        self._changed = threading.Condition()
        self._deadline = time.monotonic() + _ROUND_SECONDS

    def deliver(self) -> None:
        """Returns once Kafka has acknowledged every letter.

        Raises Pending while answers of Kafka are due, Retriable when some have not come for long; then call it again.
        """
        with self._changed:
            if self._missing:
                self._send()
                self._changed.wait_for(lambda: not self._missing, self._answer_seconds)
                self._answer_seconds = 0.0
            if not self._missing:
                return
            text = f"{len(self._missing)} dead letters to {self._topic}: {self._error or 'no answer'}"
            if time.monotonic() < self._deadline:
                raise Pending(text)
            self._deadline = time.monotonic() + _ROUND_SECONDS
            raise Retriable(text, reason="kafka")

    def _send(self) -> None:
        for letter in self._missing:
            if letter.is_sent:
                continue
            try:
                to, told = self._topic, partial(self._note_answer, letter)
                self._producer.produce(to, letter.value, key=letter.key, headers=letter.headers, on_delivery=told)
            except KafkaUnavailable as error:
                self._error = str(error)
                return  # the queue is full: what is in it goes first
            except KafkaException as error:
                self._error = error.args[0].str()
                if not letter.shrink():
                    raise Retriable(f"a dead letter to {self._topic}: {self._error}", reason="kafka") from error
                return
            letter.is_sent = True

    def _note_answer(self, letter: Letter, error: KafkaError | None, _: Message) -> None:
        with self._changed:
            if error is None:
                self._missing.remove(letter)
            else:
                self._error = error.str()
                letter.is_sent = False
                if error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                    letter.shrink()
            self._changed.notify_all()


def dead_letters(producer: EventProducer, *, sink: str, topic_of: Callable[[str], str]) -> Deliver:
    """Produces rejected records to the dead-letter topic of their topic.

    producer: one with PRODUCER_OPTIONS; sink: its name; topic_of: gives the dead-letter topic of a topic.

    The headers are the record's own and: dlq.reason, dlq.sink, dlq.topic, dlq.partition, dlq.offset, dlq.timestamp. Of
    a record that the dead-letter topic refuses for its size only these are kept, with dlq.size in bytes.
    """

    def deliver(partition: Partition, rejected: Sequence[Rejected]) -> Callable[[], None]:
        record, reason, _ = rejected[0]
        if len(rejected) == 1:
            logger.warning("%s offset %d is a dead letter: %r", partition, record.offset, reason)
        else:
            last = rejected[-1].record.offset
            text = "%s: %d records of offsets %d to %d are dead letters, the first for: %r"
            logger.warning(text, partition, len(rejected), record.offset, last, reason)
        letters = [Letter(sink, partition, record, reason) for record, reason, _ in rejected]
        return Round(producer, topic_of(partition.topic), letters).deliver

    return deliver
