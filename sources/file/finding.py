"""Looks for the files of a source, once for all readers of a process."""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kafka_client.log import repeating_logger
from sources.file.content import HEAD_BYTES, Plain, Unpacked, group_of, is_packed
from sources.file.handles import FileId, Handles
from sources.file.paths import matching

logger = logging.getLogger(__name__)
repeated = repeating_logger(__name__)


class Found(NamedTuple):
    """A file that the patterns match. group: None while it is too short to be dealt out; packed: a gzip file."""

    id: FileId
    path: str
    size: int
    modified: int
    packed: bool
    group: int | None


class Look(NamedTuple):
    """All files that were found at one time.

    groups: the same, by group; vanished: files that are still open, but whose names are gone or are matched no more.
    """

    files: Mapping[FileId, Found]
    groups: Mapping[int | None, Sequence[Found]]
    vanished: Mapping[FileId, Found]


class Finder:
    """Finds the files of the patterns, and the group of each.

    seconds: a look that is younger is used again.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        handles: Handles,
        *,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.handles = handles
        self._patterns = patterns
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last = Look({}, {}, {})
        self._looked_at = -float("inf")

    def look(self) -> Look:
        """The files that there are."""
        with self._lock:
            if self._clock() - self._looked_at >= self._seconds:
                self._last = self._look()
                self._looked_at = self._clock()
                self.handles.close_idle()
            return self._last

    def _look(self) -> Look:
        files: dict[FileId, Found] = {}
        for pattern in self._patterns:
            for path in matching(pattern, _report):
                if (found := self._found(path)) is not None:
                    known = self._last.files.get(found.id)
                    # Of two names of one file, the one that was known before stays.
                    if found.id not in files or (known is not None and known.path == path):
                        files[found.id] = found
        groups: dict[int | None, list[Found]] = {}
        for found in files.values():
            groups.setdefault(found.group, []).append(found)
        before = {**self._last.vanished, **self._last.files}
        vanished = {id: found for id, found in before.items() if id not in files and id in self.handles}
        return Look(files, groups, vanished)

    def _found(self, path: str) -> Found | None:
        try:
            status = os.stat(path)
            if not stat.S_ISREG(status.st_mode):
                return None
            file = FileId(status.st_dev, status.st_ino)
            known = self._last.files.get(file)
            if known is not None and (known.size, known.modified) == (status.st_size, status.st_mtime_ns):
                return known._replace(path=path)
            with self.handles.opened(file, path) as fd:
                packed, group = _kind_of(fd)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            _report(path, error)
            return None
        return Found(file, path, status.st_size, status.st_mtime_ns, packed, group)

    def search(self, file: FileId, path: str) -> str | None:
        """The path of a file that had another name in the same folder."""
        try:
            with os.scandir(os.path.dirname(path)) as entries:
                for entry in entries:
                    if entry.inode() == file.inode and entry.stat(follow_symlinks=False).st_dev == file.device:
                        return entry.path
        except OSError:
            return None
        return None


def _kind_of(fd: int) -> tuple[bool, int | None]:
    begin = Plain(fd).pread(HEAD_BYTES, 0)
    packed = is_packed(begin)
    if not packed:
        return False, None if packed is None else group_of(begin)
    content = Unpacked(fd)
    begin = content.pread(HEAD_BYTES, 0)
    return True, group_of(begin, is_all=content.is_whole or bool(content.damage))


def _report(path: str, error: OSError) -> None:
    repeated.error("%s can't be read: %s", path, os.strerror(error.errno or 0))
