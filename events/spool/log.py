"""The spool of one process: appends records to segments, and forces the segments to the disk."""

import errno
import logging
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import Literal

from events.spool.ownership import make_folder, release
from events.spool.segments import PRIVATE, Position, pack, segment_path
from kafka_client.log import repeating_logger

logger = logging.getLogger(__name__)
loop_logger = repeating_logger(__name__)

Fsync = Literal["never", "interval", "always"]

_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND
_NOT_FORCED = "the spool can't be forced to the disk"


class SpoolFull(Exception):
    """The spool takes no more records: it is full or closed, or the disk can't be written."""


class SpoolUnwritable(SpoolFull):
    """The disk can't be written: it is full, read-only or broken."""


class Spool:
    """Appends records, from any thread.

    root: the folder of the spools of all processes of this machine. max_bytes: the most bytes that this process keeps
    on disk, adopted spools included. segment_bytes: a segment ends at this size. fsync: when records are forced to the
    disk: "never", every fsync_seconds ("interval"), or before `append` returns ("always"). Records that were not forced
    to the disk survive the end of the process, but not the end of the machine.
    Raises OSError when the folder can't be made.
    """

    def __init__(
        self, root: Path, *, max_bytes: int, segment_bytes: int, fsync: Fsync, fsync_seconds: float = 1.0
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.folder, self._lock_fd = make_folder(root)
        if fsync != "never":
            _sync_folder(root)
        self.another = partial(
            Spool, root, max_bytes=sys.maxsize, segment_bytes=segment_bytes, fsync=fsync, fsync_seconds=fsync_seconds
        )
        """Makes a second spool of this process, without a bound, for records that a spool has taken already."""
        self.max_bytes = max_bytes
        self.is_bounded = True
        """Whether `max_bytes` holds."""
        self.used = 0
        """Bytes on disk, those of adopted spools included."""
        # Space is freed by whole segments: with a few of them, a full spool soon has room again.
        self._segment_bytes = min(segment_bytes, max_bytes // 4)
        self._fsync = fsync
        # _lock guards the fields. _sync_lock is held during an fsync and a change of segments. Appending needs _lock
        # alone, so threads append while another waits for its fsync. Who needs both takes _sync_lock first.
        self._sync_lock = threading.Lock()
        self._lock = threading.Lock()
        self._segment = _Segment(0)
        self._is_closed = False
        self._is_full = False
        self._unwritten = 0  # bytes of the last append, when the disk did not take them
        self.appended = 0
        """How many records were appended so far."""
        self.news = threading.Event()
        """Set when there are new records to read."""
        self._stop = threading.Event()
        self._syncer = threading.Thread(target=self._sync_each, args=(fsync_seconds,), name="spool-fsync", daemon=True)
        if fsync == "interval":
            self._syncer.start()

    @property
    def end(self) -> Position:
        """The position up to which records may be delivered. Records whose `append` may still fail lie behind it."""
        with self._lock:
            segment = self._segment
            return segment.number, segment.synced if self._fsync == "always" else segment.written

    def append(self, payloads: Sequence[bytes]) -> None:
        """Appends all of these records. Raises SpoolFull: then none of them will ever be read."""
        data = pack(payloads)
        try:
            segment, end = self._write(data, len(payloads))
            if self._fsync == "always":
                self._sync_appended(segment, end, len(payloads))
        except SpoolUnwritable:
            self._unwritten = len(data)
            raise
        self._unwritten = 0
        if not self.news.is_set():
            self.news.set()

    def can_be_written(self) -> bool:
        """Whether the disk takes records. If it refused the last append, as many bytes are tried in another file.

        So a disk that has room again is noticed also when nobody appends, because this process gets no requests.
        """
        if not (size := self._unwritten):
            return True
        try:
            with TemporaryFile(dir=self.folder, buffering=0) as file:
                if os.write(file.fileno(), bytes(size)) < size:
                    return False
                if self._fsync == "always":
                    os.fsync(file.fileno())
        except OSError:
            return False
        return True

    def adopt(self, size: int) -> None:
        """Counts `size` bytes of other folders to `used`; a negative size says that bytes were freed."""
        with self._lock:
            self.used += size

    def close(self) -> None:
        """Refuses further records, and leaves the undelivered ones to the next process."""
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
        """In a forked child: closes the files of the parent, whose spool this is."""
        for fd in (self._segment.fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)

    def _write(self, data: bytes, records: int) -> "tuple[_Segment, int]":
        """Returns the segment that the data was written to, and where the data ends."""
        while True:
            with self._lock:
                segment = self._segment
                self._check_room(len(data))
                if segment.fd >= 0 and segment.written + len(data) <= max(self._segment_bytes, len(data)):
                    self._append_to(segment, data)
                    self.appended += records
                    return segment, segment.written
            self._begin_segment(after=segment)

    def _sync_appended(self, segment: "_Segment", end: int, records: int) -> None:
        try:
            self._sync(segment, end)
        except SpoolFull:
            with self._lock:
                self.appended -= records
            raise

    def _check_room(self, size: int) -> None:
        if self._is_closed:
            raise SpoolFull("the spool is closed")
        if self.is_bounded and self.used + size > self.max_bytes:
            if not self._is_full:
                self._is_full = True
                logger.error("the spool is full: %d of %d bytes; events are refused", self.used, self.max_bytes)
            raise SpoolFull("the spool is full")

    def _append_to(self, segment: "_Segment", data: bytes) -> None:
        try:
            if (written := os.write(segment.fd, data)) < len(data):
                raise OSError(errno.ENOSPC, "the disk is full")
        except OSError as error:
            self._undo(segment)
            raise SpoolUnwritable(f"the spool can't be written: {error.strerror}") from error
        segment.written += written
        self.used += written
        if self._is_full:
            self._is_full = False
            logger.info("the spool takes events again")

    def _undo(self, segment: "_Segment") -> None:
        """Removes what a failed write has left. If that fails too, the segment ends there.

        A reader stops at half a record, so nothing may be appended behind it.
        """
        try:
            os.ftruncate(segment.fd, segment.written)
        except OSError:
            logger.exception("half a record could not be removed from segment %d: a new one is begun", segment.number)
            segment.end()

    def _begin_segment(self, *, after: "_Segment") -> None:
        """Ends a segment and begins the next one, unless another thread has done so."""
        with self._sync_lock, self._lock:
            if self._segment is not after or self._is_closed:
                return
            self._end_segment()
            number = after.number + 1
            path = segment_path(self.folder, number)
            try:
                self._segment = _Segment(number, os.open(path, _NEW_FILE, PRIVATE))
                if self._fsync != "never":
                    _sync_folder(self.folder)
            except OSError as error:
                self._segment.end()
                with suppress(OSError):
                    path.unlink(missing_ok=True)
                raise SpoolUnwritable(f"the spool can't be written: {error.strerror}") from error

    def _end_segment(self) -> None:
        """Forces the present segment to the disk and closes it. The caller holds both locks."""
        segment = self._segment
        if segment.fd >= 0 and self._fsync != "never":
            try:
                os.fsync(segment.fd)
                segment.synced = segment.written
            except OSError:
                logger.exception(_NOT_FORCED)
                if self._fsync == "always":
                    self._cut(segment)
        segment.end()

    def _cut(self, segment: "_Segment") -> None:
        """After a failed fsync: cuts the segment where it is on the disk for sure, and ends it.

        The records behind that are refused, so they must not be read. The segment is not used any more: after a failed
        fsync, the system may report the next one as successful without writing the lost bytes again.
        """
        try:
            os.ftruncate(segment.fd, segment.synced)
            if not segment.synced:
                segment_path(self.folder, segment.number).unlink()
        except OSError:
            logger.exception("events that were refused could not be removed from the spool: they may arrive")
        self.used -= segment.written - segment.synced
        segment.written = segment.synced
        segment.end()

    def _sync(self, segment: "_Segment", end: int) -> None:
        """Returns once the segment is on the disk up to `end`. Threads that wait here together share one fsync.

        Raises SpoolFull: then the segment is cut before `end`.
        """
        with self._sync_lock:
            if segment.synced >= end:
                return
            try:
                with self._lock:
                    if segment.fd < 0:
                        raise SpoolUnwritable(_NOT_FORCED)
                    # A descriptor of its own: a thread that can't remove half a record (`_undo`) closes the other one.
                    fd = os.dup(segment.fd)
                    written = segment.written
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
            except OSError as error:
                with self._lock:
                    self._cut(segment)
                raise SpoolUnwritable(f"{_NOT_FORCED}: {error.strerror}") from error
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
                    loop_logger.exception(_NOT_FORCED)


@dataclass
class _Segment:
    """The file that is appended to. fd: -1 once it has ended; written: its bytes; synced: those surely on the disk."""

    number: int
    fd: int = -1
    written: int = 0
    synced: int = 0

    def end(self) -> None:
        """Closes the file: nothing more is written to it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _sync_folder(folder: Path) -> None:
    """Forces the names of the files in a folder to the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
