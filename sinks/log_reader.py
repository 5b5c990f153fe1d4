"""Reads a range of a partition's log without joining a consumer group."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from kafka_client.log import client_logger
from sinks.records import Partition, Record, readable_headers
from worker.errors import Retriable

_STALLED_SECONDS = 30.0
_WAIT_SECONDS = 0.1
_BATCH = 5_000


class LogReader:
    """Reads partitions of one cluster, one after the other.

    cluster: librdkafka options; group: the consumer group whose committed offsets `committed` gives.
    """

    def __init__(self, cluster: Mapping[str, Any], *, group: str) -> None:
        # It never subscribes, so it is no member of the group, and never commits.
        options = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # where Kafka has deleted what was there a moment ago
        }
        logger = client_logger("sinks.librdkafka")
        self._consumer = Consumer({**cluster, **options}, logger=logger)
        # To a consumer that reads committed records the log seems to end where an open transaction begins.
        self._asking = Consumer({**cluster, **options, "isolation.level": "read_uncommitted"}, logger=logger)

    def partitions(self, topic: str) -> list[Partition]:
        """The partitions of a topic. Raises Retriable when Kafka does not answer or has no such topic."""
        with _answering(f"topic {topic}"):
            metadata = self._consumer.list_topics(topic, timeout=_STALLED_SECONDS).topics[topic]
        if metadata.error is not None:
            raise _retriable(f"topic {topic}", metadata.error.str())
        return [Partition(topic, number) for number in sorted(metadata.partitions)]

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """The first offset that Kafka still has, and the one after the last. Raises Retriable."""
        with _answering(str(partition)):
            first, end = self._asking.get_watermark_offsets(TopicPartition(*partition), timeout=_STALLED_SECONDS)
        return first, end

    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset, None when it has none. Raises Retriable."""
        with _answering(str(partition)):
            (tp,) = self._consumer.committed([TopicPartition(*partition)], timeout=_STALLED_SECONDS)
        return int(tp.offset) if tp.offset >= 0 else None

    def read(self, partition: Partition, first: int, end: int) -> Iterator[Record]:
        """The records from offset `first` up to `end` (excluded), in order.

        Raises Retriable when Kafka stalls, and when an open transaction hides some of them.
        """
        self._consumer.assign([TopicPartition(*partition, first)])
        answered_at = time.monotonic()
        position = first
        while position < end:
            messages = self._consumer.consume(_BATCH, timeout=_WAIT_SECONDS)
            for message in messages:
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        if message.offset() < end:
                            raise _retriable(partition, f"a transaction is still open at offset {message.offset()}")
                        return  # what is missing up to `end` are gaps of the log
                    raise _retriable(partition, error.str())
                position = message.offset() + 1
                if position > end:
                    return
                headers = readable_headers(message)
                yield Record(message.offset(), message.value(), message.timestamp()[1], message.key(), headers)
            if messages:
                answered_at = time.monotonic()  # Only now: whoever reads the records may have worked on them for long.
            elif time.monotonic() - answered_at > _STALLED_SECONDS:
                raise _retriable(partition, f"no record for {_STALLED_SECONDS:g} s")

    def close(self) -> None:
        """Closes its connections."""
        self._consumer.close()
        self._asking.close()


def _retriable(what: object, why: str) -> Retriable:
    return Retriable(f"Kafka: {what}: {why}", reason="kafka")


@contextmanager
def _answering(what: str) -> Iterator[None]:
    try:
        yield
    except KafkaException as error:
        raise _retriable(what, error.args[0].str()) from error
