"""The bytes of a file, plain or compressed, and how content is recognised wherever it lies."""

import math
import os
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

HEAD_BYTES = 1024
"""So many bytes at a file's beginning help to recognise it."""
TAIL_BYTES = 256
"""So many bytes before the place up to which a file was read help to recognise it, too."""

GROUPS = 16
"""Files are dealt out into so many groups by how they begin."""

_MAGIC = b"\x1f\x8b\x08"
_INPUT = 64 * 1024


class Content(Protocol):
    """Bytes that are read by their place."""

    def pread(self, size: int, offset: int) -> bytes:
        """At most so many bytes from a place on; fewer only where there are no more."""

    def length(self) -> int:
        """How many bytes there are."""


class Plain:
    """The bytes of an open file."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pread(self, size: int, offset: int) -> bytes:
        """At most so many bytes from a place on."""
        # Not beyond the end that the file has now: behind it there may be other bytes a moment later, when the file was
        # truncated and written anew, and they must not be taken for the continuation.
        size = min(size, self.length() - offset)
        data = b""
        while len(data) < size and (more := os.pread(self._fd, size - len(data), offset + len(data))):
            data += more
        return data

    def length(self) -> int:
        """The size of the file."""
        return os.fstat(self._fd).st_size


class NotYet(OSError):
    """So much was unpacked that others have their turn first. Who asks again is answered some time."""


@dataclass
class Allowance:
    """So many bytes may be unpacked before others have their turn, but for the beginnings of files."""

    left: float = math.inf


class Unpacked:
    """The bytes of an open gzip file, unpacked; it may consist of several members. It is read forward: going back
    begins at the beginning again, but short answers are kept.

    fd: the file, which may be opened anew between two questions; is_whole: whether all members up to the end of the
    file have their ends; damage: why nothing behind a place can be unpacked. Both are known once all was read.
    is_final: whether one of them is so, known once the length is.
    """

    def __init__(self, fd: int, allowance: Allowance | None = None) -> None:
        self.fd = fd
        self._allowance = allowance or Allowance()
        self._answers: dict[tuple[int, int], bytes] = {}
        self._length: int | None = None
        self.is_final = False
        self._begin()

    def _begin(self) -> None:
        self._unpacker = zlib.decompressobj(wbits=31)
        self._input_at = 0  # up to where the file was read
        self._input = b""
        self._window = b""
        self._window_at = 0
        self.is_whole = False
        self.damage = ""

    def pread(self, size: int, offset: int) -> bytes:
        """At most so many bytes from a place on. Raises NotYet."""
        if size > HEAD_BYTES:
            return self._read(size, offset)
        if (size, offset) not in self._answers:
            self._answers[size, offset] = self._read(size, offset)
        return self._answers[size, offset]

    def length(self) -> int:
        """How many bytes can be unpacked: unpacks all of them. Raises NotYet."""
        if self._length is None:
            at = self._window_at
            while len(data := self._read(_INPUT, at)) == _INPUT:
                at += _INPUT - HEAD_BYTES  # the end will be compared: it stays in the window
            self._length = at + len(data)
            self.is_final = self.is_whole or bool(self.damage)
        return self._length

    def _read(self, size: int, offset: int) -> bytes:
        if offset < self._window_at:
            self._begin()
        while self._window_at + len(self._window) < offset + size:
            if offset > self._window_at:  # what lies before the place is not needed any more
                passed = min(offset - self._window_at, len(self._window))
                self._window, self._window_at = self._window[passed:], self._window_at + passed
            if self._allowance.left <= 0 and offset + size > HEAD_BYTES:
                raise NotYet
            data = self._unpack(max(size, _INPUT))
            if not data:
                break
            self._allowance.left -= len(data)
            self._window += data
        begin = offset - self._window_at
        return self._window[begin : begin + size]

    def _unpack(self, size: int) -> bytes:
        while not self.damage:
            if not self._input:
                self._input = os.pread(self.fd, _INPUT, self._input_at)
                self._input_at += len(self._input)
            if self._unpacker.eof:
                rest = self._input.lstrip(b"\0")  # gzip allows zeros behind a member
                if not rest:
                    self._input = b""
                    if os.pread(self.fd, 1, self._input_at):
                        continue
                    self.is_whole = True
                    return b""
                self._input, self._unpacker = rest, zlib.decompressobj(wbits=31)
            if not self._input:
                return b""
            try:
                data = self._unpacker.decompress(self._input, size)
            except zlib.error as error:
                self.damage = str(error)
                break
            self._input = self._unpacker.unused_data or self._unpacker.unconsumed_tail
            if data:
                return data
        return b""


def is_packed(begin: bytes) -> bool | None:
    """Whether a file that begins so is a gzip file; None when it is too short to tell."""
    if len(begin) < len(_MAGIC) and _MAGIC.startswith(begin):
        return None
    return begin.startswith(_MAGIC)


def group_of(begin: bytes, *, is_all: bool = False) -> int | None:
    """The group of a file that begins so: by its first line, or by its first HEAD_BYTES when that line is longer.

    So the group does not change when the file grows, and a file, its copies and its compressed copies are of one group.
    None: the first line has no end yet. is_all: nothing will follow, or the end of the first line alone.
    """
    begin = begin[:HEAD_BYTES]
    end = begin.find(b"\n") + 1
    if not end and len(begin) < HEAD_BYTES and not (is_all and begin):
        return None
    return blake2b(begin[: end or HEAD_BYTES].rstrip(b"\r\n"), digest_size=1).digest()[0] % GROUPS


def digest(data: bytes) -> str:
    """Tells different bytes apart."""
    return blake2b(data, digest_size=8).hexdigest()
