"""What a kind of source gives to the core: chunks of records of a part, each with the position after it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from events.shortening import shortened
from kafka_client.producer import Record

Position = dict[str, Any]
"""What a kind needs to go on reading a part: a JSON object. It is stored in one transaction with the records."""

_IN_A_LINE = 500


def in_words(position: Position | None) -> str:
    """A position for a line of the log; the position of many files may have a megabyte."""
    return shortened(str(position), _IN_A_LINE)


class Chunk(NamedTuple):
    """What one read of a part gives.

    records: at most `batch_records` and about `batch_bytes`, in order; none is allowed, to move the position alone.
    position: after these records; None forgets the part's position, for a part that is read to its end and gone.
    more: whether to read again at once. Otherwise the next read is `poll_seconds` later.
    """

    records: Sequence[Record]
    position: Position | None
    more: bool


class PartReader(Protocol):
    """Reads one part. One thread calls all methods of a reader; open and read need time-outs of their own.

    Any method may raise Retriable: the core closes the reader, waits with backoff, and opens a new one at the last
    position that was committed. After Fatal the source stops.
    """

    def open(self, position: Position | None) -> None:
        """Goes to a position; None: the part was never read."""

    def read(self) -> Chunk | None:
        """The next records; None when there is nothing new. It returns soon, within some 10 seconds."""

    def close(self) -> None:
        """Gives back what the reader holds. Called once, also when `open` has failed."""
