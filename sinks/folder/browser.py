"""Reads of a folder for people, each bounded; symbolic links that lead out of the sink's folder are not followed."""

import heapq
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, wraps
from io import FileIO
from typing import Concatenate, ParamSpec, TypeVar

from sinks.files.store import Download, FileBrowser, FileStatus, NotFound
from sinks.folder.patience import Calls
from sinks.folder.root import Root, meaning, open_folder, statuses
from worker.errors import Retriable

T = TypeVar("T")
Parameters = ParamSpec("Parameters")

_LISTED = 1000
"""So many names a listing has at most."""

_PART = 1024 * 1024

_SUMMARY_SHARE = 0.8
"""The part of a read's time in which files are counted: a share with many files is not taken for one that is away."""

# A pipe that nobody writes to would be waited for without O_NONBLOCK.
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


def _patiently(
    read: Callable[Concatenate["FolderBrowser", Parameters], T],
) -> Callable[Concatenate["FolderBrowser", Parameters], T]:
    """A read that its caller does not wait for for ever."""

    @wraps(read)
    def reads(browser: "FolderBrowser", /, *arguments: Parameters.args, **named: Parameters.kwargs) -> T:
        return browser.calls.make(lambda: read(browser, *arguments, **named))

    return reads


class FolderBrowser(FileBrowser):
    """The files below one folder. Every method may raise NotFound, NoPath, Retriable and Fatal.

    root: the sink's folder; absolute, without a slash at the end; timeout: seconds that a read may take; at_once: how
    many reads may hang on a share that is away.
    """

    def __init__(self, root: str, *, timeout: float, at_once: int) -> None:
        self._root = Root(root)
        self.calls = Calls(root, timeout=timeout, at_once=at_once)

    @_patiently
    def status(self, path: str) -> FileStatus:
        """A file or folder."""
        with self._opened(path) as file:
            return _file_status(os.path.basename(path), os.fstat(file))

    @_patiently
    def listing(self, path: str, *, after: str = "") -> tuple[list[FileStatus], int]:
        """Up to 1,000 entries of a folder by name after `after`, and how many follow."""
        with self._opened(path) as folder:
            names = [name for name in os.listdir(folder) if name > after]
            first = heapq.nsmallest(_LISTED, names)
            found = [_file_status(name, status) for name, status in statuses(folder, first)]
            return found, len(names) - len(first)

    @_patiently
    def summary(self, path: str) -> tuple[int, int, int]:
        """Files, folders (itself is one) and bytes below a folder. Raises Retriable for a large one that takes long."""
        with self._opened(path) as folder:
            return _summary(folder, time.monotonic() + _SUMMARY_SHARE * self.calls.timeout)

    @_patiently
    def part(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes of a file from `offset` on."""
        with self._opened(path) as file:
            return os.pread(file, length, offset)

    @_patiently
    def open(self, path: str) -> Download:
        """The content of a file, part by part."""
        with self._opened(path) as opened:
            file = FileIO(path, opener=lambda name, flags: os.dup(opened))  # closes it when it is a folder's
        return Download(self._parts(file, path), file.close, os.fstat(file.fileno()).st_size)

    def _parts(self, file: FileIO, path: str) -> Iterator[bytes]:
        while True:
            with meaning(path):
                part = self.calls.make(lambda: file.read(_PART))
            if not part:
                return
            yield part

    @contextmanager
    def _opened(self, path: str) -> Iterator[int]:
        with self._root.opened(path) as (at, _):
            # Links are resolved first, and none is followed then: so nobody can put one in between.
            root, real = os.path.realpath(self._root.path), os.path.realpath(path)
            if os.path.commonpath([root, real]) != root:
                raise NotFound(f"{path} leads out of {self._root.path}")
            file = _descend(at, [name for name in real.removeprefix(root).split("/") if name])
            try:
                yield file
            finally:
                os.close(file)


def _descend(at: int, names: list[str]) -> int:
    file = os.dup(at)
    for name in names:
        above = file
        try:
            file = os.open(name, _READING, dir_fd=above)
        finally:
            os.close(above)
    return file


def _summary(folder: int, deadline: float) -> tuple[int, int, int]:
    files, folders, size = 0, 1, 0
    for name, status in statuses(folder, os.listdir(folder)):
        if time.monotonic() > deadline:
            raise Retriable("too many files to be counted in time", reason="slow")
        if not stat.S_ISDIR(status.st_mode):
            files += 1
            size += status.st_size
            continue
        with open_folder(folder, name) as below:
            if below is not None:
                files, folders, size = map(sum, zip((files, folders, size), _summary(below, deadline), strict=True))
    return files, folders, size


def _file_status(name: str, status: os.stat_result) -> FileStatus:
    is_folder = stat.S_ISDIR(status.st_mode)
    return FileStatus(
        name=name,
        is_folder=is_folder,
        length=0 if is_folder else status.st_size,
        modified=status.st_mtime_ns // 1_000_000,
        owner=_user(status.st_uid),
        replication=0 if is_folder else 1,
    )


@cache
def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
