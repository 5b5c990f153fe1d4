"""Stores the batches of one partition beside its task, so that reading and writing overlap."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from sinks.loop.workers import Workers
from sinks.records import Batch
from worker.retry import Steps

_GROUP_BYTES = 8 * 1024 * 1024
"""A group takes no further batch above it: memory gets free, and reading goes on, when a whole group is stored."""


@dataclass(eq=False)
class StoreQueue:
    """Batches of one partition on their way into the store, in their order.

    store: gives the work that stores a group of consecutive batches; see_to: gives the work on a partition for which
    nothing waits, given whether the partition is left; at_once: how many groups are stored at the same time;
    group: the most batches that are stored together, fewer where they are large.
    """

    workers: Workers
    store: Callable[[list[Batch]], Steps[None]]
    see_to: Callable[[bool], Steps[None]]
    at_once: int
    group: int
    _waiting: deque[Batch] = field(default_factory=deque)
    _unfinished: deque[Batch] = field(default_factory=deque)  # waiting, being stored, or stored after one that is not
    _stored: set[int] = field(default_factory=set)  # first offsets of batches in _unfinished that are stored
    _working: int = 0
    _is_resting: bool = False
    _is_leaving: bool = False
    _error: BaseException | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def add(self, batch: Batch) -> None:
        """Has a batch stored, after the batches that were added before it."""
        with self._changed:
            self._waiting.append(batch)
            self._unfinished.append(batch)
            if self._working < self.at_once and not self._is_resting:
                self._working += 1
                self.workers.submit(self._work)

    def rest(self, *, leaving: bool = False) -> None:
        """Has `see_to` called if nothing is waiting or being stored; when leaving, as soon as nothing is any more."""
        with self._changed:
            self._is_leaving = leaving
            if not self._working and self._error is None:
                self._working += 1
                self.workers.submit(self._work)

    def collect(self) -> list[Batch]:
        """The batches that are stored, and all before them too, since the last call. Raises what storing raised."""
        with self._changed:
            done = []
            while self._unfinished and self._unfinished[0].first_offset in self._stored:
                done.append(self._unfinished.popleft())
                self._stored.remove(done[-1].first_offset)
            if not done and self._error is not None:
                raise self._error
            return done

    def abandon(self) -> list[Batch]:
        """Drops what is not stored and returns it; what is being stored right now may still be."""
        with self._changed:
            self._waiting.clear()
            left = list(self._unfinished)
            self._unfinished.clear()
            return left

    def wait(self, timeout: float) -> None:
        """Returns when nothing is waiting or being stored, after an error, or after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or not self._working, timeout)

    @property
    def is_idle(self) -> bool:
        """Whether everything in it is stored."""
        return not self._unfinished

    def _work(self) -> None:
        """Stores one group, or rests when there is none and nothing is being stored."""
        group: list[Batch] = []
        with self._changed:
            while self._waiting and len(group) < self.group and sum(batch.size for batch in group) < _GROUP_BYTES:
                group.append(self._waiting.popleft())
            has_failed = self._error is not None
            self._is_resting = not group and not has_failed and self._working == 1
            leaves = self._is_leaving and self._is_resting
        if has_failed or not (group or self._is_resting):
            self._end(group, None, leaves=leaves)
            return
        outcome: Future[None] = Future()
        outcome.add_done_callback(lambda done: self._end(group, done.exception(), leaves=leaves))
        self.workers.go_on(self.store(group) if group else self.see_to(leaves), outcome)

    def _end(self, group: list[Batch], error: BaseException | None, *, leaves: bool) -> None:
        """A group is stored, or could not be. The next one has another turn at the workers, behind other partitions."""
        with self._changed:
            self._error = self._error or error
            self._is_resting = False
            if self._error is None:
                self._stored.update(batch.first_offset for batch in group)
            is_last = self._working == 1
            if self._error is None and (self._waiting or (self._is_leaving and not leaves and is_last)):
                self.workers.submit(self._work)
            else:
                self._working -= 1
            self._changed.notify_all()
