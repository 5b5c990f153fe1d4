"""Calls of the operating system that may never return, such as those to a share that is away.

They are made on threads of their own, whose number is bounded, and their callers wait for a time.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Generic, TypeVar

from worker.errors import Retriable

T = TypeVar("T")


class Calls:
    """Makes calls for several threads. path: what they are about; timeout: in seconds; at_once: how many may hang."""

    def __init__(self, path: str, *, timeout: float, at_once: int) -> None:
        self._path = path
        self.timeout = timeout
        self._places = threading.BoundedSemaphore(at_once)

    def make(self, call: Callable[[], T]) -> T:
        """What the call returns or raises. Raises Retriable where it takes too long, or too many others hang."""
        if not self._places.acquire(blocking=False):
            raise Retriable(f"{self._path}: too many reads wait for an answer already", reason="unreachable")
        return _result(_begun(call, at_end=self._places.release), self._path, self.timeout)


class SharedCall(Generic[T]):
    """Makes one call at a time: who wants it made while it hangs waits for the same one."""

    def __init__(self, path: str, call: Callable[[], T]) -> None:
        self._path = path
        self._call = call
        self._lock = threading.Lock()
        self._under_way: Future[T] | None = None

    def make(self, *, timeout: float) -> T:
        """What the call returns or raises. Raises Retriable where it takes longer than so many seconds."""
        with self._lock:
            if self._under_way is None or self._under_way.done():
                self._under_way = _begun(self._call)
            under_way = self._under_way
        return _result(under_way, self._path, timeout)


def _begun(call: Callable[[], T], at_end: Callable[[], None] = lambda: None) -> Future[T]:
    """The outcome of a call on a new thread, which does not keep the process from ending."""
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            found = call()
        except Exception as error:  # noqa: BLE001 - raised where the call is waited for
            at_end()
            outcome.set_exception(error)
        else:
            at_end()
            outcome.set_result(found)

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError:  # the system has no thread left
        at_end()
        raise
    return outcome


def _result(outcome: Future[T], path: str, timeout: float) -> T:
    if wait([outcome], timeout).not_done:
        raise Retriable(f"{path}: no answer within {timeout:g} s", reason="unreachable")
    return outcome.result()
