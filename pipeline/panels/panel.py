"""What a panel of the main page is: a name and a bounded read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.time_range import TimeRange

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True)
class Panel:
    """A part of the page with data of its own.

    read: returns what JSON can hold and what the script of the same id draws; raises ServerError. server: which one it
    asks; ranged: whether it depends on the time range.
    """

    id: str
    title: "_StrPromise | str"
    read: Callable[[TimeRange], dict[str, Any]]
    server: str = "elasticsearch"
    ranged: bool = True
