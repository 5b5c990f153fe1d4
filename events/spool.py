"""A log of records on disk that feeds Kafka: what it has taken survives the process. No Django, no Kafka here.

Each process appends to a folder of its own, below one root. It holds

- `lock`, locked by the process while it lives: another one can tell that it is gone, and adopts the folder;
- segments `00000001.log`, …: records one after the other, each with its length and checksum in front;
- `cursor`: up to where everything has been delivered. It may lag behind: records are delivered at least once.
"""

import fcntl
import logging
import os
import shutil
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

logger = logging.getLogger(__name__)

Fsync = Literal["never", "interval", "always"]

Position = tuple[int, int]
"""The number of a segment, and bytes from its beginning."""

DAMAGED = "damaged"
"""The folder below the root that keeps segments that could not be read to their end."""

_HEADER = struct.Struct("<II")  # length and CRC-32 of what follows
_CURSOR = struct.Struct("<QQI")  # segment, bytes, CRC-32 of both
_LOCK = "lock"
_APPEND = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
_MODE = 0o600  # events may tell of people
_NEW = ".new-"
_MAX_RECORD = 64 * 1024 * 1024
_READ_BYTES = 64 * 1024
_BEING_MADE_SECONDS = 60.0
_left_alone: set[Path] = set()  # folders that were told of
_NOT_FORCED = "the spool can't be forced to the disk"


class SpoolFull(Exception):
    """The spool takes no more: its bound is reached, or the disk does not take it."""


class Spool:
    """The spool of this process.

    root: the folder of the spools of all processes of this machine; max_bytes: what this process keeps at most, spools
    that it adopted included; segment_bytes: where a segment ends; fsync: when records are forced to the disk, which
    matters when the machine dies, not when the process does: never, each fsync_seconds, or before each answer.
    Raises OSError when the folder can't be made.
    """

    def __init__(
        self, root: Path, *, max_bytes: int, segment_bytes: int, fsync: Fsync, fsync_seconds: float = 1.0
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.folder, self._lock_fd = _make_folder(root)
        if fsync != "never":
            _sync_folder(root)
        self._root = root
        self._fsync_seconds = fsync_seconds
        self._max_bytes = max_bytes
        # A segment is removed as a whole, so a few must fit.
        self._segment_bytes = min(segment_bytes, max_bytes // 4)
        self._fsync = fsync
        self._lock = threading.Lock()
        self._used = 0
        self._segment = _Segment(0)
        self._is_closed = False
        self._is_full = False
        self.appended = 0
        """Records that it took so far."""
        self._sync_lock = threading.Lock()
        self.news = threading.Event()
        """Set when there are new records."""
        self._stop = threading.Event()
        self._syncer = threading.Thread(target=self._sync_each, args=(fsync_seconds,), name="spool-fsync", daemon=True)
        if fsync == "interval":
            self._syncer.start()

    @property
    def used(self) -> int:
        """Bytes on disk that this process answers for."""
        return self._used

    @property
    def max_bytes(self) -> int:
        """The bound of `used`."""
        return self._max_bytes

    @property
    def end(self) -> Position:
        """Up to where there are records that may be delivered: not those that may still be refused."""
        with self._lock:
            segment = self._segment
            return segment.number, segment.synced if self._fsync == "always" else segment.written

    def another(self) -> "Spool":
        """A second spool of this process, with the same settings. Raises OSError."""
        return Spool(
            self._root,
            max_bytes=self._max_bytes,
            segment_bytes=self._segment_bytes,
            fsync=self._fsync,
            fsync_seconds=self._fsync_seconds,
        )

    def append(self, payloads: Sequence[bytes]) -> None:
        """Writes records, all or none. Raises SpoolFull: then none of them is ever read."""
        data = b"".join(part for payload in payloads for part in (_header(payload), payload))
        segment, end = self._write(data, len(payloads))
        if self._fsync == "always":
            try:
                self._sync(segment, end)
            except SpoolFull:
                with self._lock:
                    self.appended -= len(payloads)
                raise
        if not self.news.is_set():
            self.news.set()

    def adopt(self, size: int) -> None:
        """Answers for `size` more bytes; negative ones are gone."""
        with self._lock:
            self._used += size

    def close(self) -> None:
        """Ends it; what was not delivered stays for the next process."""
        with self._sync_lock, self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._end_segment()
        self._stop.set()
        if self._syncer.is_alive():
            self._syncer.join()
        release(self.folder, self._lock_fd)

    def abandon(self) -> None:
        """In a forked child: lets go of the parent's files."""
        for fd in (self._segment.fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)

    def _write(self, data: bytes, records: int) -> "tuple[_Segment, int]":
        """Returns the segment, and up to where it was written."""
        while True:
            with self._lock:
                segment = self._segment
                self._check_room(len(data))
                if segment.fd >= 0 and segment.written + len(data) <= max(self._segment_bytes, len(data)):
                    self._append_to(segment, data)
                    self.appended += records
                    return segment, segment.written
            self._begin_segment(after=segment)

    def _check_room(self, size: int) -> None:
        if self._is_closed:
            raise SpoolFull("the spool is closed")
        if self._used + size > self._max_bytes:
            if not self._is_full:
                self._is_full = True
                logger.error("the spool is full: %d of %d bytes; events are refused", self._used, self._max_bytes)
            raise SpoolFull("the spool is full")

    def _append_to(self, segment: "_Segment", data: bytes) -> None:
        try:
            written = os.write(segment.fd, data)
        except OSError as error:
            self._undo(segment)
            raise SpoolFull(f"the spool can't be written: {error.strerror}") from error
        if written < len(data):
            self._undo(segment)
            raise SpoolFull("the spool can't be written: the disk is full")
        segment.written += written
        self._used += written
        if self._is_full:
            self._is_full = False
            logger.info("the spool takes events again")

    def _undo(self, segment: "_Segment") -> None:
        try:
            os.ftruncate(segment.fd, segment.written)
        except OSError:
            # What came after half a record could not be read.
            logger.exception("segment %d of the spool is given up", segment.number)
            segment.end()

    def _begin_segment(self, *, after: "_Segment") -> None:
        """Ends a segment and begins the next, unless another thread has."""
        with self._sync_lock, self._lock:
            if self._segment is not after or self._is_closed:
                return
            self._end_segment()
            number = after.number + 1
            path = _segment(self.folder, number)
            try:
                self._segment = _Segment(number, os.open(path, _APPEND, _MODE))
                if self._fsync != "never":
                    _sync_folder(self.folder)
            except OSError as error:
                self._segment.end()
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                raise SpoolFull(f"the spool can't be written: {error.strerror}") from error

    def _end_segment(self) -> None:
        """Nothing more is written to the present segment. With both locks held."""
        segment = self._segment
        if segment.fd >= 0 and self._fsync != "never":
            try:
                os.fsync(segment.fd)
                segment.synced = segment.written
            except OSError:
                logger.exception("the spool could not be forced to the disk")
                if self._fsync == "always":
                    self._cut(segment)
        segment.end()

    def _cut(self, segment: "_Segment") -> None:
        """Ends a segment where it is known to be on the disk: what came after that is refused, and must not arrive.

        What the system could not write it may take for written from now on, so this segment is not trusted any more.
        """
        try:
            os.ftruncate(segment.fd, segment.synced)
            if not segment.synced:
                _segment(self.folder, segment.number).unlink()
        except OSError:
            logger.exception("events that were refused could not be removed from the spool: they may arrive")
        self._used -= segment.written - segment.synced
        segment.written = segment.synced
        segment.end()

    def _sync(self, segment: "_Segment", end: int) -> None:
        """Returns when a segment is on the disk up to `end`; callers that wait together share one fsync.

        Raises SpoolFull: then it ends before.
        """
        with self._sync_lock:
            if segment.synced >= end:
                return
            with self._lock:
                if segment.fd < 0:
                    raise SpoolFull(_NOT_FORCED)
                fd = os.dup(segment.fd)  # of its own: whoever can't undo half a record closes the other
                written = segment.written
            try:
                os.fsync(fd)
            except OSError as error:
                with self._lock:
                    self._cut(segment)
                raise SpoolFull(f"{_NOT_FORCED}: {error.strerror}") from error
            finally:
                os.close(fd)
            with self._lock:
                segment.synced = written

    def _sync_each(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            with self._sync_lock:
                if self._segment.fd < 0:
                    continue
                try:
                    os.fsync(self._segment.fd)
                except OSError:
                    logger.exception("the spool could not be forced to the disk")


@dataclass
class _Segment:
    """A file that is being written. fd: -1 once it has ended; written: bytes; synced: those on the disk for sure."""

    number: int
    fd: int = -1
    written: int = 0
    synced: int = 0

    def end(self) -> None:
        """Nothing more is written to it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class SpoolReader:
    """Reads the records of a spool's folder in order, from where everything before was delivered.

    end: up to where to read, for a spool that is being written; by default everything there is.
    """

    def __init__(self, folder: Path, end: Callable[[], Position] | None = None) -> None:
        self.folder = folder
        self._end = end
        self._cursor = self._position = _read_cursor(folder)

    def read(self, max_records: int, max_bytes: int) -> list[bytes]:
        """The next records, at most `max_records` and about `max_bytes`; none when there are no more."""
        while True:
            number, start = self._position
            end = self._end() if self._end is not None else (_last_segment(self.folder), None)
            if end[0] == 0 or number > end[0]:
                return []
            if number == 0:
                self._position = (_first_segment(self.folder), 0)
                continue
            is_last = number == end[0]
            data, size = _read_from(self.folder, number, start, max_bytes, end[1] if is_last else None)
            payloads, length = _split(data, max_records)
            if payloads:
                self._position = (number, start + length)
                return payloads
            if start + len(data) < size and len(data) < _MAX_RECORD:
                max_bytes = max(2 * max_bytes, len(data) * 2)  # a record that is larger than what was read
                continue
            if data:
                self._give_up(number, start)
            if is_last and end[1] is not None:
                self._position = (number, end[1])
                return []
            self._position = (number + 1, 0)

    def commit(self) -> int:
        """Everything that was read is delivered: finished segments are removed. Returns how many bytes that frees."""
        freed = 0
        for number in range(self._cursor[0], self._position[0]):
            path = _segment(self.folder, number)
            if path.exists():
                freed += path.stat().st_size
                path.unlink()
        self._cursor = self._position
        data = struct.pack("<QQ", *self._cursor)
        try:
            _write(self.folder / "cursor", data + struct.pack("<I", zlib.crc32(data)))
        except OSError:
            logger.exception("how far %s is delivered can't be noted: what follows may be delivered twice", self.folder)
        return freed

    def rewind(self) -> None:
        """Reads again from the last commit."""
        self._position = self._cursor

    def size(self) -> int:
        """Bytes of its segments."""
        return sum(path.stat().st_size for path in self.folder.glob("*.log"))

    def is_done(self) -> bool:
        """Whether there is nothing more to read."""
        return not self.read(1, _READ_BYTES)

    def _give_up(self, number: int, start: int) -> None:
        path = _segment(self.folder, number)
        kept = self.folder.parent / DAMAGED
        kept.mkdir(exist_ok=True)
        target = kept / f"{self.folder.name}-{path.name}"
        logger.error("%s can't be read from byte %d on; it is kept as %s", path, start, target)
        _write(target, path.read_bytes())


def orphans(root: Path, own: Collection[Path]) -> list[tuple[Path, int]]:
    """The folders of processes that are gone, each now locked by this one: with the lock's descriptor.

    One that this process may not read is told of once, and left to whoever may.
    """
    found: list[tuple[Path, int]] = []
    for folder in sorted(root.iterdir()):
        if folder in own or folder.name == DAMAGED:
            continue
        try:
            fd = _lock_folder(folder) if _may_be_orphan(folder) else None
        except OSError as error:
            if folder not in _left_alone:
                _left_alone.add(folder)
                logger.warning("the spool %s is left alone, its events are not delivered: %s", folder, error)
            continue
        if fd is not None:
            found.append((folder, fd))
    return found


def release(folder: Path, lock_fd: int) -> None:
    """Lets go of a folder, and removes it when it holds no record that was not delivered."""
    if SpoolReader(folder).is_done():
        shutil.rmtree(folder, ignore_errors=True)
    os.close(lock_fd)


def _make_folder(root: Path) -> tuple[Path, int]:
    name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    new = root / f"{_NEW}{name}"
    new.mkdir(mode=0o700)
    fd = os.open(new / _LOCK, os.O_CREAT | os.O_RDWR, _MODE)
    fcntl.flock(fd, fcntl.LOCK_EX)
    # Others see the folder only when it is locked.
    return new.rename(root / name), fd


def _may_be_orphan(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    try:
        modified_at = folder.stat().st_mtime
    except FileNotFoundError:
        return False
    return not folder.name.startswith(_NEW) or time.time() - modified_at >= _BEING_MADE_SECONDS


def _lock_folder(folder: Path) -> int | None:
    """The descriptor of the folder's lock, None when somebody else has it or it is gone. Raises OSError."""
    try:
        fd = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            _check_readable(folder)
            return fd
    except BlockingIOError:
        pass
    except OSError:
        os.close(fd)
        raise
    os.close(fd)
    return None


def _check_readable(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb"):
            pass


def _header(payload: bytes) -> bytes:
    return _HEADER.pack(len(payload), zlib.crc32(payload))


def _split(data: bytes, max_records: int) -> tuple[list[bytes], int]:
    """The whole and sound records at the beginning of data, and their length with headers."""
    payloads: list[bytes] = []
    position = 0
    while len(payloads) < max_records and position + _HEADER.size <= len(data):
        length, checksum = _HEADER.unpack_from(data, position)
        start = position + _HEADER.size
        payload = data[start : start + length]
        # A length of 0 is what a disk leaves that had no time to write.
        if not length or len(payload) < length or zlib.crc32(payload) != checksum:
            break
        payloads.append(payload)
        position = start + length
    return payloads, position


def _segment(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.log"


def _segments(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.log"))


def _first_segment(folder: Path) -> int:
    return min(_segments(folder), default=0)


def _last_segment(folder: Path) -> int:
    return max(_segments(folder), default=0)


def _read_from(folder: Path, number: int, start: int, max_bytes: int, end: int | None) -> tuple[bytes, int]:
    """Bytes of a segment, and its size, up to `end` where there is one."""
    try:
        with open(_segment(folder, number), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size if end is None else end
            return os.pread(file.fileno(), max(0, min(max_bytes, size - start)), start), size
    except FileNotFoundError:
        return b"", 0


def _read_cursor(folder: Path) -> Position:
    try:
        data = (folder / "cursor").read_bytes()
        number, position, checksum = _CURSOR.unpack(data)
    except (FileNotFoundError, struct.error):
        return 0, 0
    return (number, position) if zlib.crc32(data[:16]) == checksum else (0, 0)


def _write(path: Path, data: bytes) -> None:
    """Replaces a file as a whole."""
    new = path.with_name(f".{path.name}")
    new.write_bytes(data)
    new.rename(path)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
