"""Which process a spool's folder belongs to: makes folders, finds those whose process is gone, releases them."""

import fcntl
import logging
import os
import re
import time
import uuid
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from events.spool.reader import SpoolReader
from events.spool.segments import LOCK, PRIVATE, own_files

logger = logging.getLogger(__name__)

_NEW = ".new-"
# Earlier versions named their folders without "spool-".
_NAME = re.compile(r"(\.new-)?(spool-)?\d{8}T\d{6}-\d+-[0-9a-f]{8}", re.ASCII)
_BEING_MADE_SECONDS = 60.0
_left_alone: set[Path] = set()  # folders that a warning has named


def make_folder(root: Path) -> tuple[Path, int]:
    """Makes a folder that belongs to this process. Returns the folder and the descriptor of its lock."""
    name = f"spool-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    new = root / f"{_NEW}{name}"
    new.mkdir(mode=0o700)
    fd = os.open(new / LOCK, os.O_CREAT | os.O_RDWR, PRIVATE)
    fcntl.flock(fd, fcntl.LOCK_EX)
    # The folder gets its name last. Before that it has no lock, and another process would take it for an orphan.
    return new.rename(root / name), fd


def orphans(root: Path, own: Collection[Path]) -> list[tuple[Path, int]]:
    """Locks the folders whose processes are gone. Returns each with the descriptor of its lock.

    A folder that this process may not read is left to another process that may; one warning names it.
    """
    found: list[tuple[Path, int]] = []
    for folder in sorted(root.iterdir()):
        if folder in own or not _NAME.fullmatch(folder.name):
            continue
        try:
            fd = _lock(folder) if _may_be_orphan(folder) else None
        except OSError as error:
            if folder not in _left_alone:
                _left_alone.add(folder)
                logger.warning("the spool %s is left alone, its events are not delivered: %s", folder, error)
            continue
        if fd is not None:
            found.append((folder, fd))
    return found


def release(folder: Path, lock_fd: int) -> None:
    """Unlocks a folder, for another process to adopt. A folder whose records are all delivered is removed."""
    try:
        if SpoolReader(folder).is_done():
            _remove(folder)
    except OSError:
        logger.exception("the spool %s can't be read to its end; it is left to the next process", folder)
    finally:
        os.close(lock_fd)


def _remove(folder: Path) -> None:
    """Removes a spool, but nothing that is not its own."""
    try:
        for path in own_files(folder):
            path.unlink()
        folder.rmdir()
    except OSError as error:
        logger.warning("the spool %s is delivered, but its folder can't be removed: %s", folder, error)


def _may_be_orphan(folder: Path) -> bool:
    with suppress(FileNotFoundError):
        is_being_made = folder.name.startswith(_NEW) and time.time() - folder.stat().st_mtime < _BEING_MADE_SECONDS
        return folder.is_dir() and not folder.is_symlink() and not is_being_made
    return False


def _lock(folder: Path) -> int | None:
    """The descriptor of the folder's lock; None when another process has the lock, or the folder is gone.

    Raises OSError when this process may not read all files of the spool.
    """
    try:
        fd = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # No link is left when the owner has removed the folder after this process opened the lock.
        if os.fstat(fd).st_nlink:
            for path in own_files(folder):
                path.open("rb").close()
            return fd
    except BlockingIOError:
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None
