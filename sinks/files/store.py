"""What a store of files has to offer the exactly-once protocol: a few operations, some of which must be atomic.

WebHDFS (sinks.hdfs) and a local or mounted folder (sinks.folder) are such stores.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from worker.errors import Fatal, Retriable


class NotFound(Exception):
    """The path is not there."""


class NoPath(Fatal):
    """Nothing can be at such a path."""


class NotEmpty(Exception):
    """The folder holds something."""


class Leased(Retriable):
    """Someone is writing the file, or has not been missed yet."""


class NotAllowed(Exception):
    """The store does not do this with these files."""


class ListedFile(NamedTuple):
    """A file of a listing. length: in bytes; modified: seconds since 1970, when its content was last written."""

    path: str
    length: int
    modified: float


class Chunks:
    """Content in parts that are sent one after the other, without being joined in memory."""

    def __init__(self, parts: Sequence[bytes]) -> None:
        self._parts = parts

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._parts)

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)


Content = bytes | Chunks
"""Of a file."""


class FileReads(Protocol):
    """What any store of files lets a command read. Every method may raise Retriable and Fatal.

    Paths are absolute, with slashes.
    """

    def names(self, path: str) -> list[str]:
        """The names in a folder; none when there is no such folder."""

    def walk(self, path: str) -> list[ListedFile]:
        """The files below a folder, as readers see them: what begins with an underscore or a dot is left out."""

    def read(self, path: str) -> bytes:
        """The content of a file. Raises NotFound."""


class FileStore(FileReads, Protocol):
    """The file operations of the protocol. Every method may raise Retriable and Fatal.

    Paths are absolute, with slashes.
    """

    def create(self, path: str, data: Content) -> None:
        """Writes a new file, and its parent folders where missing. Raises when it is there."""

    def append(self, path: str, data: Content) -> None:
        """Adds to a file. Raises NotFound.

        After any other exception all of it, a part or nothing may have been added, or may be added later.
        """

    def truncate(self, path: str, length: int) -> bool:
        """Cuts a file to a length in bytes; False while the store is still at it: ask again.

        True says that nobody can write to it any more, too. Raises NotFound, Leased while someone may, NotAllowed where
        the store can't know that (then a copy takes the file's place), Fatal when it is shorter.
        """

    def copy(self, source: str, length: int, destination: str) -> None:
        """Writes the first bytes of a file, which may be one that is being written, into a new one. Raises NotFound."""

    def length(self, path: str) -> int:
        """The length of a file in bytes. Raises NotFound."""

    def checksum(self, path: str) -> object:
        """A checksum of a file's content, equal for equal files. Raises NotFound."""

    def rename(self, source: str, destination: str) -> bool:
        """Renames a file or folder, atomically.

        False when the store refuses: no source, no parent folder of the destination, or destination present.
        """

    def replace(self, source: str, destination: str) -> None:
        """Renames a file, atomically taking the place of one that may be there. Raises NotFound without a source."""

    def concat(self, target: str, sources: Sequence[str]) -> None:
        """Appends files to another one of their folder, atomically; they are gone then.

        Raises NotFound when one of them is not there, NotAllowed where the store does not do that.
        """

    def exists(self, path: str) -> bool:
        """Whether a file or folder of that name is there."""

    def make_folders(self, path: str) -> None:
        """Makes a folder and its parents, where missing."""

    def lengths(self, path: str) -> dict[str, int]:
        """The files in a folder with their lengths in bytes; none when there is no such folder."""

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Deletes a file or folder; False when it was not there. Raises NotEmpty unless recursive."""

    def close(self) -> None:
        """Closes its connections."""


class FileStatus(NamedTuple):
    """An entry of a folder. length: in bytes, 0 for a folder; modified: milliseconds since 1970, 0 when not known.

    owner, replication: empty and 0 where the store has none.
    """

    name: str
    is_folder: bool
    length: int
    modified: int
    owner: str
    replication: int


class Download(NamedTuple):
    """The content of a file on its way to a person. length: bytes, None when not known; close: ends it."""

    parts: Iterator[bytes]
    close: Callable[[], object]
    length: int | None


class FileBrowser(Protocol):
    """Reads for people, each bounded. Every method may raise NotFound, NoPath, Retriable and Fatal."""

    def status(self, path: str) -> FileStatus:
        """A file or folder."""

    def listing(self, path: str, *, after: str = "") -> tuple[list[FileStatus], int]:
        """The entries of a folder by name after `after`, as many as the store gives at once, and how many follow."""

    def summary(self, path: str) -> tuple[int, int, int]:
        """Files, folders (itself is one) and bytes below a folder."""

    def part(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes of a file from `offset` on."""

    def open(self, path: str) -> Download:
        """The content of a file, part by part."""
