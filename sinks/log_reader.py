"""Reads a range of a partition's log as records, without joining a consumer group."""

from collections.abc import Iterator

from sinks.records import Partition, Record, readable_headers
from worker.log_reader import MessageReader


class LogReader(MessageReader):
    """Reads records of partitions of one cluster, one partition after the other. Every method may raise Retriable."""

    def partitions(self, topic: str) -> list[Partition]:
        """The partitions of a topic."""
        return [Partition(topic, number) for number in self.numbers(topic)]

    def bounds(self, partition: Partition) -> tuple[int, int]:
        """The first offset that Kafka still has, and the one after the last."""
        return self.ends(*partition)

    def committed(self, partition: Partition) -> int | None:
        """The group's committed offset, None when it has none."""
        return self.committed_offset(*partition)

    def read(self, partition: Partition, first: int, end: int) -> Iterator[Record]:
        """The records from offset `first` up to `end` (excluded), in order.

        Raises Retriable when Kafka stalls, and when an open transaction hides some of them.
        """
        for message in self.messages(*partition, first, end):
            headers = readable_headers(message)
            yield Record(message.offset(), message.value(), message.timestamp()[1], message.key(), headers)
