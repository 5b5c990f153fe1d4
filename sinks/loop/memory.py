"""The bound on what all tasks of a process hold in memory."""

import threading


class MemoryBudget:
    """Counts the bytes of records that were read and are not stored yet.

    limit: bytes. From when it is reached until a sixteenth of it is free again the budget is `pressed`: tasks stop
    reading and store what they have.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._pressed = False
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._used

    @property
    def pressed(self) -> bool:
        """Whether reading must stop."""
        return self._pressed

    def add(self, size: int) -> None:
        """Counts `size` bytes more; a negative size gives them back."""
        with self._lock:
            self._used += size
            if self._used >= self.limit:
                self._pressed = True
            elif self._used < self.limit * 15 / 16:
                self._pressed = False
