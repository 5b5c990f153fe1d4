"""The bound on what all tasks of a process hold, divided so that one partition can not take it from others.

The task enforces it: it stops reading a partition whose share is pressed (sinks.loop.task).
"""

import threading
from dataclasses import dataclass


class MemoryBudget:
    """Divides the bytes of records that were read and are not stored yet among partitions.

    limit: bytes. One half is divided into equal shares, one for each partition. The other half is a common pool, for
    partitions that need more than their share. A partition whose store is stuck can fill its own share and the pool,
    never the shares of others.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._shares: set[MemoryShare] = set()
        self._lock = threading.Lock()

    def join(self) -> "MemoryShare":
        """The share of one more partition."""
        share = MemoryShare(self)
        with self._lock:
            self._shares.add(share)
        return share

    def leave(self, share: "MemoryShare") -> None:
        """A partition is given up; what it holds no longer counts."""
        with self._lock:
            self._shares.discard(share)

    @property
    def used(self) -> int:
        """Bytes held now."""
        with self._lock:
            return sum(share.used for share in self._shares)

    @property
    def own(self) -> float:
        """Bytes that each partition may hold whatever the others do."""
        return self.limit / 2 / max(1, len(self._shares))

    @property
    def pool_used(self) -> float:
        """Bytes of the common pool that are held now."""
        with self._lock:
            own = self.own
            return sum(max(0.0, share.used - own) for share in self._shares)


@dataclass(eq=False)
class MemoryShare:
    """What one partition holds. Only the thread of the partition's task changes it.

    used: bytes held now; is_pressed: what `press` said last.
    """

    budget: MemoryBudget
    used: int = 0
    is_pressed: bool = False

    def press(self, pool_used: float) -> bool:
        """Whether reading must stop. It stops when share and pool are full, until a sixteenth of either is free again.

        pool_used: of the budget, asked once for many partitions.
        """
        free = 15 / 16 if self.is_pressed else 1
        self.is_pressed = self.used >= self.budget.own * free and pool_used >= self.budget.limit / 2 * free
        return self.is_pressed
