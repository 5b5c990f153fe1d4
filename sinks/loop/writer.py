"""What a kind of sink has to offer: where its batches go. See sinks.hdfs and sinks.elasticsearch."""

from collections.abc import Sequence
from typing import Protocol

from sinks.loop.retry import Retry
from sinks.records import Batch, Partition, Rejected


class PartitionWriter(Protocol):
    """A partition that was taken over.

    resume_at: the offset at which reading goes on, None for the beginning of the partition.
    """

    resume_at: int | None

    def store(self, batches: Sequence[Batch], retry: Retry) -> list[Rejected]:
        """Stores consecutive batches; when it returns, their records are safe, but for those returned as rejected.

        Runs beside the task's own thread. Steps that may work later are tried again by `retry`. Raises Fenced when
        another owner took the partition over, Fatal when the sink must stop, Cancelled when the partition was given up.
        """

    def rest(self, retry: Retry, *, leaving: bool) -> None:
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

    def open(self, partition: Partition, committed: int | None, retry: Retry) -> PartitionWriter:
        """Takes a partition over, before its first record is read.

        committed: the offset that Kafka holds for the group, None when there is none. Raises as PartitionWriter.store.
        """

    def close(self) -> None:
        """Gives up connections; nothing else is called afterwards."""
