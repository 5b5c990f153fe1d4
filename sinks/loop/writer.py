"""What the loop needs of others: where batches go, and where records go that can't be stored."""

from collections.abc import Callable, Sequence
from typing import Protocol

from sinks.records import Batch, Partition, Rejected


class PartitionWriter(Protocol):
    """A partition that was taken over. Its work is done in steps (see worker.retry).

    resume_at: the offset at which reading goes on, None for the beginning of the partition.
    """

    resume_at: int | None

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Stores consecutive batches; when it returns, their records are safe, but for those returned as rejected.

        Runs beside the task's own thread. Raises Fenced when another owner took the partition over, Fatal when the sink
        must stop, Cancelled when the partition was given up.
        """

    async def rest(self, *, leaving: bool) -> None:
        """Called now and then while nothing waits to be stored; never during `store`. Closes what has been open long.

        leaving: the partition is given up in good order: closes everything. Raises as `store`.
        """


class Writer(Protocol):
    """Stores the batches of one sink.

    ordered: the groups of a partition are stored one after the other; group: how many batches that wait are stored
    together at most.
    """

    ordered: bool
    group: int

    async def open(self, partition: Partition, committed: int | None) -> PartitionWriter:
        """Takes a partition over, before its first record is read.

        committed: the offset that Kafka holds for the group, None when there is none. Raises as PartitionWriter.store.
        """

    def close(self) -> None:
        """Gives up connections; nothing else is called afterwards."""


Deliver = Callable[[Partition, Sequence[Rejected]], Callable[[], None]]
"""Gives the step that delivers records that can't be stored to their dead-letter topic: it returns once Kafka has all
of them. It raises Pending while answers are due, Retriable when some did not arrive; the next call sends only these
again."""
