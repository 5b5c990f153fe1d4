"""Produces records in Kafka transactions, and says of each failure what the owner of the transaction has to do."""

import threading
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kafka_client.producer import Record
from worker.errors import Fatal, Fenced, Pending, Retriable

PRODUCER_DEFAULTS: dict[str, Any] = {
    # Kafka ends the transaction of an owner that died without a successor after this time. Until then, readers of
    # committed records wait at its beginning.
    "transaction.timeout.ms": 30_000,
    "linger.ms": 5,
    "reconnect.backoff.max.ms": 2_000,
    "queue.buffering.max.kbytes": 64 * 1024,
}
"""librdkafka options that a source's `producer` setting may override."""

PRODUCER_REQUIRED: dict[str, Any] = {
    "enable.idempotence": True,
    "delivery.report.only.error": True,
}
"""librdkafka options without which records could be lost or come twice; no setting overrides them."""

# When a commit is under way, the client says so instead of dropping the transaction. The next owner ends either.
warnings.filterwarnings("ignore", message="Producer abort_transaction failed during close", category=RuntimeWarning)

_INIT_SECONDS = 5.0
_COMMIT_SECONDS = 1.0
_CLOSE_SECONDS = 1.0
_FULL_SECONDS = 30.0
_ROOM_SECONDS = 0.1
_SIZE = {KafkaError.MSG_SIZE_TOO_LARGE}
_FENCED = {
    KafkaError._FENCED,
    KafkaError.PRODUCER_FENCED,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError._FATAL,  # produce() says no more than this of a producer that was fenced within the transaction
}


class TooLarge(Exception):
    """Kafka's client refuses a record for its size, before it is sent."""

    def __init__(self, record: Record, why: str) -> None:
        super().__init__(why)
        self.record = record


class Transactions:
    """The transactions of one transactional id, one after the other.

    make_producer: makes one with the transactional id, PRODUCER_DEFAULTS and PRODUCER_REQUIRED, which tells the
    callback of each record that was not delivered.

    After Fenced or Retriable the object is used up: `close` it, and take over again with a new one. Kafka then drops
    what was open. After Pending, the same method is called again.
    """

    def __init__(self, make_producer: Callable[[Callable[[KafkaError, Message], None]], Producer]) -> None:
        self._refusal: KafkaError | None = None
        self._refused_topic = ""
        self._producer = make_producer(self._note)

    def take_over(self) -> None:
        """Fences every earlier owner of the transactional id: it can't commit any more, what it had open is dropped."""
        try:
            self._producer.init_transactions(_INIT_SECONDS)
        except KafkaException as error:
            raise self._outcome(error, "taking over") from error

    def begin(self) -> None:
        """Begins a transaction."""
        try:
            self._producer.begin_transaction()
        except KafkaException as error:
            raise self._outcome(error, "begin", can_repeat=False) from error

    def produce(self, records: Iterable[Record], *, partition: int = -1) -> None:
        """Adds records to the transaction. partition: -1 lets the client choose.

        Raises TooLarge, too; the records before the one that is too large are in the transaction, and an iterator goes
        on with the one behind it.
        """
        produce = self._producer.produce
        for record in records:
            topic, key, headers, timestamp = record.topic, record.key, record.headers, record.timestamp or 0
            try:
                # Keywords would take half as long again. The two None: no delivery report, by either of its names.
                produce(topic, record.value, key, partition, None, None, timestamp, headers)
            except BufferError:
                self._wait_for_room(record, partition)
            except KafkaException as error:
                raise self._refused(error, record) from error
        self._producer.poll(0)

    def _wait_for_room(self, record: Record, partition: int) -> None:
        deadline = time.monotonic() + _FULL_SECONDS
        topic, key, headers, timestamp = record.topic, record.key, record.headers, record.timestamp or 0
        while True:
            self._producer.poll(_ROOM_SECONDS)
            try:
                self._producer.produce(topic, record.value, key, partition, None, None, timestamp, headers)
            except BufferError:
                if time.monotonic() > deadline:
                    raise Retriable("Kafka takes nothing: the queue is full", reason="kafka") from None
            except KafkaException as error:
                raise self._refused(error, record) from error
            else:
                return

    def _refused(self, error: KafkaException, record: Record) -> Exception:
        if error.args[0].code() in _SIZE:
            return TooLarge(record, error.args[0].str())
        return self._outcome(error, f"producing to {record.topic}", can_repeat=False)

    def commit(self) -> None:
        """Commits the transaction. Raises Pending while Kafka has not answered, and Fatal, too."""
        try:
            self._producer.commit_transaction(_COMMIT_SECONDS)
        except KafkaException as error:
            raise self._outcome(error, "commit") from error

    def close(self) -> None:
        """Drops what was not committed. Kafka hears of it now, or when the transactional id is taken over next."""
        self._producer.purge()
        # The client tells Kafka that the transaction is dropped, and has no time-out for a Kafka that hangs.
        closing = threading.Thread(target=self._close, name="closes-a-producer", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)

    def _close(self) -> None:
        with suppress(KafkaException):  # one that was fenced has nothing to tell Kafka
            self._producer.close()

    def _note(self, error: KafkaError, message: Message) -> None:
        """A record was not delivered: the transaction can't be committed any more."""
        if self._refusal is None and error.code() not in (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT):
            self._refusal = error
            self._refused_topic = message.topic() or ""

    def _outcome(self, exception: KafkaException, what: str, *, can_repeat: bool = True) -> Exception:
        error: KafkaError = exception.args[0]
        if self._refusal is not None and self._refusal.code() in _SIZE:
            return Fatal(
                f"topic {self._refused_topic} refuses a batch for its size: raise its max.message.bytes, or set "
                "message.max.bytes in the source's `producer` to less than it; then only records that are too large "
                "themselves are refused, before they are sent"
            )
        if error.code() in _FENCED:
            return Fenced(f"{what}: {error.str()}")
        why = error.str() if self._refusal is None else f"{self._refused_topic}: {self._refusal.str()}"
        if can_repeat and error.retriable() and not error.txn_requires_abort() and not error.fatal():
            return Pending(f"Kafka: {what}: {why}", reason="kafka")
        return Retriable(f"Kafka: {what}: {why}", reason="kafka")
