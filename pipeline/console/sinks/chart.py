"""A small chart of the lag over time, as the points of SVG lines, with the numbers that it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

MAX_POINTS = 60

Sample = tuple[datetime, int]


@dataclass(frozen=True)
class LagChart:
    """lines: the points of an SVG polyline for each stretch without a gap, in a box of `width` by `height`.

    rows: (moment, lag), oldest first; most: the top; ended: the newest sample, None while there are new ones.
    """

    width: int
    height: int
    lines: list[str]
    rows: list[Sample]
    most: int
    ended: datetime | None


def lag_chart(samples: Sequence[Sample], *, gap: timedelta, now: datetime, width: int, height: int) -> LagChart | None:
    """None for less than two samples. Of many, each stretch shows its highest: a peak is never left out.

    gap: samples that are further apart are not joined by a line, for nothing is known of the time between them.
    """
    if len(samples) < 2:
        return None
    step = -(-len(samples) // MAX_POINTS)
    stretches = [
        [max(stretch[begin : begin + step], key=lambda row: row[1]) for begin in range(0, len(stretch), step)]
        for stretch in _stretches(samples, gap)
    ]
    rows = [row for stretch in stretches for row in stretch]
    most = max(lag for _, lag in rows)
    begin = rows[0][0]
    ended = samples[-1][0] if now - samples[-1][0] > gap else None
    whole = ((now if ended else rows[-1][0]) - begin).total_seconds() or 1.0

    def line(stretch: list[Sample]) -> str:
        points = [
            f"{width * (moment - begin).total_seconds() / whole:.1f},"
            f"{height - 1 - (height - 2) * lag / (most or 1):.1f}"
            for moment, lag in stretch
        ]
        return " ".join(points if len(points) > 1 else 2 * points)  # a single one is a dot

    return LagChart(width, height, [line(stretch) for stretch in stretches], rows, most, ended)


def _stretches(samples: Sequence[Sample], gap: timedelta) -> list[Sequence[Sample]]:
    """The samples, divided where one comes later than `gap` after the one before."""
    ends = [number for number, (one, other) in enumerate(pairwise(samples), 1) if other[0] - one[0] > gap]
    return [samples[begin:end] for begin, end in pairwise([0, *ends, len(samples)])]
