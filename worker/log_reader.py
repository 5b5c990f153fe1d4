"""Reads a range of a partition's log without joining a consumer group."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from kafka_client.log import client_logger
from worker.errors import Retriable

_STALLED_SECONDS = 30.0
_WAIT_SECONDS = 0.1
_BATCH = 5_000


class MessageReader:
    """Reads committed messages of one cluster's partitions, one partition after the other.

    cluster: librdkafka options; group: the consumer group whose committed offsets `committed_offset` gives.
    """

    def __init__(self, cluster: Mapping[str, Any], *, group: str) -> None:
        # It never subscribes, so it is no member of the group, and never commits.
        options = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",  # where Kafka has deleted what was there a moment ago
            "fetch.wait.max.ms": 10,  # the end of a partition is told by an answer without messages
        }
        logger = client_logger("worker.librdkafka")
        self._consumer = Consumer({**cluster, **options}, logger=logger)
        self._reading: object = None  # the range that is read now; a caller may have left an earlier one
        # To a consumer that reads committed records the log seems to end where an open transaction begins.
        self._asking = Consumer({**cluster, **options, "isolation.level": "read_uncommitted"}, logger=logger)

    def numbers(self, topic: str) -> list[int]:
        """The partitions of a topic. Raises Retriable when Kafka does not answer or has no such topic."""
        with _answering(f"topic {topic}"):
            metadata = self._consumer.list_topics(topic, timeout=_STALLED_SECONDS).topics[topic]
        if metadata.error is not None:
            raise _retriable(f"topic {topic}", metadata.error.str())
        return sorted(metadata.partitions)

    def ends(self, topic: str, number: int) -> tuple[int, int]:
        """The first offset that Kafka still has of a partition, and the one after the last. Raises Retriable."""
        with _answering(f"{topic}-{number}"):
            first, end = self._asking.get_watermark_offsets(TopicPartition(topic, number), timeout=_STALLED_SECONDS)
        return first, end

    def committed_offset(self, topic: str, number: int) -> int | None:
        """The group's committed offset, None when it has none. Raises Retriable."""
        with _answering(f"{topic}-{number}"):
            (tp,) = self._consumer.committed([TopicPartition(topic, number)], timeout=_STALLED_SECONDS)
        return int(tp.offset) if tp.offset >= 0 else None

    def messages(
        self, topic: str, number: int, first: int, end: int, *, wait_seconds: float = 0.0
    ) -> Iterator[Message]:
        """The messages of a partition from offset `first` up to `end` (excluded), in order.

        Raises Retriable when Kafka stalls, and when an open transaction hides some of them for `wait_seconds`.
        """
        what = f"{topic}-{number}"
        self._reading = reading = object()
        self._consumer.assign([TopicPartition(topic, number, first)])
        answered_at = begun_at = time.monotonic()
        position = first
        open_at: int | None = None
        try:
            while position < end:
                messages = self._consumer.consume(_BATCH, timeout=_WAIT_SECONDS)
                for message in messages:
                    error = message.error()
                    if error is not None:
                        if error.code() == KafkaError._PARTITION_EOF:
                            if message.offset() >= end:
                                return  # what is missing up to `end` are gaps of the log
                            open_at = message.offset()  # told once for each offset
                            continue
                        raise _retriable(what, error.str())
                    position = message.offset() + 1
                    if position > end:
                        return
                    yield message
                if open_at is not None and open_at >= position and time.monotonic() - begun_at >= wait_seconds:
                    raise _retriable(what, f"a transaction is still open at offset {open_at}")
                if messages:
                    # Only now: whoever reads the records may have worked on them for long.
                    answered_at = time.monotonic()
                elif time.monotonic() - answered_at > _STALLED_SECONDS:
                    raise _retriable(what, f"no record for {_STALLED_SECONDS:g} s")
        finally:
            if self._reading is reading:
                self._consumer.unassign()  # or its client would ask Kafka for more all the time

    def close(self) -> None:
        """Closes its connections."""
        self._reading = None
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
