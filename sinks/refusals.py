"""Recognises a store that is set up wrongly: it refuses every record, all for one reason."""

import threading
from collections.abc import Sequence

from worker.errors import Fatal


class FirstRefusals:
    """Stops a sink whose store refuses every record, so that its refusals do not make dead letters of good records.

    Counts what the store refuses before it has taken any record of this process.

    store: its name for people; advice: what to look at; most: this many refusals, all for one type of reason, mean that
    the store is most likely set up wrongly; 0: never.
    """

    def __init__(self, store: str, advice: str, most: int) -> None:
        self._store = store
        self._advice = advice
        self._most = most
        self._lock = threading.Lock()
        self._has_taken = most == 0
        self._types: set[str] = set()
        self._count = 0

    def note(self, *, taken: int, reasons: Sequence[str]) -> None:
        """The store has taken so many records, and refused others for these reasons ("type: text").

        Raises Fatal, which says what to do, before the refused records become dead letters.
        """
        with self._lock:
            self._has_taken = self._has_taken or taken > 0
            if self._has_taken:
                return
            self._types |= {reason.partition(":")[0] for reason in reasons}
            self._count += len(reasons)
            if self._count >= self._most and len(self._types) == 1:
                raise Fatal(
                    f"{self._store} has taken no record yet and refused {self._count}, each for {self._types.pop()}: "
                    f"{self._advice} If the records are what is wrong, set options.stop_after_refusals to 0: "
                    f"then they become dead letters. The last refusal: {reasons[-1]}"
                )
