"""Bounds the dead letters of a partition: when most records are bad, a wrong setting is the likely cause."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from worker.errors import Retriable

_WINDOW_SECONDS = 60.0


@dataclass
class _Second:
    """What was admitted within a second from `begin` on."""

    begin: float
    records: int = 0
    letters: int = 0


class LetterLimit:
    """Holds the dead letters of one partition back while the last minute had too many. Several threads may use it.

    per_minute: so many in a minute always pass; share: beyond that, the partition waits when more than this part of
    its records, 0 to 1, are dead letters.
    """

    def __init__(self, per_minute: int, share: float, clock: Callable[[], float]) -> None:
        self._per_minute = per_minute
        self._share = share
        self._clock = clock
        self._lock = threading.Lock()
        self._last_minute: deque[_Second] = deque()

    def admit(self, letters: int, records: int) -> None:
        """Raises Retriable while these dead letters are too many. The first ones of a minute always pass.

        To be told of every record once, also of those that are stored together without a dead letter among them.
        """
        with self._lock:
            now = self._clock()
            while self._last_minute and now - self._last_minute[0].begin > _WINDOW_SECONDS:
                self._last_minute.popleft()
            letters_before = sum(second.letters for second in self._last_minute)
            records_before = sum(second.records for second in self._last_minute)
            too_many = letters and letters_before and letters_before + letters > self._per_minute
            if too_many and letters_before + letters > self._share * (records_before + records):
                raise Retriable(
                    f"{letters_before} of {records_before} records of the last minute became dead letters, and "
                    f"{letters} of the next {records} would, too (dead_letters_per_minute is {self._per_minute}, "
                    f"dead_letter_share {self._share:g}): is the sink's `event` or the index's mapping wrong?",
                    reason="dead_letters",
                )
            if not self._last_minute or now - self._last_minute[-1].begin >= 1:
                self._last_minute.append(_Second(now))
            self._last_minute[-1].records += records
            self._last_minute[-1].letters += letters
