"""Looks for the files of a source, once for all readers of a process."""

import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from kafka_client.log import repeating_logger
from sources.file.content import HEAD_BYTES, Plain, Unpacked, group_of, is_packed
from sources.file.handles import FileId, Handles
from sources.file.paths import family_of, matching, printable

logger = logging.getLogger(__name__)
repeated = repeating_logger(__name__)


class Found(NamedTuple):
    """A file that the patterns match.

    group: None while it is too short to be dealt out; packed: a gzip file; first_path: the name that it had before.
    """

    id: FileId
    path: str
    size: int
    modified: int
    packed: bool
    group: int | None
    first_path: str = ""


class Look(NamedTuple):
    """All files that were found at one time.

    groups: the same, by group, but for compressed files that wait for their originals; vanished: files that are still
    open, but whose names are gone or are matched no more.
    """

    files: Mapping[FileId, Found]
    groups: Mapping[int | None, Sequence[Found]]
    vanished: Mapping[FileId, Found]


class _Short(NamedTuple):
    """A file without one whole line. since: when it was last seen to have changed; group: when nothing follows."""

    first_path: str
    size: int
    modified: int
    since: float
    group: int | None


class Finder:
    """Finds the files of the patterns, and the group of each.

    seconds: a look that is younger is used again; last_line_seconds: a file that lost its name without one whole line
    is complete when it was quiet for so long, None: never.
    """

    def __init__(
        self,
        patterns: Sequence[str],
        handles: Handles,
        *,
        seconds: float,
        last_line_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.handles = handles
        self._patterns = patterns
        self._seconds = seconds
        self._last_line_seconds = last_line_seconds
        self._short: dict[FileId, _Short] = {}
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
        before = {**self._last.vanished, **self._last.files}
        gone = [found for id, found in before.items() if id not in files and id in self.handles]
        vanished = {found.id: self._as_it_is(found) for found in gone}
        awaited = self._complete(files, vanished)
        groups: dict[int | None, list[Found]] = {}
        for found in files.values():
            if not (found.packed and (family_of(found.path), found.group) in awaited):
                groups.setdefault(found.group, []).append(found)
        return Look(files, groups, vanished)

    def _complete(self, files: dict[FileId, Found], vanished: dict[FileId, Found]) -> set[tuple[str, int | None]]:
        """Deals out the files that have lost their names without one whole line, and are quiet.

        Returns those that are not quiet yet, as their family and the group that they will have: their compressed files
        wait for them.
        """
        short: dict[FileId, _Short] = {}
        awaited: set[tuple[str, int | None]] = set()
        for found in [*files.values(), *vanished.values()]:
            if found.group is not None or found.packed or not found.size:
                continue
            known = self._short.get(found.id)
            if known is None or (known.size, known.modified) != (found.size, found.modified):
                first = found.path if known is None else known.first_path
                try:
                    with self.handles.opened(found.id, found.path) as fd:
                        group = group_of(Plain(fd).pread(HEAD_BYTES, 0), is_all=True)
                except OSError:  # it is gone meanwhile
                    continue
                known = _Short(first, found.size, found.modified, self._clock(), group)
            short[found.id] = known
            if self._last_line_seconds is None:
                continue
            if self._clock() - known.since < self._last_line_seconds:
                awaited.add((family_of(found.path), known.group))
            elif found.id in vanished:
                vanished[found.id] = found._replace(group=known.group, first_path=known.first_path)
            elif found.path != known.first_path:
                files[found.id] = found._replace(group=known.group, first_path=known.first_path)
        self._short = short
        return awaited

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

    def _as_it_is(self, vanished: Found) -> Found:
        """A file that has lost its name. It may have got the rest of its first line since it was found last."""
        if vanished.group is not None:
            return vanished
        with suppress(OSError), self.handles.opened(vanished.id, vanished.path) as fd:
            status = os.fstat(fd)
            packed, group = _kind_of(fd)
            return vanished._replace(size=status.st_size, modified=status.st_mtime_ns, packed=packed, group=group)
        return vanished  # it was closed meanwhile

    def search(self, file: FileId, path: str) -> str | None:
        """The path of a file that had another name in the same folder; of a link, in the folder that it leads to."""
        try:
            with os.scandir(os.path.dirname(os.path.realpath(path))) as entries:
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
    repeated.error("%s can't be read: %s", printable(path), os.strerror(error.errno or 0))
