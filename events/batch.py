"""A batch of records on their way to Kafka, and what became of each. No Django here."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from confluent_kafka import KafkaError, Message

from kafka_client.producer import HOPELESS, OF_TOPIC, Record

logger = logging.getLogger(__name__)


class Batch:
    """Records that are sent in rounds: what one round does not deliver, the next one does.

    count: of what was read for it, damaged records included; on_end: called when a round has all of its reports.
    """

    def __init__(self, records: Sequence[Record], count: int, on_end: Callable[[], object]) -> None:
        self.records = records
        self.count = count
        self._on_end = on_end
        self.unsent: deque[int] = deque()
        """The records that this round has yet to hand to Kafka's client, by index."""
        self.missing: dict[str, str] = {}
        """The topics that Kafka does not have, or forbids, by the reports of this round; with Kafka's words."""
        self.failed: dict[str, str] = {}
        """The topics of the other records that this round did not deliver; with Kafka's words."""
        self.dropped = 0
        """How many records were given up."""
        self._is_done = [False] * len(records)
        self._lock = threading.Lock()
        self._waiting = 0

    @property
    def has_ended(self) -> bool:
        """Whether this round has all of its reports."""
        return not self._waiting

    def undelivered(self) -> list[int]:
        """The records that Kafka has not acknowledged, in order."""
        return [index for index, is_done in enumerate(self._is_done) if not is_done]

    def begin(self, *, only_first: bool) -> None:
        """Begins a round with all records that are not delivered, or with the first of them."""
        self.missing, self.failed = {}, {}
        self.unsent.extend(self.undelivered()[: 1 if only_first else None])
        self._waiting = len(self.unsent)

    def note(self, index: int, error: KafkaError | None, message: Message) -> None:
        """The delivery report of a record."""
        if error is None:
            self._is_done[index] = True
            self._end_one()
        elif error.code() in HOPELESS:
            self.drop(index, error)
        else:
            self.fail(index, error.str(), is_of_topic=error.code() in OF_TOPIC)

    def fail(self, index: int, reason: str, *, is_of_topic: bool) -> None:
        """This round does not deliver the record. is_of_topic: Kafka does not have its topic, or forbids it."""
        (self.missing if is_of_topic else self.failed)[self.records[index][0]] = reason
        self._end_one()

    def drop(self, index: int, error: KafkaError) -> None:
        """Kafka will never take this record: better without it than stuck for ever."""
        logger.error("event not delivered to %s: %s: %r", self.records[index][0], error.str(), self.records[index][1])
        self._is_done[index] = True
        with self._lock:
            self.dropped += 1
        self._end_one()

    def hand_over(self, indexes: Iterable[int]) -> None:
        """These records are in another spool now."""
        for index in indexes:
            self._is_done[index] = True

    def _end_one(self) -> None:
        with self._lock:
            self._waiting -= 1
        if not self._waiting:
            self._on_end()
