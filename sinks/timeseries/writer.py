"""Writes batches to a time-series server. A point depends on its record alone, so a repeat overwrites itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from events.schema import InvalidRecord
from sinks.records import Batch, Partition, Record, Rejected
from sinks.refusals import FirstRefusals
from sinks.timeseries.client import TimeseriesClient
from sinks.timeseries.lines import Lines
from worker.retry import attempt

Point = tuple[Record, bytes]
"""A record and its line."""


@dataclass(eq=False)
class TimeseriesWriter:
    """Points of one sink. refusals: of all partitions."""

    # Of records of one series with one time the last one stays, so they are sent in their order, a batch at a time.
    ordered = True
    group = 1

    client: TimeseriesClient
    lines: Lines
    refusals: FirstRefusals

    async def open(self, partition: Partition, committed: int | None) -> "TimeseriesPartition":
        """Asks the server, so that what is wrong with it is told before the first record is read."""
        await attempt("asking the server", self.client.check)
        return TimeseriesPartition(self, committed)

    def close(self) -> None:
        """Closes the connections."""
        self.client.close()


@dataclass(eq=False)
class TimeseriesPartition:
    """A partition on its way to the server; several may own it at a time, for a repeat overwrites itself."""

    sink: TimeseriesWriter
    resume_at: int | None

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Writes the batches; returns the records that can't be points, by the server's word or before."""
        rejected: list[Rejected] = []
        for batch in batches:
            points = []
            for record in batch.records:
                try:
                    points.append((record, self.sink.lines.of(batch.partition, record)))
                except InvalidRecord as error:
                    rejected.append(Rejected(record, str(error)))
            writing = Writing(self.sink.client, [points] if points else [])
            await attempt(f"writing {batch}", writing.go_on)
            self.sink.refusals.note(taken=writing.stored, reasons=writing.reasons)
            rejected += writing.rejected
        return rejected

    async def rest(self, *, leaving: bool) -> None:
        """It keeps nothing open."""


@dataclass(eq=False)
class Writing:
    """Points on their way to the server.

    waiting: those of each request that is still to be made, the next one last; stored: how many points are stored;
    rejected: the records that the server refuses.
    """

    client: TimeseriesClient
    waiting: list[list[Point]]
    stored: int = 0
    rejected: list[Rejected] = field(default_factory=list)

    @property
    def reasons(self) -> list[str]:
        """Why the server refuses records, apart from their size."""
        return [refused.reason for refused in self.rejected if refused.kind == "refused"]

    def go_on(self) -> None:
        """Makes all requests. After Retriable it goes on with the request that has failed. Raises Fatal, too."""
        while self.waiting:
            points = self.waiting[-1]
            refusal = self.client.write(b"".join(line for _, line in points))
            self.waiting.pop()
            if refusal is None:
                self.stored += len(points)
            elif len(points) == 1:
                self.rejected.append(Rejected(points[0][0], *refusal))
            else:  # the halves tell which points are refused; those that were stored are stored again
                middle = len(points) // 2
                self.waiting += [points[middle:], points[:middle]]
