"""How far a file was read, and how the file is recognised again."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from kafka_client.structs import ready
from sources.file.content import HEAD_BYTES, TAIL_BYTES, Content, digest
from sources.file.finding import Found
from sources.file.handles import FileId
from sources.file.paths import printable
from sources.reader import Position

_BLOCK = 64 * 1024

Stamp = tuple[int, int]


class Replaced(Exception):
    """The file has other bytes than those that were read from it."""


@ready
class Place(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How far a file was read, as the position keeps it.

    path: its name when it was first seen; last_path: its name now, where that is another one; device, inode: where its
    bytes lie; head, tail: hashes of the first `head_bytes` of the bytes that were read, and of the last of them.
    """

    path: str
    last_path: str = ""
    device: int
    inode: int
    packed: bool = False
    offset: int
    first: int = 0
    """Where reading began: behind the lines that the file had when the source began at its end."""
    head_bytes: int = 0
    head: str = ""
    tail: str = ""
    long_line: int | None = None
    """Where the line begins that is too long, and in the middle of which `offset` is."""
    unended: bool = False
    """The last line was given without its end, which may follow."""
    rests: list[int] = []
    """Where the last lines begin that are the rests of such lines, for `verify_source`."""
    whole_bytes: int = 0
    """The size of a compressed file that was read to its end."""
    cut: bool = False
    """The file was truncated or replaced in its place: its bytes lie in its copy, if anywhere."""
    lost_at: int = 0
    """When it was noticed that the bytes lie nowhere (seconds since 1970)."""


@dataclass(eq=False)
class Followed:
    """A file that is read: the bytes that were written one after another, under whatever name and in whatever file they
    lie now.

    place: as above, but for the hashes; found_stamp: size and time of the file when it was found last; stamp: the same,
    when all its whole lines had been read; idle_since: when the stamp was last another one; is_outside: it has lost its
    name, or has one that is not matched; is_searched: its folder was searched for its new name.
    """

    place: Place
    found_stamp: Stamp | None = None
    stamp: Stamp | None = None
    idle_since: float = 0.0
    is_outside: bool = False
    is_searched: bool = False
    # The bytes themselves, known once the file was recognised.
    _head: bytes | None = None
    _tail: bytes | None = None
    _encoded: Mapping[str, Any] | None = None

    @classmethod
    def new(cls, found: Found) -> "Followed":
        """A file that was never read."""
        first = found.first_path or found.path
        place = Place(path=first, device=found.id.device, inode=found.id.inode, packed=found.packed, offset=0)
        followed = cls(place, (found.size, found.modified), _head=b"", _tail=b"")
        followed._has_path(found.path)
        return followed

    @classmethod
    def stored(cls, place: Mapping[str, Any]) -> "Followed":
        """A file as the position has it. Raises msgspec.ValidationError."""
        found = msgspec.convert(place, Place)
        found.path, found.last_path = _unescaped(found.path), _unescaped(found.last_path)
        return cls(found)

    @property
    def id(self) -> FileId:
        """Where its bytes lie."""
        return FileId(self.place.device, self.place.inode)

    @property
    def path(self) -> str:
        """Its name now."""
        return self.place.last_path or self.place.path

    @property
    def shown(self) -> str:
        """Its path, for people and logs."""
        return printable(self.path)

    @property
    def paths(self) -> tuple[str, ...]:
        """The names that it is known to have had."""
        return (self.place.path, self.place.last_path) if self.place.last_path else (self.place.path,)

    @property
    def is_begun(self) -> bool:
        """Whether anything was read of it."""
        return bool(self.place.offset or self.place.whole_bytes)

    @property
    def is_lost(self) -> bool:
        """Whether its bytes lie in no file that is known."""
        return bool(self.place.lost_at)

    @property
    def is_left(self) -> bool:
        """Whether its writer has most likely gone on to another file."""
        return self.is_outside or self.place.packed or bool(self.place.last_path)

    def is_at(self, found: Found) -> None:
        """The file was found, perhaps under a new name."""
        self._has_path(found.path)
        self.found_stamp = (found.size, found.modified)
        self.is_outside = self.is_searched = False

    def is_outside_at(self, path: str) -> None:
        """The file was found under a name that is not matched."""
        self._has_path(path)
        self.is_outside = True

    def lies_in(self, found: Found) -> None:
        """The bytes lie in this file now."""
        self.place.device, self.place.inode = found.id
        self.place.packed = found.packed
        self.place.cut, self.place.lost_at, self.place.whole_bytes = False, 0, 0
        self.stamp = None
        self.is_at(found)
        self._encoded = None

    def lose(self, *, cut: bool) -> None:
        """The bytes lie nowhere."""
        self.place.cut = cut
        self.place.lost_at = int(time.time())
        self._encoded = None

    def end_whole(self, size: int) -> None:
        """A compressed file of this size was read to its end."""
        self.place.whole_bytes = size
        self._encoded = None

    def _has_path(self, path: str) -> None:
        if path != self.path:
            self.place.last_path = "" if path == self.place.path else path
            self._encoded = None

    @property
    def is_recognised(self) -> bool:
        """Whether the bytes that were read are known, not only their hashes."""
        return self._head is not None

    def recognise(self, content: Content) -> bool:
        """Whether the content begins with the bytes that were read."""
        place = self.place
        before = self.tail_bytes
        if self._head is None or self._tail is None:
            head = content.pread(place.head_bytes, 0)
            if place.offset and digest(head) != place.head:
                return False
            tail = content.pread(before, place.offset - before)
            if place.offset and digest(tail) != place.tail:
                return False
            self._head, self._tail = head, tail
            return True
        return (
            content.pread(len(self._head), 0) == self._head
            and content.pread(before, place.offset - before) == self._tail
        )

    def begins_like(self, content: Content) -> bool:
        """Whether the content, of which there may be less than was read, has the same beginning."""
        if self._head is None:
            return digest(content.pread(self.place.head_bytes, 0)) == self.place.head
        begin = content.pread(len(self._head), 0)
        return bool(begin) and self._head.startswith(begin)

    @property
    def tail_bytes(self) -> int:
        """How many bytes before the offset are known."""
        return min(self.place.offset, TAIL_BYTES)

    def pread(self, content: Content, size: int) -> bytes:
        """The bytes behind those that were read, with proof whose they are, by one read. Raises Replaced."""
        before = self.tail_bytes
        data = content.pread(before + size, self.place.offset - before)
        if data[:before] != self._tail:
            raise Replaced
        return data[before:]

    def advance(self, data: bytes) -> None:
        """These bytes were read, too."""
        place = self.place
        assert self._head is not None and self._tail is not None
        if len(self._head) < HEAD_BYTES:
            self._head += data[: HEAD_BYTES - len(self._head)]
            place.head_bytes = len(self._head)
        self._tail = (self._tail + data[-TAIL_BYTES:])[-TAIL_BYTES:]
        place.offset += len(data)
        self._encoded = None

    def goes_to(self, content: Content, offset: int) -> None:
        """All bytes before the offset count as read. Nothing has changed where the content raises an OSError."""
        before = min(offset, TAIL_BYTES)
        self._head, self._tail = content.pread(min(offset, HEAD_BYTES), 0), content.pread(before, offset - before)
        self.place.offset, self.place.head_bytes = offset, len(self._head)
        self._encoded = None

    def goes_to_end(self, content: Content, size: int) -> None:
        """All whole lines of a file of this size count as read."""
        end = size
        while end:
            begin = max(end - _BLOCK, 0)
            if place := content.pread(end - begin, begin).rfind(b"\n") + 1:
                self.goes_to(content, begin + place)
                self.place.first = begin + place
                return
            end = begin

    def encoded(self) -> Mapping[str, Any]:
        """For the position."""
        if self._encoded is None:
            if self._head is not None and self._tail is not None:
                self.place.head, self.place.tail = digest(self._head), digest(self._tail)
            paths = {"path": _escaped(self.place.path), "last_path": _escaped(self.place.last_path)}
            self._encoded = msgspec.to_builtins(msgspec.structs.replace(self.place, **paths))
        return self._encoded


def followed_in(position: Position) -> list[Followed]:
    """The files that a position tells of. Raises ValueError for what is no position of this kind."""
    places = position.get("files")
    if not isinstance(places, list) or len(position) != 1:
        raise ValueError('it must be like {"files": [...]}')
    return [Followed.stored(place) for place in places]


_AS_BYTES = "bytes:"


def _escaped(path: str) -> str:
    """A path as a text of UTF-8, which the names of files need not be."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _AS_BYTES + os.fsencode(path).hex()
    return path


def _unescaped(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text.removeprefix(_AS_BYTES))) if text.startswith(_AS_BYTES) else text
