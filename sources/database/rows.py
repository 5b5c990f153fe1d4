"""What the readers of the modes ask a table for. No Django here: tests have tables in memory."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from kafka_client.producer import Record
from sources.database.gaps import Range
from sources.database.horizon import Look

P = TypeVar("P")

Key = tuple[Any, ...]
"""The values of the columns that tell which row is which, as the database gives them."""


class Row(NamedTuple, Generic[P]):
    """A row. place: where it stands in the order that it was read in."""

    place: P
    record: Record


class Page(NamedTuple, Generic[P]):
    """Rows in order. is_last: there was none behind them when they were read."""

    rows: Sequence[Row[P]]
    is_last: bool


class Timed(NamedTuple):
    """The place of a row in the order of time and key. key: None stands before all rows of that time."""

    time: Any
    key: Key | None


class NumberedTable(Protocol):
    """A table whose rows have growing numbers. All methods raise Retriable and Fatal."""

    def snapshot(self) -> AbstractContextManager[None]:
        """What is read within is of one moment."""

    def look(self) -> Look | None:
        """The transactions that are alive; None when the server can't tell just now."""

    def highest(self) -> int | None:
        """The highest number of a row; None without rows."""

    def within(self, ranges: Sequence[Range], limit: int) -> Page[int]:
        """The first rows whose numbers lie in the ranges, by number."""

    def above(self, number: int, limit: int) -> Page[int]:
        """The first rows above a number, by number."""


class TimedTable(Protocol):
    """A table whose rows have the time of their last change. All methods raise Retriable and Fatal."""

    def look(self) -> Look | None:
        """The transactions that are alive; None when the server can't tell just now."""

    def clock(self) -> Any:
        """What the server would write as the time of a change now, less what a row's time may lie behind it."""

    def after(self, place: Timed | None, before: Any, limit: int) -> Page[Timed]:
        """The first rows behind a place, by time and key. before: None, or a time that all rows lie before."""


class KeyedTable(Protocol):
    """A table in the order of its key. The method raises Retriable and Fatal."""

    def from_key(self, key: Key | None, limit: int) -> Page[Key]:
        """The first rows behind a key, by key; None: from the beginning."""
