"""The reader of a table, or of the query, in the mode of its source."""

import logging
from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from sources.config import SourceConfig
from sources.database.bulk import AllRows, KeyPosition
from sources.database.changes import ChangedRows, TimePosition
from sources.database.config import DatabaseTarget
from sources.database.connection import database_of
from sources.database.incrementing import IncrementingRows, NumberPosition
from sources.database.tables import TableRows
from sources.reader import Chunk, Position
from worker.errors import Fatal

logger = logging.getLogger(__name__)


class ModeReader(Protocol):
    """What reads in one mode."""

    def open(self, position: Position | None) -> None:
        """Goes to a position. Raises ValueError for one that is none of this mode; Retriable and Fatal."""

    def read(self) -> Chunk | None:
        """The next rows. Raises Retriable and Fatal."""


class TablePart:
    """A part of a database source, with a connection of its own."""

    def __init__(self, source: SourceConfig, part: str) -> None:
        self._target: DatabaseTarget = source.target
        self._part = part
        self._database = database_of(self._target)
        self._rows = TableRows(self._database, self._target, part, source.options)
        self._reader = _reader(self._rows, source, part)

    def look(self) -> Iterator[str]:
        """Looks whether the table is fit for the mode; yields what people should know. Raises Retriable and Fatal."""
        self._rows.check()
        yield f"{self._rows.name}: can be read in mode {self._target.mode}"
        yield from self._rows.warnings()

    def open(self, position: Position | None) -> None:
        """Looks whether the table is fit for the mode, and goes to a position."""
        self._rows.check()
        for text in self._rows.warnings():
            logger.warning("%s", text)
        try:
            self._reader.open(position)
        except ValueError as error:
            raise Fatal(
                f"{self._part}: the position {position} is none of the mode {self._target.mode} ({error}); give the "
                "source another name, or set the position with rewind_source"
            ) from error

    def read(self) -> Chunk | None:
        """The next rows."""
        try:
            return self._reader.read()
        except ValueError as error:
            raise Fatal(f"{self._rows.name}: {error}") from error

    def close(self) -> None:
        """Closes the connection."""
        self._database.close()


def _reader(rows: TableRows, source: SourceConfig, part: str) -> ModeReader:
    target: DatabaseTarget = source.target
    name, batch = f"{source.name}/{part}", source.options.batch_records
    if target.mode == "bulk":
        return AllRows(rows, batch=batch)
    if target.mode == "incrementing":
        return IncrementingRows(rows, name=name, batch=batch, max_gaps=target.max_gaps, gap_seconds=target.gap_seconds)
    return ChangedRows(rows, name=name, batch=batch, max_young=target.max_young, gap_seconds=target.gap_seconds)


def check_position(target: DatabaseTarget, position: Position) -> None:
    """Raises ValueError for a position that is none of the target's mode. Nothing is asked of the database."""
    kinds: dict[str, Any] = {"bulk": KeyPosition, "incrementing": NumberPosition}
    msgspec.convert(position, kinds.get(target.mode, TimePosition))
