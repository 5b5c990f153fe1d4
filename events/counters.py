"""Counters of the processes of this machine, which any of them can sum up. No Django here.

Each process counts in a file of its own: memory that is mapped, so that adding costs no call of the system and no lock,
and that outlives a killed process. What processes that are gone have counted is folded into one file, so that a sum
never goes down.
"""

import fcntl
import json
import logging
import mmap
import os
import threading
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

Key = tuple[str, ...]
"""A metric's name and the values of its labels."""

_CELLS = 512
_SIZE = _CELLS * 8
_NOWHERE = _CELLS - 1  # the cell that takes the counts of keys for which no cell is free

_SUFFIX = ".counters"
_ENDED = "ended.json"
_LOCK = "lock"
_MODE = 0o600


@dataclass(frozen=True)
class Reading:
    """What was counted. ended: by processes that are gone, together; living: by each process that lives."""

    ended: Mapping[Key, int]
    living: list[dict[Key, int]]


class Counters:
    """The counters of this process.

    folder: of the counters of all processes of this machine; None keeps them to this process. The file holds the
    numbers, then the key of each as a line of JSON; it is locked while the process lives. Raises OSError when it can't
    be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._indexes: dict[Key, int] = {}
        self._used = 0
        self._fd = -1
        self._end = _SIZE
        self._cells: memoryview | list[int] = [0] * _CELLS if folder is None else self._make_file(folder)

    def add(self, key: Key, number: int = 1) -> None:
        """Adds `number` to a counter."""
        index = self._indexes.get(key)
        if index is None:
            index = self._cell(key)
        # No lock is needed: CPython switches threads at calls and jumps, and this line has none.
        self._cells[index] += number

    def set(self, key: Key, number: int) -> None:
        """Sets a value, such as the present length of a queue."""
        self._cells[self._cell(key)] = number

    def values(self) -> dict[Key, int]:
        """What this process has counted so far."""
        return {key: self._cells[index] for key, index in list(self._indexes.items()) if index != _NOWHERE}

    def abandon(self) -> None:
        """Lets go of the file, as a forked child does with its parent's."""
        if self._fd >= 0:
            os.close(self._fd)

    def _make_file(self, folder: Path) -> memoryview:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}{_SUFFIX}"
        with _locked(folder):
            _fold(folder)
            self._fd = os.open(path, os.O_CREAT | os.O_RDWR, _MODE)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            # Reserve the disk's room now: writing to mapped memory without room on the disk would end the process.
            os.posix_fallocate(self._fd, 0, _SIZE)
        # Opened anew: a forked child, which keeps the memory, must not keep the lock.
        with open(path, "r+b") as file:
            return memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("Q")

    def _cell(self, key: Key) -> int:
        with self._lock:
            if (index := self._indexes.get(key)) is None:
                index = self._used
                if index < _NOWHERE and self._write_key(key):
                    self._used += 1
                else:
                    index = _NOWHERE
                self._indexes[key] = index
            return index

    def _write_key(self, key: Key) -> bool:
        if self._fd < 0:
            return True
        line = json.dumps(key).encode() + b"\n"
        with suppress(OSError):
            if os.pwrite(self._fd, line, self._end) == len(line):
                self._end += len(line)
                return True
        logger.error("the disk is full: %s is not counted", key)
        return False


def read_counters(folder: Path) -> Reading:
    """What all processes of this machine have counted so far."""
    with _locked(folder):
        ended, folded = _read_ended(folder)
        living = []
        for path in _files(folder, folded):
            if _is_dead(path):
                ended.update(_read(path))
            else:
                living.append(_read(path))
    return Reading(ended, living)


def _fold(folder: Path) -> None:
    """Adds the counters of processes that have ended to the sums on disk, and removes their files."""
    ended, folded = _read_ended(folder)
    for name in folded:
        (folder / name).unlink(missing_ok=True)
    dead = [path for path in _files(folder, folded) if _is_dead(path)]
    for path in dead:
        ended.update(_read(path))
    # The sums and the names of their files are written together. If this process dies before it removes the files, the
    # next one knows that they are counted already.
    content = {"counters": [[*key, number] for key, number in ended.items()], "folded": [path.name for path in dead]}
    new = folder / f".{_ENDED}"
    new.write_text(json.dumps(content), encoding="utf-8")
    new.rename(folder / _ENDED)
    for path in dead:
        path.unlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, _MODE), "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _files(folder: Path, folded: set[str]) -> list[Path]:
    return [path for path in sorted(folder.glob(f"*{_SUFFIX}")) if path.name not in folded]


def _is_dead(path: Path) -> bool:
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _read(path: Path) -> dict[Key, int]:
    data = path.read_bytes().ljust(_SIZE, b"\0")
    # The last line may lack its end where a process was killed: then nothing was counted under it.
    lines = data[_SIZE:].split(b"\n")[:-1]
    try:
        keys = [tuple(json.loads(line)) for line in lines]
    except ValueError:
        logger.warning("%s was damaged when the machine died; what it counted is left out", path)
        return {}
    cells = memoryview(data[:_SIZE]).cast("Q")
    return {key: cells[index] for index, key in enumerate(keys)}


def _read_ended(folder: Path) -> tuple[Counter[Key], set[str]]:
    """The sums of the processes that have ended, and the names of the files that the sums include."""
    try:
        content = json.loads((folder / _ENDED).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Counter(), set()
    except ValueError:
        logger.warning("%s was damaged when the machine died; counters begin anew", folder / _ENDED)
        return Counter(), set()
    return Counter({tuple(key): number for *key, number in content["counters"]}), set(content["folded"])
