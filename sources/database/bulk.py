"""Reads a whole table again and again, in the order of its key. No Django here."""

import msgspec

from kafka_client.structs import ready
from sources.database.plain import Plain, from_plain, to_plain
from sources.database.rows import Key, KeyedTable
from sources.reader import Chunk, Position


@ready
class KeyPosition(msgspec.Struct, forbid_unknown_fields=True):
    """after: the key of the last row that this pass has read; None: the next pass begins."""

    after: list[Plain] | None = None


class AllRows:
    """A pass that was interrupted goes on behind its last row."""

    def __init__(self, table: KeyedTable, *, batch: int) -> None:
        self._table = table
        self._batch = batch
        self._after: Key | None = None

    def open(self, position: Position | None) -> None:
        """Goes to a position. Raises ValueError for one that is none of this mode."""
        found = msgspec.convert(position or {}, KeyPosition)
        self._after = None if found.after is None else tuple(from_plain(value) for value in found.after)

    def read(self) -> Chunk | None:
        """The next rows of the pass; the last ones end it."""
        page = self._table.from_key(self._after, self._batch)
        if not page.rows and self._after is None:
            return None
        self._after = None if page.is_last else page.rows[-1].place
        after = None if self._after is None else [to_plain(value) for value in self._after]
        return Chunk([row.record for row in page.rows], {"after": after}, not page.is_last)
