"""One part of a source: its reader, when to read it next, and how it fails and goes on."""

from collections.abc import Callable, Iterator
from contextlib import suppress

from sources.metrics import SourceMetrics
from sources.reader import Chunk, PartReader, Position, in_words
from sources.states import PartStatus
from worker.errors import Fatal, Retriable
from worker.retry import Backoff


class Part:
    """A part that its owner reads.

    name: of the part; make_reader: makes a reader of it, not opened; position: the last committed one, None before the
    first; due_at: the monotonic time of its next read.
    """

    def __init__(
        self,
        name: str,
        make_reader: Callable[[], PartReader],
        position: Position | None,
        status: PartStatus,
        metrics: SourceMetrics,
        backoff: Backoff,
    ) -> None:
        self.name = name
        self.position = position
        self.due_at = 0.0
        self.status = status
        self._make_reader = make_reader
        self._metrics = metrics
        self._backoff = backoff
        self._delays: Iterator[float] | None = None  # while the part fails
        self._reader: PartReader | None = None

    def read(self, now: float, poll_seconds: float) -> Chunk | None:
        """The next chunk of the part, None when there is nothing; sets when to read it next. Raises Fatal.

        now: the monotonic time from which on the next read is planned.

        A reader that fails is closed; a new one is opened at the last committed position after a while. So the chunks
        that it gave before must be committed before the part is due again.
        """
        try:
            if self._reader is None:
                self._reader = self._make_reader()
                self._reader.open(self.position)
                self.status.running(self.position)
            with self._metrics.reading():
                chunk = self._reader.read()
        except Retriable as error:
            self._fail(error, now)
            return None
        except Fatal as error:
            raise Fatal(f"{self.name} at {in_words(self.position)}: {error}") from error
        if self._delays is not None:
            self._delays = None
            self.status.running(self.position)
        self.due_at = now if chunk is not None and chunk.more else now + poll_seconds
        if chunk is not None and not chunk.records and chunk.position == self.position:
            return None  # nothing new
        return chunk

    def committed(self, position: Position | None, records: int) -> None:
        """What was read up to a position is committed."""
        self.position = position
        self.status.committed(position, records)

    def close(self) -> None:
        """Closes the reader, if there is one."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with suppress(Retriable):
                reader.close()

    def _fail(self, error: Retriable, now: float) -> None:
        self.close()
        self._delays = self._delays or self._backoff.delays()
        self.due_at = now + next(self._delays)
        self.status.backing_off("reading", error)
