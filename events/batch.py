"""A batch of records on their way to Kafka, and what became of each. No Django here."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message

from kafka_client.producer import HOPELESS, OF_TOPIC, EventProducer, KafkaUnavailable, Record, TopicUnavailable

# What Kafka answers, among others, to a record with a timestamp that its topic does not take.
_OF_TIME = {KafkaError.INVALID_RECORD, KafkaError.INVALID_TIMESTAMP}

_encode = msgspec.msgpack.Encoder().encode


def to_payloads(records: Iterable[Record]) -> list[bytes]:
    """Records as the spool holds them. One without a timestamp gets the present time, for it may be delivered late."""
    now = int(time.time() * 1000)
    # A tuple of its fields is encoded as the record itself, and is made faster than a record with another timestamp.
    return [_encode((each.topic, each.value, each.headers, each.key, each.timestamp or now)) for each in records]


from_payload: Callable[[bytes], Record] = msgspec.msgpack.Decoder(Record).decode
"""The record of a payload. Raises msgspec.DecodeError."""


class Batch:
    """Records that are sent in rounds: what one round does not deliver, the next one does.

    count: of what was read for it, damaged records included; on_end: called when a round has all of its reports.
    """

    def __init__(self, records: Sequence[Record], count: int, on_end: Callable[[], object]) -> None:
        self.records = records
        self._untimed: set[int] = set()  # records that Kafka is asked to take without their times
        self.count = count
        self._on_end = on_end
        self._unsent: deque[int] = deque()  # what this round has yet to hand to Kafka's client, by index
        self.missing: dict[str, str] = {}
        """The topics that Kafka does not have, or forbids, by the reports of this round; with Kafka's words."""
        self.failed: dict[str, str] = {}
        """The topics of the other records that this round did not deliver; with Kafka's words."""
        self.hopeless: dict[int, str] = {}
        """The records that Kafka will never take, by index, with Kafka's words: they are not tried again."""
        self._is_done = [False] * len(records)
        self._lock = threading.Lock()
        self._waiting = 0

    @property
    def has_ended(self) -> bool:
        """Whether this round has all of its reports."""
        return not self._waiting

    def undelivered(self) -> list[int]:
        """The records that Kafka has not acknowledged, in order, without the hopeless ones."""
        return [index for index, is_done in enumerate(self._is_done) if not is_done]

    def begin(self, *, only_first: bool = False) -> None:
        """Begins a round with all records that are not delivered, or with the first of them."""
        self.missing, self.failed = {}, {}
        self._unsent.extend(self.undelivered()[: 1 if only_first else None])
        self._waiting = len(self._unsent)

    def send(self, producer: EventProducer) -> None:
        """Hands the rest of the round to Kafka's client. Raises KafkaUnavailable when it takes no more at present."""
        while self._unsent:
            index = self._unsent[0]
            record = self.records[index]
            try:
                producer.produce(
                    record.topic,
                    record.value,
                    key=record.key,
                    timestamp=None if index in self._untimed else record.timestamp,
                    headers=record.headers,
                    on_delivery=partial(self._note, index),
                )
            except TopicUnavailable as error:
                self._fail(index, str(error), self.missing)
            except KafkaException as error:
                self._drop(index, error.args[0])
            self._unsent.popleft()

    def send_or_fail(self, producer: EventProducer) -> None:
        """As `send`, but this round does not deliver what the client does not take at once."""
        try:
            self.send(producer)
        except KafkaUnavailable as error:
            while self._unsent:
                self._fail(self._unsent.popleft(), str(error), self.failed)

    def hand_over(self, indexes: Iterable[int]) -> None:
        """These records are in another spool now."""
        for index in indexes:
            self._is_done[index] = True

    def _note(self, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of a record."""
        if error is None:
            self._is_done[index] = True
            self._end_one()
        elif error.code() in _OF_TIME and self.records[index].timestamp is not None and index not in self._untimed:
            # The time may be too old for the topic, or from a clock that was ahead. The next round goes without it.
            self._untimed.add(index)
            self._end_one()
        elif error.code() == KafkaError._INVALID_DIFFERENT_RECORD:
            self._end_one()  # another record of the same request was refused, and the next round goes without that one
        elif error.code() in HOPELESS:
            self._drop(index, error)
        else:
            self._fail(index, error.str(), self.missing if error.code() in OF_TOPIC else self.failed)

    def _fail(self, index: int, reason: str, topics: dict[str, str]) -> None:
        topics[self.records[index].topic] = reason
        self._end_one()

    def _drop(self, index: int, error: KafkaError) -> None:
        self.hopeless[index] = error.str()
        self._is_done[index] = True
        self._end_one()

    def _end_one(self) -> None:
        with self._lock:
            self._waiting -= 1
        if not self._waiting:
            self._on_end()
