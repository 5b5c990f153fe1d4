"""Says in the store that an operator moves, or has moved, the offset at which a partition is read on."""

from datetime import UTC, datetime

from sinks.files.layout import Layout
from sinks.files.store import FileStore
from worker.errors import Retriable

_DONE = ".done"


class RewindMarks:
    """The marks of one partition: folders `<time>-to-<offset>`, which get `.done` added when the offset is moved.

    Each method may raise Retriable and Fatal, and be repeated then.
    """

    def __init__(self, client: FileStore, layout: Layout) -> None:
        self._client = client
        self._layout = layout

    def under_way(self) -> list[str]:
        """Those that are not done; until they are, nobody may read on."""
        names = self._client.names(self._layout.rewinds)
        # A request to make one may arrive late, when it is done.
        return sorted(name for name in names if not name.endswith(_DONE) and name + _DONE not in names)

    def wait(self) -> None:
        """Raises Retriable until none is under way."""
        if marks := self.under_way():
            what = f"{self._layout.partition}: {describe(marks[0])} is under way"
            raise Retriable(f"{what}; if its command was interrupted, run it again")

    def begin(self, mark: str) -> None:
        """Makes a mark."""
        self._client.make_folders(f"{self._layout.rewinds}/{mark}")

    def finish(self, mark: str) -> None:
        """Says that it is done."""
        there = f"{self._layout.rewinds}/{mark}"
        if not self._client.rename(there, there + _DONE) and not self._client.exists(there + _DONE):
            raise Retriable(f"the store refuses to rename {there}")

    def drop(self, mark: str) -> None:
        """Removes a mark after which nothing was done."""
        self._client.delete(f"{self._layout.rewinds}/{mark}")


def new_mark(offset: int) -> str:
    """The name of a mark that is made now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-to-{offset:020d}"


def mark_offset(mark: str) -> int:
    """The offset to which it moves."""
    return int(mark.rpartition("-")[2])


def describe(mark: str) -> str:
    """For the log."""
    return f"a rewind to offset {mark_offset(mark)}, begun at {mark.partition('.')[0]},"
