"""The folder of a sink on a disk or a mounted share: how an operation enters it, and what the system's errors mean."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sinks.files.store import NoPath, NotFound
from worker.errors import Fatal, Retriable

AREA = "_sink"
"""The folder below the root that holds everything but the files of readers; it tells that the root is the right one."""

_NO_PATH = {errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EILSEQ}
"""What the system says of paths at which nothing can be."""

_NEVER_BETTER = {errno.EACCES, errno.EPERM, errno.EEXIST, errno.EXDEV, errno.ENOSYS, errno.EOPNOTSUPP}
"""After these trying again does not help. All others may go: a full disk, a share that is away, a disk that fails."""


@contextmanager
def meaning(path: str) -> Iterator[None]:
    """Raises what the protocol understands instead of an OSError: NotFound, NoPath, Fatal, Retriable."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        text = f"{path}: {os.strerror(number)}"
        if number == errno.ENOENT:
            raise NotFound(text) from error
        if number in _NO_PATH:
            raise NoPath(text) from error
        if number in _NEVER_BETTER:
            raise Fatal(text) from error
        raise Retriable(text, reason=errno.errorcode.get(number, "other")) from error


class Root:
    """The root folder.

    Each operation opens it anew and does everything else by this one file descriptor. So the whole operation happens
    on one file system, whatever is mounted or unmounted meanwhile. A share that is not mounted is never written
    beneath: without the root, or without its folder `_sink`, every operation raises Retriable. The second matters when
    the root is the mount point itself, which is there as an empty folder without its share.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[int, str]]:
        """The root's file descriptor, and what follows the root in `path`. Errors within are given their meaning."""
        below = self.below(path)
        with meaning(path):
            at = self._open()
            try:
                yield at, below
            finally:
                os.close(at)

    def below(self, path: str) -> str:
        """A path below the root, relative to it. Raises NoPath."""
        below = path.removeprefix(self.path)
        try:
            is_name = b"\0" not in os.fsencode(path)
        except UnicodeEncodeError:
            is_name = False
        if not is_name or not path.startswith(self.path) or below[:1] not in ("", "/") or ".." in below.split("/"):
            raise NoPath(f"{path!r} can be no path below {self.path}")
        return below.strip("/") or "."

    def prepare(self) -> bool:
        """Makes the root and its folder `_sink`; says whether anything was missing. No other operation makes them."""
        with meaning(self.path):
            missing = [folder for folder in _line(f"{self.path}/{AREA}") if not os.path.isdir(folder)]
            os.makedirs(f"{self.path}/{AREA}", exist_ok=True)
            for folder in missing:
                sync_path(None, os.path.dirname(folder))
        return bool(missing)

    def _open(self) -> int:
        try:
            at = os.open(self.path, _FOLDER)
            try:
                os.stat(AREA, dir_fd=at)
            except OSError:
                os.close(at)
                raise
        except FileNotFoundError as error:
            raise Retriable(
                f"{self.path} has no folder {AREA}, or is not there: is the share mounted? When the sink is new, "
                "`manage.py setup_pipeline` makes it",
                reason="unmounted",
            ) from error
        return at


def parent_of(path: str) -> str:
    """The folder of a path, both relative to the root, which is `.`."""
    return path.rpartition("/")[0] or "."


_FOLDER = os.O_RDONLY | os.O_DIRECTORY


@contextmanager
def open_folder(at: int | None, path: str) -> Iterator[int | None]:
    """A folder's file descriptor; None when it is not there. at: of the folder to which the path is relative."""
    try:
        folder = os.open(path, _FOLDER, dir_fd=at)
    except FileNotFoundError:
        yield None
        return
    try:
        yield folder
    finally:
        os.close(folder)


def sync_path(at: int | None, path: str) -> None:
    """As sync_folder. Raises FileNotFoundError."""
    folder = os.open(path, _FOLDER, dir_fd=at)
    try:
        sync_folder(folder)
    finally:
        os.close(folder)


def sync_folder(folder: int) -> None:
    """Brings the names in a folder to the disk; when it returns no power cut can undo what was done to them.

    A file system that can't do this with folders (EINVAL) is taken for one that needs no asking.
    """
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def statuses(folder: int, names: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Names in a folder with what the system says of each, links not followed. What is gone meanwhile is left out."""
    for name in names:
        try:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield name, status


def _line(path: str) -> list[str]:
    return [path, *(_line(os.path.dirname(path)) if path != "/" else [])]
