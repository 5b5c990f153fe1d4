"""What a kind of sink has to offer: where its batches go. See sinks.hdfs and sinks.elasticsearch."""

import threading
from typing import Protocol

from sinks.records import Batch, Partition, Rejected


class Writer(Protocol):
    """Stores the batches of one sink, called from several threads at once.

    Every method raises Retriable when trying again may help (the task calls it again with backoff) and Fatal when the
    sink must stop.
    """

    def open(self, partition: Partition, committed: int | None, cancelled: threading.Event) -> int | None:
        """Takes a partition over, before its first record is read.

        committed: the offset that Kafka holds for the group, None when there is none. Returns the offset at which
        reading goes on, None for the beginning of the partition.
        """

    def store(self, batch: Batch, cancelled: threading.Event) -> list[Rejected]:
        """Stores a batch; when it returns, its records are safe, but for those that it returns as rejected.

        Called for the batches of one partition in their order, several of them at a time; again, with the same
        batch, after Retriable. cancelled: set when the partition is given up.
        """

    def close(self) -> None:
        """Gives up connections; no other method is called afterwards."""
