"""Bounded reads of a topic's records for operators: they join no consumer group and commit nothing."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from django.utils.translation import gettext as _

from kafka_client.clusters import kafka_cluster
from pipeline.errors import ServerAway
from pipeline.kafka_reads import server_error, server_name
from sinks.records import readable_headers

StoppedBy = Literal["end", "records", "bytes", "seconds", "found"]

_OPTIONS: dict[str, Any] = {
    "group.id": "console",  # librdkafka wants a name; without subscribing nobody joins a group
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "earliest",  # what was deleted since the offsets were read is left out
    "fetch.queue.backoff.ms": 10,
    "fetch.message.max.bytes": 1024 * 1024,
    "queued.max.messages.kbytes": 8 * 1024,
    "log_level": 0,
}
_BATCH = 500
_WAIT_SECONDS = 0.1


@dataclass(frozen=True)
class TopicMessage:
    """A record as Kafka has it; timestamp: milliseconds since the epoch, None when it has none."""

    partition: int
    offset: int
    timestamp: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def size(self) -> int:
        """Bytes of key and value."""
        return len(self.key or b"") + len(self.value or b"")


@dataclass(frozen=True)
class Bounds:
    """What one read looks at, at most; the first bound that is reached ends it."""

    records: int
    bytes: int
    seconds: float

    def reached(self, records: int = 0, size: int = 0) -> StoppedBy:
        """The bound that so many records and bytes reach, "end" for none."""
        if records >= self.records:
            return "records"
        if size >= self.bytes:
            return "bytes"
        return "seconds" if self.seconds <= 0 else "end"


@dataclass(frozen=True)
class Reading:
    """What was read.

    following: partition -> the offset up to which (excluded) all was looked at, gaps included. unread: the partitions
    that a bound left without having been read to their end. gaps: offsets that were looked at and hold no record.
    """

    messages: list[TopicMessage]
    following: dict[int, int]
    records: int
    bytes: int
    stopped_by: StoppedBy
    unread: Collection[int] = ()
    gaps: int = 0


def read_messages(
    cluster: str,
    topic: str,
    ranges: Mapping[int, tuple[int, int]],
    *,
    bounds: Bounds,
    keep: int,
    each: int | None = None,
    wanted: Callable[[TopicMessage], bool] | None = None,
) -> Reading:
    """Reads partitions, each from an offset up to another (excluded), and keeps the first records that are wanted.

    ranges: partition -> (first, end); keep: how many records; each: how many records of one partition are looked at,
    all when missing; wanted: takes all when missing.
    Raises ServerError: ServerAway when Kafka gives nothing at all in time, so all partitions must be there.
    """
    left = {number: end for number, (first, end) in ranges.items() if first < end}
    following = {number: first for number, (first, _) in ranges.items()}
    found: list[TopicMessage] = []
    counts: Counter[int] = Counter()
    records = size = 0
    stopped_by: StoppedBy = "end"
    deadline = time.monotonic() + bounds.seconds
    consumer = Consumer({**kafka_cluster(cluster), **_OPTIONS})
    try:
        consumer.assign([TopicPartition(topic, number, following[number]) for number in left])
        while left and stopped_by == "end":
            if time.monotonic() >= deadline:
                if not records:
                    text = _("no record within {n} s").format(n=f"{bounds.seconds:g}")
                    raise ServerAway(server_name(cluster), text)
                stopped_by = "seconds"
            for message in consumer.consume(_BATCH, timeout=_WAIT_SECONDS):
                number = message.partition()
                if message.error() is not None:
                    if message.error().code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(message.error())
                    if number in left:
                        # Before the range's end, where an open transaction hides what comes.
                        following[number] = min(message.offset(), left.pop(number))
                    continue
                if number not in left:
                    continue
                following[number] = min(message.offset() + 1, left[number])
                if message.offset() < left[number]:
                    records += 1
                    counts[number] += 1
                    taken = _message(message)
                    size += taken.size
                    if wanted is None or wanted(taken):
                        found.append(taken)
                if message.offset() + 1 >= left[number] or counts[number] == each:
                    del left[number]
                if left and (stop := "found" if len(found) >= keep else bounds.reached(records, size)) != "end":
                    stopped_by = stop
                    break
    except KafkaException as error:
        raise server_error(cluster, error) from error
    finally:
        consumer.close()
    gaps = sum(following[number] - first for number, (first, _) in ranges.items()) - records
    return Reading(found, following, records, size, stopped_by, left, gaps)


def _message(message: Message) -> TopicMessage:
    kind, milliseconds = message.timestamp()
    return TopicMessage(
        partition=message.partition(),
        offset=message.offset(),
        timestamp=milliseconds if kind else None,
        key=message.key(),
        value=message.value(),
        headers=tuple(readable_headers(message) or ()),
    )
