"""A small chart of the lag over time, as the points of an SVG line, with the numbers that it shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

MAX_POINTS = 60


@dataclass(frozen=True)
class LagChart:
    """points: of an SVG polyline in a box of `width` by `height`; rows: (moment, lag), oldest first; most: the top."""

    width: int
    height: int
    points: str
    rows: list[tuple[datetime, int]]
    most: int


def lag_chart(samples: Sequence[tuple[datetime, int]], *, width: int, height: int) -> LagChart | None:
    """None for less than two samples. Of many, each stretch shows its highest: a peak is never left out."""
    if len(samples) < 2:
        return None
    step = -(-len(samples) // MAX_POINTS)
    rows = [max(samples[begin : begin + step], key=lambda row: row[1]) for begin in range(0, len(samples), step)]
    most = max(lag for _, lag in rows)
    begin = rows[0][0]
    whole = (rows[-1][0] - begin).total_seconds() or 1.0
    points = " ".join(
        f"{width * (moment - begin).total_seconds() / whole:.1f},{height - 1 - (height - 2) * lag / (most or 1):.1f}"
        for moment, lag in rows
    )
    return LagChart(width, height, points, rows, most)
