"""Reads the lines of one group of files."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from kafka_client.log import repeating_logger
from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.dead_letters import dead_letter
from sources.file.config import FileTarget
from sources.file.content import Content, NotYet, Plain, Unpacked, group_of
from sources.file.finding import Finder
from sources.file.followed import Followed, Replaced, Stamp, followed_in
from sources.file.group import Group
from sources.file.lines import Lines
from sources.file.paths import printable
from sources.reader import Chunk, Position
from worker.errors import Fatal

logger = logging.getLogger(__name__)
repeated = repeating_logger(__name__)

_BLOCK = 256 * 1024
_SMALLEST_BLOCK = 4096
_MOST_RESTS = 10


@dataclass
class _Batch:
    """The records of one read. is_full: there is more to read."""

    records_left: int
    bytes_left: int
    records: list[Record] = field(default_factory=list)
    is_full: bool = False

    def add(self, records: Sequence[Record], size: int) -> None:
        self.records += records
        self.records_left -= len(records)
        self.bytes_left -= size
        self.is_full = self.records_left <= 0 or self.bytes_left <= 0


class GroupReader:
    """Reads one group of the files of a source. part: the name of the group."""

    def __init__(
        self,
        source: SourceConfig,
        part: str,
        number: int,
        finder: Finder,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._target: FileTarget = source.target
        self._part = part
        self._number = number
        self._finder = finder
        self._handles = finder.handles
        self._clock = clock
        self._lines = Lines(source.target)
        self._group = Group(finder, number, ())
        # The one compressed file that is being read, and its file descriptor: to go back means to unpack it anew.
        self._unpacking: tuple[Followed, Unpacked, int] | None = None

    def open(self, position: Position | None) -> None:
        """Goes to a position. Raises Fatal for one that this kind can't have written."""
        starts_at_end = position is None and self._target.start == "end"
        try:
            files = [] if position is None else followed_in(position)
        except ValueError as error:
            raise Fatal(f"the position of {self._part} can't be understood: {error}") from error
        self._group = Group(self._finder, self._number, files, starts_at_end=starts_at_end)

    def close(self) -> None:
        """Closes the compressed file that is being read. Other files stay open for the next reader of this process."""
        self._stop_unpacking()

    def read(self) -> Chunk | None:
        """The next lines of the group's files."""
        group = self._group
        group.meet()
        batch = _Batch(self._source.options.batch_records, self._source.options.batch_bytes)
        for followed in list(group.files):
            self._read(followed, batch)
            if batch.is_full:
                # The others are read first next time, so that one large file does not keep them waiting. A compressed
                # file is read to its end.
                if not followed.place.packed and followed in group.files:
                    group.files.remove(followed)
                    group.files.append(followed)
                break
        group.forget(self._target.forget_days)
        if not batch.records and not group.has_changed:
            return None
        more = batch.is_full or group.has_changed
        group.has_changed = False
        return Chunk(batch.records, {"files": [file.encoded() for file in group.files if file.is_begun]}, more)

    def _read(self, followed: Followed, batch: _Batch) -> None:
        if followed.is_lost or self._has_nothing_new(followed):
            return
        try:
            with self._handles.opened(followed.id, followed.path) as fd:
                status = os.fstat(fd)
                stamp = (status.st_size, status.st_mtime_ns)
                if followed.place.packed:
                    self._read_packed(followed, fd, stamp, batch)
                else:
                    self._read_plain(followed, fd, stamp, batch)
        except NotYet:  # the next read goes on
            return
        except FileNotFoundError:  # it was renamed or deleted since the look
            followed.is_outside = followed.is_searched = False
            self._group.look_again()
        except OSError as error:
            repeated.error("%s can't be read: %s", followed.shown, os.strerror(error.errno or 0))
        except Replaced:
            if self._unpacking is not None and self._unpacking[0] is followed:
                self._stop_unpacking()
            self._group.has_changed = self._group.has_changed or followed.is_begun
            self._group.lose(followed, cut=True)
        else:
            if followed.is_outside and followed.stamp == stamp and self._is_finished(followed):
                logger.info("%s is read to its end, and closed", followed.shown)
                self._group.lose(followed)

    def _has_nothing_new(self, followed: Followed) -> bool:
        if followed.is_outside:
            return False
        if followed.place.packed:
            return followed.found_stamp is not None and followed.place.whole_bytes == followed.found_stamp[0]
        is_read = followed.stamp is not None and followed.stamp == followed.found_stamp
        return is_read and not self._has_last_line(followed)

    def _has_last_line(self, followed: Followed) -> bool:
        """Whether there is a line without an end that may count as a line when the file is quiet for longer."""
        if followed.stamp is None or followed.place.packed or not followed.is_left:
            return False
        return followed.stamp[0] > followed.place.offset and self._target.last_line_seconds is not None

    def _is_finished(self, followed: Followed) -> bool:
        """Whether a file that has lost its name can be closed: what was read is committed, and nothing more came."""
        seconds = max(self._target.quiet_seconds, 2 * self._source.options.transaction_seconds)
        return not self._has_last_line(followed) and self._is_quiet(followed, seconds)

    def _is_quiet(self, followed: Followed, seconds: float) -> bool:
        return followed.stamp is not None and self._clock() - followed.idle_since >= seconds

    def _read_plain(self, followed: Followed, fd: int, stamp: Stamp, batch: _Batch) -> None:
        content = Plain(fd)
        if stamp != followed.stamp:
            if not followed.recognise(content):
                raise Replaced
            if self._take_all(followed, content, batch):
                followed.stamp, followed.idle_since = stamp, self._clock()
        is_due = self._has_last_line(followed) and self._is_quiet(followed, self._target.last_line_seconds or 0)
        if is_due and not batch.is_full:
            self._take_last(followed, content, batch)

    def _read_packed(self, followed: Followed, fd: int, stamp: Stamp, batch: _Batch) -> None:
        if stamp in (followed.stamp, (followed.place.whole_bytes, stamp[1])):
            return
        if self._unpacking is None:
            own = os.dup(fd)
            self._unpacking = (followed, Unpacked(own, self._group.allowance), own)
        elif self._unpacking[0] is not followed:
            return  # one after the other
        content = self._unpacking[1]
        if not followed.is_recognised and not followed.recognise(content):
            raise Replaced
        if not self._take_all(followed, content, batch):
            return
        is_whole = content.is_whole
        if content.damage:
            logger.error(
                "%s can't be unpacked behind byte %d: %s",
                followed.shown,
                followed.place.offset,
                content.damage,
            )
            is_whole = True
        if is_whole and self._target.last_line_seconds is not None:
            self._take_last(followed, content, batch)
        followed.stamp, followed.idle_since = stamp, self._clock()
        self._stop_unpacking()
        if is_whole:
            followed.end_whole(stamp[0])
            self._group.has_changed = True

    def _stop_unpacking(self) -> None:
        if self._unpacking is not None:
            os.close(self._unpacking[2])
            self._unpacking = None

    # --- Lines -------------------------------------------------------------------------------------------

    def _take_all(self, followed: Followed, content: Content, batch: _Batch) -> bool:
        """Takes all whole lines. False: there are more than the batch has room for."""
        while not batch.is_full:
            if not self._take(followed, content, batch):
                return not batch.is_full
        return False

    def _take(self, followed: Followed, content: Content, batch: _Batch) -> bool:
        """Takes the next whole lines. False: there is none yet, or the batch is full. Raises Replaced and Fatal."""
        limit = self._target.max_line_bytes
        block = self._block(followed, content, batch)
        if batch.is_full:
            return False
        place = followed.place
        # Another group reads it now, unless it has lost its name: such a file stays where it was dealt out.
        is_fixed = place.offset or place.packed or followed.is_outside
        if not is_fixed and group_of(block, is_all=True) != self._number:
            raise Replaced
        if place.unended or place.long_line is not None:
            return self._pass_rest(followed, block)
        end = block.rfind(b"\n") + 1
        if end > batch.bytes_left:
            end = block.rfind(b"\n", 0, batch.bytes_left) + 1
            if not end and batch.records:
                batch.is_full = True
                return False
            end = end or block.find(b"\n") + 1
        lines = block[:end].split(b"\n")[: min(batch.records_left, block.count(b"\n", 0, end))]
        if lines and max(map(len, lines)) > limit:
            lines = lines[: next((at for at, line in enumerate(lines) if _length(line) > limit), len(lines))]
        if lines:
            size = sum(map(len, lines)) + len(lines)
            batch.add(self._lines.records(lines, place.path, place.offset), size)
            followed.advance(block[:size])
            return True
        if end or len(block) >= limit + 2:
            return self._begin_long(followed, block[:limit], batch)
        return False

    def _block(self, followed: Followed, content: Content, batch: _Batch) -> bytes:
        """The next bytes: with a whole line, if there is one that is not too long."""
        enough = self._target.max_line_bytes + 2
        size = max(min(batch.bytes_left, _BLOCK), _SMALLEST_BLOCK)
        while True:
            block = followed.pread(content, size)
            if b"\n" in block or len(block) < size or size >= enough:
                return block
            if batch.records:  # a long line comes in a batch of its own
                batch.is_full = True
                return block
            size = min(size * 4, enough)

    def _begin_long(self, followed: Followed, begin: bytes, batch: _Batch) -> bool:
        """Passes the beginning of a line that is too long, which becomes a dead letter."""
        offset = followed.place.offset
        reason = f"{followed.shown}: the line at byte {offset} has more than {self._target.max_line_bytes} bytes"
        if not self._source.dead_letter_topic:
            if batch.records:  # the lines before it come first
                batch.is_full = True
                return False
            raise Fatal(f"{reason}; raise target.max_line_bytes, or set dead_letter_topic")
        logger.error("%s: it becomes a dead letter", reason)
        where = {"path": printable(followed.place.path), "offset": offset}
        topic = self._target.topic
        letter = dead_letter(self._source, self._part, reason=reason, position=where, value=begin, topic=topic)
        batch.add([letter], len(letter.value or b""))
        followed.place.long_line = offset
        followed.advance(begin)
        return True

    def _pass_rest(self, followed: Followed, block: bytes) -> bool:
        """Passes what follows a last line that was given without its end, or the rest of a line that is too long."""
        place = followed.place
        if place.unended:
            if block in (b"", b"\r"):
                return False
            place.unended = False
            end = 1 if block.startswith(b"\n") else 2 if block.startswith(b"\r\n") else 0
            if not end:
                place.rests = [*place.rests, place.offset][-_MOST_RESTS:]
        else:
            end = block.find(b"\n") + 1
            if end:
                length = place.offset + end - 1 - (place.long_line or 0)
                logger.error("%s: the line at byte %s has %d bytes", followed.shown, place.long_line, length)
                place.long_line = None
            end = end or len(block)
        followed.advance(block[:end])
        self._group.has_changed = True
        return bool(block)

    def _take_last(self, followed: Followed, content: Content, batch: _Batch) -> None:
        """Takes a last line that has no end."""
        rest = followed.pread(content, self._target.max_line_bytes + 2)
        if not rest or b"\n" in rest:
            return
        if followed.place.long_line is None and not followed.place.unended:
            batch.add(self._lines.records([rest], followed.place.path, followed.place.offset), len(rest))
            followed.place.unended = True
        followed.advance(rest)
        followed.idle_since = self._clock()


def _length(line: bytes) -> int:
    return len(line) - line.endswith(b"\r")
