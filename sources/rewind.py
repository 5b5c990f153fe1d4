"""Looks at a source's positions and moves them, also while the source runs."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaError

from kafka_client.clusters import kafka_cluster
from kafka_client.producer import Record
from sources.build import make_transactions, producer_config, source_positions
from sources.config import SourceConfig
from sources.reader import Position
from worker.errors import Pending
from worker.log_reader import MessageReader

_ANSWER_SECONDS = 60.0

WRITER = "rewind"
"""Names who has written the position; a running owner that sees it reads all positions again."""


@contextmanager
def message_reader(source: SourceConfig) -> Iterator[MessageReader]:
    """A reader of the source's cluster, closed at the end."""
    reader = MessageReader(kafka_cluster(source.kafka), group=source_positions(source).group)
    try:
        yield reader
    finally:
        reader.close()


def committed_records(reader: MessageReader, topic: str) -> Iterator[Record]:
    """All committed records that a topic has by now, partition by partition. Raises Retriable."""
    for number in reader.numbers(topic):
        for message in reader.messages(topic, number, *reader.ends(topic, number)):
            timestamp = message.timestamp()[1]
            yield Record(topic, message.value(), message.headers(), message.key(), timestamp)


def read_positions(source: SourceConfig) -> dict[str, Position]:
    """The committed positions of a source by part; disturbs nobody. Raises Retriable and Fatal."""
    with message_reader(source) as reader:
        return source_positions(source).read_all(reader)


def write_positions(source: SourceConfig, positions: Mapping[str, Position | None]) -> None:
    """Sets the positions of parts; None: the part is read from its beginning.

    A running source goes on from there: what its owner has not committed is dropped, and read again if it lies behind
    the new position. Raises Retriable, Fatal, and Fenced when the owner was quicker: nothing was changed in one of
    the partitions then.
    """
    place = source_positions(source)
    config = producer_config(source, kafka_cluster(source.kafka))
    with message_reader(source) as reader:
        place.check_partitions(reader.numbers(place.topic))
    by_partition: dict[int, dict[str, Position | None]] = {}
    for part, position in positions.items():
        by_partition.setdefault(place.partition_of(part), {})[part] = position
    for number, own in by_partition.items():
        transactions = make_transactions(config, _pass_over, place.transactional_id(number))
        try:
            answered(transactions.take_over)
            transactions.begin()
            transactions.produce([place.record(*item, WRITER) for item in own.items()], partition=number)
            answered(transactions.commit)
        finally:
            transactions.close()


def _pass_over(_: KafkaError) -> None:
    """The outcome of the call tells."""


def answered(action: Callable[[], None]) -> None:
    """Calls a method of Transactions until Kafka has answered."""
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        try:
            return action()
        except Pending:
            if time.monotonic() > deadline:
                raise
