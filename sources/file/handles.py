"""The open files of a source, of which there are a bounded number."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

_IDLE_SECONDS = 300.0
"""A file that still has its name is closed when nothing was read from it for so long."""


class FileId(NamedTuple):
    """What a file is called by the system. The number of a file that is gone may be given to a new file."""

    device: int
    inode: int


@dataclass
class _Handle:
    fd: int
    used: float
    users: int = 0
    is_last: bool = False  # the file has no name by which it could be opened again


class Handles:
    """Opens files, and keeps them open for the next use, the tasks' threads together.

    Handles outlive the readers that use them: a reader that is opened again after a failed transaction still finds a
    file that has been deleted.
    """

    def __init__(self, bound: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._bound = bound
        self._clock = clock
        self._lock = threading.Lock()
        self._handles: dict[FileId, _Handle] = {}

    def __len__(self) -> int:
        return len(self._handles)

    def __contains__(self, file: FileId) -> bool:
        return file in self._handles

    @contextmanager
    def opened(self, file: FileId, path: str) -> Iterator[int]:
        """A file descriptor, to be used within. Raises OSError; FileNotFoundError also when the path has another file.

        A file that is open needs no path any more.
        """
        with self._lock:
            handle = self._handles.get(file)
            if handle is None:
                handle = self._handles[file] = _Handle(_open(file, path), self._clock())
            handle.users += 1
            handle.used = self._clock()
            self._close_surplus()
        try:
            yield handle.fd
        finally:
            with self._lock:
                handle.users -= 1
                if not handle.users and self._handles.get(file) is not handle:  # was closed meanwhile
                    os.close(handle.fd)

    def keep(self, file: FileId, *, is_last: bool = True) -> None:
        """The file has lost its name, and others are closed rather than this one, or it needs that no more."""
        with self._lock:
            if file in self._handles:
                self._handles[file].is_last = is_last

    def close(self, file: FileId) -> None:
        """Closes a file once nobody uses it."""
        with self._lock:
            self._close(file)

    def close_all(self) -> None:
        """Closes all files, each once nobody uses it."""
        with self._lock:
            for file in list(self._handles):
                self._close(file)

    def close_idle(self) -> None:
        """Closes the files that were not used for long."""
        with self._lock:
            before = self._clock() - _IDLE_SECONDS
            for file, handle in list(self._handles.items()):
                if handle.used < before and not (handle.is_last or handle.users):
                    self._close(file)

    def _close_surplus(self) -> None:
        surplus = len(self._handles) - self._bound
        if surplus > 0:
            unused = [(handle.is_last, handle.used, file) for file, handle in self._handles.items() if not handle.users]
            for _, _, file in sorted(unused)[:surplus]:
                self._close(file)

    def _close(self, file: FileId) -> None:
        handle = self._handles.pop(file, None)
        if handle is not None and not handle.users:
            os.close(handle.fd)


def _open(file: FileId, path: str) -> int:
    # O_NONBLOCK: opening a FIFO that took the file's place must not wait for a writer.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    status = os.fstat(fd)
    if (status.st_dev, status.st_ino) != file:
        os.close(fd)
        raise FileNotFoundError(f"{path} is another file now")
    return fd
