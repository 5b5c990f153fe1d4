"""What a panel of the statistics page is: a name and a bounded read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.time_range import TimeRange

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True)
class Panel:
    """A part of the page with a JSON address of its own.

    read: returns what JSON can hold and what the script of the same id draws; raises ServerError.
    """

    id: str
    title: "_StrPromise"
    read: Callable[[TimeRange], dict[str, Any]]
