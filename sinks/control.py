"""What operators want of a running sink: partitions that are not to be read for now, and offsets to go back to."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from sinks.records import Partition


@dataclass(frozen=True)
class Restart:
    """An operator's wish that a partition be read again from an offset. number: the id of the wish."""

    number: int
    partition: Partition
    offset: int


class Control:
    """One thread fetches the wishes; it hands them to the tasks by this object, and gets back what became of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._all_paused = False
        self._paused: frozenset[Partition] = frozenset()
        self._asked: dict[Partition, Restart] = {}
        self._taken: set[int] = set()
        self._outcomes: dict[int, str] = {}

    def want_paused(self, partitions: Iterable[Partition], *, everything: bool) -> None:
        """From now on these partitions are to be paused, or all, and no others."""
        with self._lock:
            self._all_paused, self._paused = everything, frozenset(partitions)

    def is_paused(self, partition: Partition) -> bool:
        """Whether a partition is to be paused."""
        return self._all_paused or partition in self._paused

    def want_restarts(self, restarts: Iterable[Restart]) -> None:
        """These are the wishes that nobody has fulfilled; one that was taken already is not taken again."""
        with self._lock:
            self._asked = {wish.partition: wish for wish in restarts if wish.number not in self._taken}

    def take_restart(self, partition: Partition) -> Restart | None:
        """The wish for a partition, for its owner to fulfil."""
        if partition not in self._asked:
            return None
        with self._lock:
            wish = self._asked.pop(partition, None)
            if wish is not None:
                self._taken.add(wish.number)
            return wish

    def done(self, number: int, error: str) -> None:
        """A wish that was taken was refused for `error`, or fulfilled when that is empty."""
        with self._lock:
            self._outcomes[number] = error

    def outcomes(self) -> dict[int, str]:
        """The errors of the wishes that were taken, by their numbers, until `forget` removes them."""
        with self._lock:
            return dict(self._outcomes)

    def forget(self, numbers: Iterable[int]) -> None:
        """What became of these wishes is written down."""
        with self._lock:
            for number in numbers:
                self._outcomes.pop(number, None)
