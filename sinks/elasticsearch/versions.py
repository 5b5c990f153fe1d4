"""The version of each record: by it Elasticsearch knows which of two records with one id is newer."""

from zlib import crc32

from sinks.records import Partition, Record

_MILLISECOND = 2**20
"""How much later a version becomes with each millisecond of Kafka's time; with each offset it becomes later by 1."""

_TIMES = (2**30, 2**42 - 1)
"""The times of 1970 and 2109 that all others are drawn to: every version fits into Elasticsearch's long."""

FIRST = _TIMES[0] * _MILLISECOND
"""The lowest version. Documents that were stored without versions count 1, 2, 3 … and never reach it."""


class Versions:
    """The versions of a partition's records, asked for in the order of their offsets.

    latest: the latest Kafka time (ms) of the records before the first one that is asked for.

    A version is made of Kafka's time, then of the offset. Producers may set times that run backwards, so a record
    counts as no older than any record before it in its partition. Versions therefore rise with the offsets, and
    whoever reads a record again gives it the same version.
    """

    def __init__(self, partition: Partition, *, latest: int = 0) -> None:
        self._latest = latest
        # Of records of one millisecond in two partitions always the same one is the newer one.
        self._partition = crc32(str(partition).encode()) % _MILLISECOND

    def of(self, record: Record) -> int:
        """The version of the next record."""
        self._latest = max(self._latest, record.timestamp)
        first, last = _TIMES
        return min(max(self._latest, first), last) * _MILLISECOND + self._partition + record.offset
