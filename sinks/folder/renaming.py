"""Renames that never take the place of something else: by one system call, or by steps where there is no such call."""

import ctypes
import errno
import os
import stat

_NO_REPLACE = 1
"""RENAME_NOREPLACE of Linux."""

_libc = ctypes.CDLL(None, use_errno=True)


def rename_new(at: int, source: str, destination: str) -> None:
    """Renames a file or folder. Raises FileExistsError when the destination is there, FileNotFoundError when the source
    or the destination's parent is not.

    at: of the folder to which both paths are relative.

    Linux does it by one system call, renameat2 with RENAME_NOREPLACE, on most local file systems (ext4, XFS, btrfs,
    tmpfs, overlayfs) and on SMB. NFS, CephFS and others answer EINVAL; then it is done by steps, and these are enough
    for the protocol of sinks.files:

    - A *folder*: look, then rename. Between the two only somebody else could make the destination, and nobody does:
      names of epochs are random, the commit records in an epoch's folder are its owner's alone, and of all owners one
      at most has a record to move. Onto a folder that holds something a plain rename fails, too.
    - A *file*: a hard link, which is refused atomically when the destination is there, then the source's name is
      removed. Between the two it has both names. Who dies there leaves both, and whoever repeats the rename finds one
      file under two names and removes the source's: every owner repeats what an earlier one may not have ended. The
      source's name is only removed while it still is that of the same file, for a process that slept here may wake when
      others have ended its work and stored another file under that name. What is left is one that sleeps between this
      look and the removal, two system calls, while an operator's rewind and a new file of the very same name pass by.
    """
    try:
        renameat2(at, source, destination)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise
        _rename_by_steps(at, source, destination)


def rename_over(at: int, source: str, destination: str) -> None:
    """Renames a file, taking the place of one that may be there."""
    os.rename(source, destination, src_dir_fd=at, dst_dir_fd=at)


def renameat2(at: int, source: str, destination: str) -> None:
    """The system call. Raises OSError, with ENOSYS where the C library does not have it."""
    call = getattr(_libc, "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(at, os.fsencode(source), at, os.fsencode(destination), _NO_REPLACE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _rename_by_steps(at: int, source: str, destination: str) -> None:
    if stat.S_ISDIR(os.stat(source, dir_fd=at, follow_symlinks=False).st_mode):
        if _status(at, destination) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        rename_over(at, source, destination)
        return
    try:
        os.link(source, destination, src_dir_fd=at, dst_dir_fd=at, follow_symlinks=False)
    except FileExistsError:
        if not _are_one(at, source, destination):
            raise
    if _are_one(at, source, destination):
        os.unlink(source, dir_fd=at)


def _are_one(at: int, one: str, other: str) -> bool:
    first, second = _status(at, one), _status(at, other)
    return first is not None and second is not None and os.path.samestat(first, second)


def _status(at: int, path: str) -> os.stat_result | None:
    try:
        return os.stat(path, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None
