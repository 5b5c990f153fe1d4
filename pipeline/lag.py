"""How far a sink is behind a partition: pure arithmetic on offsets."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["none", "ok", "expired", "ahead"]


@dataclass(frozen=True)
class Progress:
    """A sink on one partition.

    committed: the offset it would read next, None before its first commit, when it reads from the first. lag: the
    distance from there to the end in offsets, None where that can't be said; there may be fewer records, for compaction
    and transactions leave gaps. state: "none" without a commit; "expired" when Kafka has already deleted records that
    were not read; "ahead" when the commit lies beyond the end, as after a topic was made anew; else "ok".
    """

    committed: int | None
    lag: int | None
    state: State


def progress(*, first: int | None, end: int | None, committed: int | None) -> Progress:
    """What a committed offset means on a partition that holds the offsets from `first` up to `end` (excluded)."""
    if committed is None:
        return Progress(None, None if first is None or end is None else max(0, end - first), "none")
    if end is None:
        return Progress(committed, None, "ok")
    if committed > end:
        return Progress(committed, 0, "ahead")
    return Progress(committed, end - committed, "expired" if first is not None and committed < first else "ok")


def total(numbers: Iterable[int | None]) -> int | None:
    """The sum of what is known; None when nothing is."""
    known = [number for number in numbers if number is not None]
    return sum(known) if known else None
