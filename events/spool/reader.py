"""Reads the records of a spool's folder in order, and remembers on disk which of them are delivered."""

import logging
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from events.spool.segments import CURSOR, PRIVATE, Position, pack, segment_numbers, segment_path, unpack
from kafka_client.log import repeating_logger

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

DAMAGED = "damaged"
"""The folder below the root of the spools that keeps segments in which damaged bytes were found."""

_MAX_RECORD = 64 * 1024 * 1024
_READ_BYTES = 64 * 1024

_CURSOR = struct.Struct("<QQI")  # segment, bytes, CRC-32 of both


class SpoolReader:
    """Reads a folder from its cursor on: everything before the cursor is delivered.

    end: gives the position up to which records may be read, for a spool that is still appended to. Without it, all
    segments of the folder are read.
    """

    def __init__(self, folder: Path, end: Callable[[], Position] | None = None) -> None:
        self.folder = folder
        self._end = end
        self._cursor = self._position = _read_cursor(folder)

    def read(self, max_records: int, max_bytes: int) -> list[bytes]:
        """The next records, at most `max_records` and about `max_bytes`; none when there are no more."""
        while True:
            number, start = self._position
            last, last_end = self._end() if self._end else (max(segment_numbers(self.folder), default=0), None)
            if last == 0 or number > last:
                return []
            if number == 0:
                self._position = (min(segment_numbers(self.folder), default=0), 0)
                continue
            limit = last_end if number == last else None
            data, size = _read_bytes(segment_path(self.folder, number), start, max_bytes, limit)
            records, length = unpack(data, max_records)
            if records:
                self._position = (number, start + length)
                return records
            if start + len(data) < size and len(data) < _MAX_RECORD:
                max_bytes = max(2 * max_bytes, len(data) * 2)  # the record is larger than what was read
                continue
            if data:
                self._keep_damaged(number, start)
            if limit is not None:
                self._position = (number, limit)
                return []
            self._position = (number + 1, 0)

    def commit(self) -> int:
        """Says that all records read so far are delivered: moves the cursor, and removes the segments before it.

        Returns how many bytes that frees.
        """
        if self._position == self._cursor:
            return 0
        delivered = range(self._cursor[0], self._position[0])
        # The cursor moves first: a segment that can't be removed must not be delivered again and again.
        self._cursor = self._position
        try:
            data = struct.pack("<QQ", *self._cursor)
            _replace(self.folder / CURSOR, data + struct.pack("<I", zlib.crc32(data)))
        except OSError:
            loop_logger.exception("the cursor of %s can't be written: records may be delivered twice", self.folder)
        freed = 0
        for number in delivered:
            path = segment_path(self.folder, number)
            if path.exists():
                freed += path.stat().st_size
                path.unlink()
        return freed

    def rewind(self) -> None:
        """Reads again from the last commit."""
        self._position = self._cursor

    def size(self) -> int:
        """Bytes of the folder's segments."""
        return sum(segment_path(self.folder, number).stat().st_size for number in segment_numbers(self.folder))

    def is_done(self) -> bool:
        """Whether there is nothing more to read."""
        return not self.read(1, _READ_BYTES)

    def _keep_damaged(self, number: int, start: int) -> None:
        """Copies a segment to the folder DAMAGED, for people to look at: its bytes from `start` on are passed over."""
        path = segment_path(self.folder, number)
        target = _damaged_folder(self.folder) / f"{self.folder.name}-{path.name}"
        logger.error("%s can't be read from byte %d on; it is kept as %s", path, start, target)
        _replace(target, path.read_bytes())


def keep_records(folder: Path, records: Sequence[bytes]) -> Path:
    """Appends records of a folder that nobody can decode to a file in DAMAGED, for people to look at; returns its path.

    Raises OSError when they could not be written.
    """
    path = _damaged_folder(folder) / f"{folder.name}-records.log"
    with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, PRIVATE), "wb") as file:
        file.write(pack(records))
        file.flush()
        os.fsync(file.fileno())
    return path


def _damaged_folder(folder: Path) -> Path:
    kept = folder.parent / DAMAGED
    kept.mkdir(exist_ok=True)
    kept.chmod(0o700)  # earlier versions let everybody read it
    return kept


def _read_bytes(path: Path, start: int, max_bytes: int, limit: int | None) -> tuple[bytes, int]:
    """Bytes of a segment from `start` on, and where the segment ends: at `limit`, or before it with the file."""
    try:
        with open(path, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if limit is not None:
                size = min(size, limit)
            return os.pread(file.fileno(), max(0, min(max_bytes, size - start)), start), size
    except FileNotFoundError:
        return b"", 0


def _read_cursor(folder: Path) -> Position:
    """The position that was committed last; (0, 0), the beginning of all, when it can't be read."""
    try:
        data = (folder / CURSOR).read_bytes()
        number, position, checksum = _CURSOR.unpack(data)
    except (FileNotFoundError, struct.error):
        return 0, 0
    return (number, position) if zlib.crc32(data[:16]) == checksum else (0, 0)


def _replace(path: Path, data: bytes) -> None:
    """Writes a file so that its readers see the old content or the new one, never a part."""
    new = path.with_name(f".{path.name}")
    new.touch(PRIVATE)
    new.write_bytes(data)
    new.rename(path)
