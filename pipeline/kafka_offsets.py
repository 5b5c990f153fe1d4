"""Asks Kafka's admin client which offsets partitions hold, as long as a deadline lets it. No Django here."""

import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

Partition = tuple[str, int]
"""Topic and partition number."""

_LEAST_SECONDS = 0.1


def seconds_left(deadline: float) -> float:
    """How long to wait until a moment of the monotonic clock; a moment also when that has passed."""
    return max(_LEAST_SECONDS, deadline - time.monotonic())


def ask_offsets(
    client: AdminClient, partitions: Iterable[Partition], spec: OffsetSpec, deadline: float
) -> dict[Partition, "Future[Any]"]:
    """The answers to be waited for, by partition."""
    wanted = {TopicPartition(topic, number): spec for topic, number in partitions}
    if not wanted:
        return {}
    futures = client.list_offsets(wanted, request_timeout=seconds_left(deadline))
    return {(part.topic, part.partition): future for part, future in futures.items()}


def held(first: "Future[Any]", end: "Future[Any]", deadline: float) -> tuple[int, int]:
    """The first offset and the end of a partition. Raises KafkaException, TimeoutError."""
    offsets = first.result(seconds_left(deadline)).offset, end.result(seconds_left(deadline)).offset
    if min(offsets) < 0:  # what librdkafka answers for a request that timed out
        raise TimeoutError
    return offsets
