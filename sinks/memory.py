"""The bound on what all tasks of a process hold in memory."""

import threading


class MemoryBudget:
    """Counts the bytes of records that were read and are not stored yet.

    limit: bytes; above it tasks stop reading (`exhausted`), below half of it they go on (`has_room`).
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._used = 0
        self._lock = threading.Lock()

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._used

    @property
    def exhausted(self) -> bool:
        """Whether reading must stop."""
        return self._used >= self.limit

    @property
    def has_room(self) -> bool:
        """Whether reading may go on."""
        return self._used < self.limit / 2

    def add(self, size: int) -> None:
        """Counts `size` bytes more; a negative size gives them back."""
        with self._lock:
            self._used += size
