"""Files on a local disk or a mounted share as a store for the exactly-once protocol of sinks.files.

What POSIX offers is less than what HDFS does in three places, and each is made up for here:

- **A rename does not keep a writer out.** A process that is stopped between open() and write() of an append writes
  into the same file when it wakes, whatever the file is called by then. Nobody can see from outside whether there is
  such a process. So a file is never cut in place: `truncate` answers NotAllowed, and the owner that takes over copies
  the committed bytes into a new file. Who has the old one open writes into what no path leads to.
- **Deleting a folder is many steps.** A commit record whose folder is half gone would tell half the truth. So a folder
  that holds something is first renamed into `_sink/.trash`, which is one step, and only there taken apart. What a
  killed process leaves in that folder is removed by the next one that deletes something.
- **A power cut undoes what was not synced.** Each operation returns when what it did is on the disk: the content of
  files, the names in folders, and the folders above these, which somebody else may have made a moment ago without
  having synced them yet. (Only the folders that `create` makes are left to the rename by which an upload counts.) A
  refused rename or delete syncs, too: the protocol takes a refusal for an earlier try whose answer was lost. What is
  taken for granted: after a power cut a rename was done as a whole or not at all, as with any file system that keeps a
  journal.

The fence is the same as with HDFS: a rename fails when the destination's parent folder is missing. Therefore paths are
looked up at the moment of the rename, never by the file descriptor of a folder that was opened before. Nothing but
`make_folders` and `create` makes folders, and no caller asks for a folder of an epoch that it has not begun itself.

Symbolic links below the root are not followed by `walk`. Files and folders get the permissions that the process's umask
leaves (0o666 and 0o777 without one).
"""

import errno
import hashlib
import os
import shutil
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import FileIO

from sinks.files.store import Content, FileStore, ListedFile, NotAllowed, NotEmpty, NotFound
from sinks.folder.renaming import rename_new, rename_over
from sinks.folder.root import AREA, Root, open_folder, parent_of, statuses, sync_folder, sync_path
from sinks.reporting.metrics import SinkMetrics
from worker.errors import Fatal, Retriable

_TRASH = f"{AREA}/.trash"

_PIECE = 1024 * 1024
"""So many bytes are written by one system call, and held at a time of a file that is copied."""

_LASTING_FOLDERS = 1000
"""Of so many folders it is known that they are on the disk; then they are asked for anew."""

_REFUSALS = {errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY}


class FolderStore(FileStore):
    """The files below one folder. Every method may raise Retriable and Fatal.

    root: absolute, without a slash at the end; it must have been prepared once (`prepare`), which setup_pipeline does.

    Several threads, and several processes on any machines, may use one folder at the same time.
    """

    def __init__(self, root: str, metrics: SinkMetrics | None = None) -> None:
        self._root = Root(root)
        self._metrics = metrics or SinkMetrics()
        self._lasting: set[str] = set()

    def prepare(self) -> bool:
        """Makes the root folder; says whether it was missing. No other operation makes it: a share may be away."""
        return self._root.prepare()

    def create(self, path: str, data: Content) -> None:
        """Writes a new file, and its parent folders where missing. Raises Fatal when it is there.

        Raises NotFound when the folder is removed meanwhile.
        """
        with self._metrics.upload(len(data)), self._root.opened(path) as (at, below):
            self._write_new(at, below, _pieces(data))

    def append(self, path: str, data: Content) -> None:
        """Adds to a file. Raises NotFound.

        After any other exception all of it, a part or nothing may have been added.
        """
        with self._metrics.upload(len(data)), self._root.opened(path) as (at, below):
            _fill(os.open(below, os.O_WRONLY | os.O_APPEND, dir_fd=at), _pieces(data))

    def truncate(self, path: str, length: int) -> bool:
        """Always raises: NotFound, Fatal when the file is shorter, else NotAllowed, since somebody may have it open."""
        with self._root.opened(path) as (at, below):
            there = os.stat(below, dir_fd=at).st_size
        if there < length:
            raise Fatal(f"{path} has {there} bytes, which are fewer than {length}")
        raise NotAllowed(f"{path}: a writer that sleeps would write into it when it wakes")

    def copy(self, source: str, length: int, destination: str) -> None:
        """Writes the first bytes of a file, which may be one that is being written, into a new one. Raises NotFound."""
        with self._metrics.upload(length), self._root.opened(source) as (at, below), _reading(at, below) as file:
            self._write_new(at, self._root.below(destination), _first(file, length))

    def length(self, path: str) -> int:
        """The length of a file in bytes. Raises NotFound."""
        with self._root.opened(path) as (at, below):
            return os.stat(below, dir_fd=at).st_size

    def checksum(self, path: str) -> str:
        """A hash of a file's content. Raises NotFound."""
        with self._root.opened(path) as (at, below), _reading(at, below) as file:
            return hashlib.file_digest(file, "blake2b").hexdigest()

    def rename(self, source: str, destination: str) -> bool:
        """Renames a file or folder, atomically; see `rename_new` for how, and for file systems without the means.

        False when it is refused: no source, no parent folder of the destination, or destination present. Nothing is
        ever moved into a folder that is the destination.
        """
        with self._root.opened(source) as (at, below):
            return self._move(at, below, self._root.below(destination), rename_new)

    def replace(self, source: str, destination: str) -> None:
        """Renames a file, atomically taking the place of one that may be there. Raises NotFound without a source."""
        with self._root.opened(source) as (at, below):
            if not self._move(at, below, self._root.below(destination), rename_over):
                raise NotFound(f"{source}, or the folder of {destination}, is not there")

    def concat(self, target: str, sources: Sequence[str]) -> None:
        """Always raises NotAllowed: POSIX can't join files and remove them by one step."""
        raise NotAllowed(f"{target}: a file system can't join files atomically")

    def exists(self, path: str) -> bool:
        """Whether a file or folder of that name is there."""
        with self._root.opened(path) as (at, below):
            try:
                os.stat(below, dir_fd=at, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                return False
            return True

    def make_folders(self, path: str) -> None:
        """Makes a folder and its parents, where missing, but never the root."""
        with self._root.opened(path) as (at, below):
            try:
                self._make(at, below)
                self._make_lasting(at, below)
            except FileNotFoundError as error:
                raise Retriable(f"{path} was removed while it was made", reason="ENOENT") from error

    def names(self, path: str) -> list[str]:
        """The names in a folder, sorted; none when there is no such folder."""
        with self._root.opened(path) as (at, below), open_folder(at, below) as folder:
            return sorted(_names(folder)) if folder is not None else []

    def lengths(self, path: str) -> dict[str, int]:
        """The files in a folder with their lengths in bytes; none when there is no such folder."""
        with self._root.opened(path) as (at, below), open_folder(at, below) as folder:
            found = statuses(folder, sorted(_names(folder))) if folder is not None else ()
            return {name: status.st_size for name, status in found if stat.S_ISREG(status.st_mode)}

    def walk(self, path: str) -> list[ListedFile]:
        """The files below a folder, as readers see them: what begins with an underscore or a dot is left out."""
        with self._root.opened(path) as (at, below), open_folder(at, below) as folder:
            return list(_walk(folder, path)) if folder is not None else []

    def read(self, path: str) -> bytes:
        """The content of a file. Raises NotFound."""
        with self._root.opened(path) as (at, below), _reading(at, below) as file:
            return file.readall()

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Deletes a file or folder, by one step; False when it was not there. Raises NotEmpty unless recursive."""
        with self._root.opened(path) as (at, below), open_folder(at, parent_of(below)) as folder:
            if folder is None:
                return False
            try:
                was_there = _remove(at, below)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                if not recursive:
                    raise NotEmpty(path) from error
                return self._throw_away(at, below)
            if recursive and not was_there:
                return self._throw_away(at, below)  # an earlier try may have moved it without syncing that
            sync_folder(folder)
            return was_there

    def close(self) -> None:
        """Nothing is held between operations."""

    def _write_new(self, at: int, path: str, pieces: Iterable[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        try:
            file = os.open(path, flags, 0o666, dir_fd=at)
        except FileNotFoundError:
            self._make(at, parent_of(path))
            file = os.open(path, flags, 0o666, dir_fd=at)
        _fill(file, pieces)
        sync_path(at, parent_of(path))

    def _make(self, at: int, folder: str) -> None:
        """Raises FileNotFoundError when a parent is removed meanwhile."""
        try:
            self._make_one(at, folder)
        except FileNotFoundError:
            self._make(at, parent_of(folder))
            self._make_one(at, folder)

    def _make_one(self, at: int, folder: str) -> None:
        try:
            os.mkdir(folder, dir_fd=at)
        except FileExistsError:
            with open_folder(at, folder):  # raises NotADirectoryError
                return
        self._lasting.discard(folder)

    def _make_lasting(self, at: int, folder: str) -> None:
        """Brings a folder's name and those of all above it to the disk, whoever has made them."""
        if folder == "." or folder in self._lasting:
            return
        parent = parent_of(folder)
        self._make_lasting(at, parent)
        sync_path(at, parent)
        if len(self._lasting) >= _LASTING_FOLDERS:
            self._lasting.clear()
        self._lasting.add(folder)

    def _move(self, at: int, source: str, destination: str, rename: Callable[[int, str, str], None]) -> bool:
        into, out_of = parent_of(destination), parent_of(source)
        # Held to be synced: what another owner does to these folders meanwhile does not undo the syncing.
        with open_folder(at, into) as new, open_folder(at, out_of) as old:
            if new is None:
                return False
            try:
                self._make_lasting(at, into)  # raises FileNotFoundError when it is removed meanwhile
                rename(at, source, destination)
            except OSError as error:
                if error.errno not in _REFUSALS:
                    raise
                done = False
            else:
                done = True
            sync_folder(new)
            if old is not None and out_of != into:
                sync_folder(old)
            return done

    def _throw_away(self, at: int, path: str) -> bool:
        self._make(at, _TRASH)
        was_there = self._move(at, path, f"{_TRASH}/{uuid.uuid4().hex}", rename_new)
        with open_folder(at, _TRASH) as trash:
            for name in os.listdir(trash) if trash is not None else ():
                # What can't be removed yet, as a file that NFS keeps for somebody who has it open, is left to the next.
                shutil.rmtree(name, ignore_errors=True, dir_fd=trash)
        return was_there


def _pieces(data: Content) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    piece = bytearray()
    for part in data:
        piece += part
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _first(file: FileIO, length: int) -> Iterator[bytes]:
    while length and (piece := file.read(min(length, _PIECE))):
        length -= len(piece)
        yield piece


def _fill(file: int, pieces: Iterable[bytes]) -> None:
    """Writes pieces into an open file, brings them to the disk and closes it."""
    try:
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(file, left) :]
        os.fsync(file)
    finally:
        os.close(file)


def _reading(at: int, path: str) -> FileIO:
    return FileIO(path, "rb", opener=lambda name, flags: os.open(name, flags, dir_fd=at))


def _names(folder: int) -> list[str]:
    # An NFS client keeps what is deleted while somebody has it open under such a name.
    return [name for name in os.listdir(folder) if not name.startswith(".nfs")]


def _walk(folder: int, path: str) -> Iterator[ListedFile]:
    for name, status in statuses(folder, [name for name in os.listdir(folder) if not name.startswith(("_", "."))]):
        if stat.S_ISDIR(status.st_mode):
            with open_folder(folder, name) as below:
                if below is not None:
                    yield from _walk(below, f"{path}/{name}")
        elif stat.S_ISREG(status.st_mode):
            yield ListedFile(f"{path}/{name}", status.st_size, status.st_mtime)


def _remove(at: int, path: str) -> bool:
    try:
        try:
            os.rmdir(path, dir_fd=at)
        except NotADirectoryError:
            os.unlink(path, dir_fd=at)
    except FileNotFoundError:
        return False
    return True
