"""Gives dead letters another chance, each once: what is sent and the note that it was are one Kafka transaction."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any, Literal

import msgspec
from confluent_kafka import KafkaException, Producer

from events.schema import Check
from kafka_client.log import client_logger
from sinks.dead_letters.log import LETTER, REPLAYED, Place, StoredLetter
from sinks.dead_letters.producing import PRODUCER_OPTIONS
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.records import Batch, Columns, Partition
from worker.errors import Retriable
from worker.retry import Retry

_LETTERS = 100
_BYTES = 16 * 1024 * 1024
"""How much one transaction replays at most (a single letter may be larger)."""


class Replayer:
    """Replays dead letters of one sink; of two at a time for the same sink, the later one ends the earlier one.

    cluster: librdkafka options; sink: its name; patience_seconds: for each step of Kafka.
    """

    def __init__(self, cluster: Mapping[str, Any], *, sink: str, patience_seconds: float = 60.0) -> None:
        self._sink = sink
        self._patience_seconds = patience_seconds
        options = {**cluster, **PRODUCER_OPTIONS, "transactional.id": f"replay-dlq-{sink}"}
        self._producer = Producer(options, logger=client_logger("sinks.librdkafka"))

    def begin(self) -> None:
        """Before letters are read: from now on no other replay can do one of them. Raises Retriable."""
        self._do(lambda: self._producer.init_transactions(self._patience_seconds))

    def replay(self, letters: Iterable[StoredLetter], *, to: Literal["topic", "sink", "nowhere"]) -> None:
        """Notes that letters were dealt with, all or none of them. Raises Retriable.

        to: "topic" also produces their records to the topics that they came from; "sink": the records are in the store
        by now; "nowhere": nobody wants them any more, and their bytes stay until Kafka deletes them.
        """

        def transact() -> None:
            self._producer.begin_transaction()
            for letter in letters:
                (topic, number), offset = letter.origin
                if to == "topic":
                    record = letter.record
                    self._producer.produce(topic, record.value, key=record.key, headers=record.headers or [])
                note = {REPLAYED: to, "dlq.sink": self._sink, "dlq.topic": topic}
                note |= {"dlq.partition": str(number), "dlq.offset": str(offset)}
                for where, own_offset in letter.places:
                    headers = [*note.items(), (LETTER, str(own_offset))]
                    self._producer.produce(where.topic, None, partition=where.number, headers=headers)
            self._producer.commit_transaction(self._patience_seconds)

        self._do(transact)

    def close(self) -> None:
        """Gives up what is not sent by now. Kafka's client itself ends with this object.

        Its own `close` would wait without a bound for a Kafka that hangs with a transaction open.
        """
        self._producer.purge()

    def _do(self, action: Callable[[], None]) -> None:
        try:
            action()
        except KafkaException as error:
            with suppress(KafkaException):  # else Kafka ends it by itself, later
                self._producer.abort_transaction(self._patience_seconds)
            raise Retriable(f"Kafka: {error.args[0].str()}; what was not replayed can be, by the next call") from error


def parts(letters: Iterable[StoredLetter]) -> Iterator[list[StoredLetter]]:
    """The letters in parts, each as large as one transaction replays."""
    part: list[StoredLetter] = []
    size = 0
    for letter in letters:
        length = len(letter.record.value or b"")
        if part and (len(part) == _LETTERS or size + length > _BYTES):
            yield part
            part, size = [], 0
        part.append(letter)
        size += length
    if part:
        yield part


def newest_of_keys(letters: Iterable[StoredLetter], reader: LogReader) -> Callable[[StoredLetter], bool]:
    """Tells of each letter whether its record is the newest of its key, judged by what Kafka has, or has no key.

    A store that keeps the newest record of each key forgets in time which keys were deleted, so an older record would
    bring one back. A record that Kafka no longer has is not taken for the newest of its key: a newer one may have
    existed, and be gone, too. Raises Retriable.
    """
    newest: dict[Partition, dict[bytes, int]] = {}
    firsts: dict[Partition, int] = {}
    for letter in letters:
        partition, offset = letter.origin
        if letter.record.key is not None:
            newest.setdefault(partition, {})[letter.record.key] = -1
            firsts[partition] = min(offset, firsts.get(partition, offset))
    for partition, first in firsts.items():
        begin, end = reader.bounds(partition)
        for record in reader.read(partition, max(begin, first), end):
            if record.key in newest[partition]:
                newest[partition][record.key] = record.offset

    def is_newest(letter: StoredLetter) -> bool:
        partition, offset = letter.origin
        return letter.record.key is None or newest[partition].get(letter.record.key) == offset

    return is_newest


def store(writer: Writer, check: Check, letters: Sequence[StoredLetter], retry: Retry) -> dict[Place, str]:
    """Has a sink's writer store the records under their own places; returns those that are still refused, and why.

    The writer must be one to which a repeat does no harm. Raises Fatal.
    """
    refused: dict[Place, str] = {}
    in_order = sorted(letters, key=lambda letter: letter.origin)
    for partition, of_partition in groupby(in_order, key=lambda letter: letter.origin[0]):
        records = [letter.record for letter in of_partition]
        columns = Columns(*zip(*map(msgspec.structs.astuple, records), strict=True))  # both have the same five fields
        batch = Batch(partition, records[0].offset, records[0].timestamp, opened_at=0.0)
        batch.add(columns, check.refusals(columns.values, columns.lines))
        opened = retry.run(writer.open(partition, batch.first_offset))
        rejected = [*batch.rejected, *retry.run(opened.store([batch]))]
        refused |= {(partition, record.offset): reason for record, reason, _ in rejected}
    return refused
