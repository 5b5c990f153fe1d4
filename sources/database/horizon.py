"""Tells up to where nothing can appear any longer: which numbers, or times, are settled.

A transaction draws a number early and commits late, so a row can appear below numbers that were read already. All
numbers up to N were drawn before N was read. When each transaction that was alive after that read has ended, a read
that begins then sees every row up to N that will ever be there. No Django here.
"""

from collections.abc import Callable, Iterable, Set
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

_LONG_SECONDS = 60.0


class Look(NamedTuple):
    """The transactions that are alive at a moment.

    alive: a name for each; heirs: under which other names one of an earlier look, which is not alive by its old name,
    may live on.
    """

    alive: Set[str]
    heirs: Callable[[str], Iterable[str]] = lambda _: ()

    def left_of(self, waiting: Set[str]) -> set[str]:
        """Those of an earlier look that are still alive."""
        left = set()
        for name in waiting:
            if name in self.alive:
                left.add(name)
            else:
                left.update(self.heirs(name))
        return left


class Horizon(Generic[T]):
    """The greatest value below which all is settled, with the one that is next.

    look: tells the transactions that are alive, or None when it can't tell now; at_least: seconds that a value waits
    besides; clock: a monotonic one.
    """

    def __init__(self, look: Callable[[], Look | None], at_least: float, clock: Callable[[], float]) -> None:
        self._look = look
        self._at_least = at_least
        self._clock = clock
        self.settled: T | None = None
        self.waiting_for: Set[str] = frozenset()
        self._next: T | None = None
        self._since = 0.0

    def advance(self, candidate: Callable[[], T | None]) -> None:
        """Looks at the transactions. A read sees all that is settled only if it begins after this call.

        candidate: a value such that whatever will appear below it belongs to a transaction that has begun by now.
        """
        if self._next is None:
            # The order matters: a transaction that begins between the two steps is waited for in vain, none is missed.
            found = candidate()
            look = None if found is None else self._look()
            if look is None:
                return
            self._next, self._since, self.waiting_for = found, self._clock(), set(look.alive)
        else:
            look = self._look()
            if look is None:
                return
            self.waiting_for = look.left_of(self.waiting_for)
        if not self.waiting_for and self._clock() - self._since >= self._at_least:
            self.settled, self._next = self._next, None

    @property
    def held_up_by(self) -> str:
        """The transactions that have kept the next value waiting for long, for people; empty when there is none."""
        if self._next is None or self._clock() - self._since < self._at_least + _LONG_SECONDS:
            return ""
        names = sorted(self.waiting_for)
        return ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
