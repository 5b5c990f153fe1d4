"""The numbers below the highest one read that no row had: ranges, kept until they are settled. No Django here."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

LOWEST = -(2**63)
"""No column of a database holds a lower number."""

Range = tuple[int, int]
"""The first and the last number."""


class Gaps:
    """Ranges in order that do not touch each other."""

    def __init__(self, ranges: Iterable[Sequence[int]] = ()) -> None:
        """Raises ValueError for what are no such ranges."""
        self.ranges: list[Range] = []
        for first, last in ranges:
            self.add(int(first), int(last))

    def __len__(self) -> int:
        return len(self.ranges)

    def __contains__(self, number: int) -> bool:
        place = self._place_of(number)
        return place < len(self.ranges) and self.ranges[place][0] <= number

    def add(self, first: int, last: int) -> None:
        """Numbers above all others. Raises ValueError when they are not."""
        if first > last or (self.ranges and first <= self.ranges[-1][1]):
            raise ValueError(f"{first}-{last} is no range above {self.ranges[-1:]}")
        self.ranges.append((first, last))

    def remove(self, number: int) -> None:
        """A row with this number was read."""
        if number not in self:
            return
        place = self._place_of(number)
        first, last = self.ranges[place]
        self.ranges[place : place + 1] = [
            (low, high) for low, high in ((first, number - 1), (number + 1, last)) if low <= high
        ]

    def up_to(self, number: int) -> list[Range]:
        """The ranges, as far as they do not lie above a number."""
        return [(first, min(last, number)) for first, last in self.ranges if first <= number]

    def forget(self, settled: int) -> None:
        """No row up to this number will appear any longer."""
        self.ranges = [(max(first, settled + 1), last) for first, last in self.ranges if last > settled]

    def _place_of(self, number: int) -> int:
        """The place of the first range that does not end below a number."""
        return bisect_left(self.ranges, number, key=lambda found: found[1])
