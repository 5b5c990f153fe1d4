"""Gives dead letters another chance, each once: what is sent and the note that it was are one Kafka transaction."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from confluent_kafka import KafkaException, Producer

from events.schema import Check
from sinks.dead_letter_log import REPLAYED, Origin, StoredLetter
from sinks.dead_letters import PRODUCER_OPTIONS
from sinks.errors import Retriable
from sinks.records import Batch, Columns, Partition
from sinks.retry import Retry
from sinks.writer import Writer

_SECONDS = 60.0


class Replayer:
    """Replays dead letters of one sink; of two at a time for the same sink, the later one ends the earlier one.

    cluster: librdkafka options; sink: its name; letters_of: gives the dead-letter topic of a topic.
    """

    def __init__(self, cluster: Mapping[str, Any], *, sink: str, letters_of: Callable[[str], str]) -> None:
        self._sink = sink
        self._letters_of = letters_of
        self._producer = Producer({**cluster, **PRODUCER_OPTIONS, "transactional.id": f"replay-dlq-{sink}"})

    def begin(self) -> None:
        """Before letters are read: from now on no other replay can do one of them. Raises Retriable."""
        self._do(lambda: self._producer.init_transactions(_SECONDS))

    def to_topic(self, letters: Iterable[StoredLetter]) -> None:
        """Produces the records to the topics that they came from, all or none of them. Raises Retriable."""
        self._transact(letters, to="topic")

    def note_stored(self, letters: Iterable[StoredLetter]) -> None:
        """Notes that the records are in the store. Raises Retriable."""
        self._transact(letters, to="sink")

    def discard(self, letters: Iterable[StoredLetter]) -> None:
        """Notes that nobody wants the records any more; their bytes stay until Kafka deletes them. Raises Retriable."""
        self._transact(letters, to="nowhere")

    def _transact(self, letters: Iterable[StoredLetter], *, to: str) -> None:
        def transact() -> None:
            self._producer.begin_transaction()
            for letter in letters:
                (topic, number), offset = letter.origin
                if to == "topic":
                    record = letter.record
                    self._producer.produce(topic, record.value, key=record.key, headers=record.headers or [])
                note = {REPLAYED: to, "dlq.sink": self._sink, "dlq.topic": topic}
                note |= {"dlq.partition": str(number), "dlq.offset": str(offset)}
                self._producer.produce(self._letters_of(topic), None, headers=list(note.items()))
            self._producer.commit_transaction(_SECONDS)

        self._do(transact)

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except KafkaException as error:
            with suppress(KafkaException):  # else Kafka ends it by itself, later
                self._producer.abort_transaction(_SECONDS)
            raise Retriable(f"Kafka: {error.args[0].str()}; what was not replayed can be, by the next call") from error


def store(writer: Writer, check: Check, letters: Sequence[StoredLetter], retry: Retry) -> dict[Origin, str]:
    """Has a sink's writer store the records under their own places; returns those that are still refused, and why.

    The writer must be one to which a repeat does no harm. Raises Fatal.
    """
    refused: dict[Origin, str] = {}

    def partition_of(letter: StoredLetter) -> Partition:
        return letter.origin[0]

    for partition, of_partition in groupby(sorted(letters, key=lambda letter: letter.origin), key=partition_of):
        records = [letter.record for letter in of_partition]
        columns = Columns(
            [record.offset for record in records],
            [record.value for record in records],
            [record.timestamp for record in records],
            [record.key for record in records],
            [record.headers for record in records],
        )
        batch = Batch(partition, records[0].offset, records[0].timestamp, opened_at=0.0)
        batch.add(columns, check.refusals(columns.values, columns.lines))
        rejected = [*batch.rejected, *writer.open(partition, None, retry).store([batch], retry)]
        refused |= {(partition, record.offset): reason for record, reason, _ in rejected}
    return refused
