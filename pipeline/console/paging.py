"""Long lists in pages: which part of a list is shown, and the addresses of the parts before and after it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")


@dataclass(frozen=True)
class Part(Generic[T]):
    """A page of a list. number: counted from 1; total: entries of the whole list; size: entries of a page."""

    items: Sequence[T]
    number: int
    total: int
    size: int

    @property
    def first(self) -> int:
        """The place of its first entry in the list, counted from 1."""
        return (self.number - 1) * self.size + 1

    @property
    def last(self) -> int:
        """The place of its last entry."""
        return self.first + len(self.items) - 1

    def links(self, query: Mapping[str, str]) -> dict[str, str | None]:
        """The queries of the pages before and after it, None where there is none; query: what was asked for."""
        return {
            "before": urlencode({**query, "page": self.number - 1}) if self.number > 1 else None,
            "after": urlencode({**query, "page": self.number + 1}) if self.last < self.total else None,
        }


def part_of(items: Sequence[T], number: int, size: int) -> Part[T]:
    """A page of a list; a number beyond the last page gives the last one, for the list may have become shorter."""
    number = max(1, min(number, -(-len(items) // size)))
    return Part(items[(number - 1) * size : number * size], number, len(items), size)


def page_number(text: str) -> int:
    """The page that an address names; the first for whatever is no number."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 1
