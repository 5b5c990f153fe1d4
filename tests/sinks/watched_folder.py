"""A folder on this machine whose operations, and within them the system calls that change something, are watched.

The store under test is the real one. It sees its folder as /data, as the models see that of their HDFS in memory.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sinks.files.store import ListedFile
from sinks.folder import renaming, root, store
from sinks.folder.store import FolderStore
from tests.sinks.memory_hdfs import File
from tests.sinks.watched import Watched

ROOT = "/data"

_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where many small files are made and removed at no cost."""

_SYNCING = "fsync"

DONE = " done"
"""Added to the name of a system call when it has ended."""


def without_exclusive_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the file system answers as NFS does."""

    def refuse(at: int, source: str, destination: str) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(renaming, "renameat2", refuse)


class System:
    """Stands for the module `os` in sinks.folder, and tells the folder that is watched of its calls."""

    def __init__(self) -> None:
        self.folder: WatchedFolder | None = None
        for name in ("mkdir", "write", "fsync", "link", "unlink", "rmdir", "rename"):
            setattr(self, name, self._watched(name, getattr(os, name)))
        self.renameat2 = self._watched("rename", renaming.renameat2)
        self._open_to_write = self._watched("open", os.open)
        for name in ("stat", "listdir"):
            setattr(self, name, self._seen_by(name, getattr(os, name)))
        self._open_to_look = self._seen_by("open", os.open)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        """As os.open, but that a path which is the root leads to the folder that is watched."""
        if flags & (os.O_CREAT | os.O_APPEND):
            return self._open_to_write(path, flags, mode, dir_fd=dir_fd)
        if path == ROOT and self.folder is not None:
            path = self.folder.place
        return self._open_to_look(path, flags, mode, dir_fd=dir_fd)

    def use(self, folder: "WatchedFolder | None") -> None:
        """Tells this folder from now on; the one before is removed."""
        if self.folder is not None:
            shutil.rmtree(self.folder.place)
        self.folder = folder

    def _watched(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            if self.folder is None:
                return call(*arguments, **options)
            return self.folder.around(name, call, *arguments, **options)

        return watched

    def _seen_by(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def seen(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            if self.folder is not None:
                self.folder.looked(name + DONE)
            return result

        return seen


_system = System()


@contextmanager
def watching(*, share: bool = False) -> Iterator[None]:
    """Within it sinks.folder calls the system that is watched. share: one without exclusive renames, as NFS."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        for module in (root, renaming, store):
            monkeypatch.setattr(module, "os", _system)
        monkeypatch.setattr(renaming, "renameat2", _system.renameat2)
        if share:
            without_exclusive_renames(monkeypatch)
        yield
    _system.use(None)


class WatchedFolder(Watched, FolderStore):
    """To be made within `watching`, which watches the one that was made last.

    during: called before and after each system call that changes something, with its name; looked: after each that
    changes nothing.
    """

    def __init__(
        self,
        before: Callable[[str], Any] = lambda name: None,
        after: Callable[[str], None] = lambda name: None,
    ) -> None:
        Watched.__init__(self, before, after)
        FolderStore.__init__(self, ROOT)
        self.looked: Callable[[str], None] = lambda name: None
        self.place = tempfile.mkdtemp(dir=_MEMORY)
        os.mkdir(f"{self.place}/_sink")
        self._looked_at = -1
        _system.use(self)

    def around(self, name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """A system call."""
        self.during(name)
        self.changes += name != _SYNCING
        result = call(*arguments, **options)
        self.changes += name != _SYNCING
        self.during(name + DONE)
        return result

    def walk(self, path: str) -> list[ListedFile]:
        """All files are as old as those of the HDFS in memory."""
        return [file._replace(modified=0.0) for file in super().walk(path)]

    @property
    def files(self) -> dict[str, File]:
        """As those of the HDFS in memory."""
        return self._tree()[0]

    @property
    def folders(self) -> set[str]:
        """As those of the HDFS in memory."""
        return self._tree()[1]

    def _tree(self) -> tuple[dict[str, File], set[str]]:
        if self._looked_at != self.changes:
            self._looked_at = self.changes
            files, folders = {}, {"/"}
            for folder, _, names in os.walk(self.place):
                folders.add(self._seen(folder))
                files |= {self._seen(path): File(_content(path)) for path in (f"{folder}/{name}" for name in names)}
            self._found = files, folders
        return self._found

    def _seen(self, path: str) -> str:
        return ROOT + path.removeprefix(self.place)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
