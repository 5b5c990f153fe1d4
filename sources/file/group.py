"""The files of one group: which file is which, whatever rotation has done to them."""

import logging
import math
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from kafka_client.log import repeating_logger
from sources.file.content import HEAD_BYTES, Allowance, Content, Plain, Unpacked
from sources.file.finding import Finder, Found, Look
from sources.file.followed import Followed, Stamp
from sources.file.handles import FileId
from sources.file.paths import family_of, is_rotated, printable

logger = logging.getLogger(__name__)
repeated = repeating_logger(__name__)

_COMPARED = 1024
"""So many bytes at the beginning and at the end of a copy are compared with its original."""

MOST_FILES = 3000
MOST_BYTES = 900_000
"""A group follows so many files at most, with so many bytes in its position, which is one record of Kafka."""

_PLACE_BYTES = 280

MOST_UNPACKED = 128 * 1024 * 1024
"""One read unpacks so many bytes at most; a larger compressed file is compared in several."""


class Group:
    """The files that one reader follows.

    A *lost* file is one whose bytes lie nowhere that is known: it was deleted, or truncated. Its place is kept for some
    time, for its copy may be found later. docs/sources-file.md explains how files are recognised.

    files: those that are followed already; starts_at_end: new files that are found first count as read.
    """

    def __init__(self, finder: Finder, number: int, files: Sequence[Followed], *, starts_at_end: bool = False) -> None:
        self._finder = finder
        self._handles = finder.handles
        self._number = number
        self._starts_at_end = starts_at_end
        self._look: Look | None = None
        self.allowance = Allowance()
        self._samples: dict[Found, _Sample] = {}
        self._unpacked: dict[FileId, tuple[Stamp, Unpacked]] = {}
        self._kin: dict[str, list[Followed]] = defaultdict(list)  # by the family of their names
        self._inodes: dict[int, list[Followed]] = defaultdict(list)
        self.files = list(files)
        self.has_changed = False
        """Whether a place has changed otherwise than by reading."""

    def meet(self) -> None:
        """Finds out where the bytes of each file lie now, and which files are new."""
        # What is found first is told from what comes later, so it is all compared at once.
        self.allowance.left = math.inf if self._starts_at_end else MOST_UNPACKED
        look = self._finder.look()
        if look is self._look:
            return
        self._look = look
        for followed in list(self.files):
            if not followed.is_lost:
                self._locate(followed, look)
        here = {followed.id for followed in self.files if not followed.is_lost}
        self._kin = defaultdict(list)
        self._inodes = defaultdict(list)
        for followed in self.files:
            self._index(followed)
        # A file that was closed since the look may have left its number, and its name, to a new file.
        vanished = [found for found in look.vanished.values() if found.id in self._handles]
        unknown = [found for found in vanished if found.group == self._number]
        unknown += sorted(look.groups.get(self._number, ()), key=_originals_first)
        unknown = [found for found in unknown if found.id not in here]
        self._unpacked = {found.id: self._unpacked[found.id] for found in unknown if found.id in self._unpacked}
        # The surest signs first, of all files: short ones begin like many others.
        unknown = [found for found in unknown if not self._is_known(found, look)]
        for found in unknown:
            with suppress(OSError):
                if not (self._is_known(found, look) or self._is_shorter_copy(found)):
                    self._follow(found, is_outside=found.id in look.vanished)
        if self._starts_at_end:
            self._starts_at_end, self.has_changed = False, True

    def lose(self, followed: Followed, *, cut: bool = False) -> None:
        """The bytes of a file lie nowhere. cut: the file is there, with other bytes."""
        if cut and followed.is_begun:
            logger.info(
                "%s was truncated or replaced; %d bytes of it were read",
                followed.shown,
                followed.place.offset,
            )
        if cut:  # the reader of another group may need the file, for its new bytes
            self._handles.keep(followed.id, is_last=False)
        else:
            self._handles.close(followed.id)
        followed.lose(cut=cut)
        if not followed.is_begun:
            self.files.remove(followed)
        self.look_again()

    def look_again(self) -> None:
        """Something is not as it was at the last look."""
        self._look = None

    def forget(self, days: float) -> None:
        """Forgets the files that were lost so many days ago."""
        before = time.time() - days * 86_400
        kept = [followed for followed in self.files if not 0 < followed.place.lost_at < before]
        if len(kept) < len(self.files):
            self.files, self.has_changed = kept, True

    def _locate(self, followed: Followed, look: Look) -> None:
        found = look.files.get(followed.id)
        if found is not None:
            if self._is_still(followed, found):
                followed.is_at(found)
            else:
                self.lose(followed, cut=True)
            return
        vanished = look.vanished.get(followed.id)
        if vanished is not None and vanished.group != self._number and not followed.is_begun:
            self.lose(followed, cut=True)  # another group has it since it was truncated
            return
        if not followed.is_searched and (path := self._finder.search(followed.id, followed.path)) is not None:
            followed.is_outside_at(path)
        followed.is_searched = True
        if followed.id in self._handles:
            followed.is_outside = True
            self._handles.keep(followed.id)
        elif not (followed.is_outside and self._is_there(followed)):
            self.lose(followed)

    def _is_there(self, followed: Followed) -> bool:
        """Whether a file that has no matched name is the one that was read: a new file may have got its number."""
        try:
            with self._content(followed.id, followed.path, packed=followed.place.packed) as content:
                return followed.recognise(content)
        except OSError:  # the reader says so
            return True

    def _is_still(self, followed: Followed, found: Found) -> bool:
        """Whether a file is the one that was read: it may be truncated, or a new file may have got its number."""
        if found.group != self._number or found.packed != followed.place.packed:
            return False
        # The look may be older than what was read: a size below the offset alone does not tell that bytes are gone.
        is_compared = followed.is_recognised or found.packed
        if is_compared and followed.found_stamp == (found.size, found.modified):
            return True
        if not followed.is_begun:
            return False  # nothing tells it from another file that has got its number, so it is met anew
        try:
            with self._content(found.id, found.path, packed=found.packed) as content:
                if found.packed:
                    return followed.begins_like(content)  # its reader compares the rest when there is more to read
                return followed.recognise(content)
        except OSError:  # it is gone meanwhile, or it can't be read: the next look will tell
            return True

    def _is_known(self, found: Found, look: Look) -> bool:
        """Whether a file that is not followed is one that was lost, or a copy; True also where nobody can tell now."""
        try:
            for followed in self._inodes[found.id.inode]:
                if self._is_back(followed, found, look):
                    self._settle(followed, found)
                    return True
            kin = self._kin_of(found)
            self._lose_truncated(kin)
            # The surest signs first: the first line is the same in all files of a group.
            lost = sorted((one for one in kin if one.is_lost), key=lambda one: one.place.offset, reverse=True)
            live = [followed for followed in kin if not followed.is_lost]
            is_known = any(self._goes_on_in(followed, found, is_sure=True) for followed in lost)
            is_known = is_known or any(self._may_be_copy(followed, found) for followed in live)
            is_known = is_known or any(self._goes_on_in(followed, found) for followed in lost)
            # A file that was truncated while they were compared may be the one whose copy this is: the next look tells.
            return is_known or self._lose_truncated(live)
        except OSError:  # it is gone meanwhile, or it can't be read: the finder says so
            return True

    def _is_shorter_copy(self, found: Found) -> bool:
        """Whether a file is a copy that lacks bytes which were read of the original, which is lost. Raises OSError."""
        return any(self._had_more_than(followed, found) for followed in self._kin_of(found) if followed.is_lost)

    def _kin_of(self, found: Found) -> list[Followed]:
        return [followed for followed in self._kin[family_of(found.path)] if _are_kin(followed, found)]

    def _has_room(self) -> bool:
        """Whether one more file can be followed; a file that was lost long ago makes room."""
        size = sum(_PLACE_BYTES + sum(map(len, followed.paths)) for followed in self.files)
        if len(self.files) < MOST_FILES and size < MOST_BYTES:
            return True
        lost = [followed for followed in self.files if followed.is_lost]
        if not lost:
            return False
        self.files.remove(min(lost, key=lambda followed: followed.place.lost_at))
        return True

    def _is_back(self, followed: Followed, found: Found, look: Look) -> bool:
        """Whether a file that was gone is there again, perhaps on a device that has another number since a restart."""
        if followed.place.packed != found.packed or followed.place.cut:
            return False
        if not followed.is_lost and (followed.id in look.files or followed.id in self._handles):
            return False
        with self._content(found.id, found.path, packed=found.packed) as content:
            return followed.recognise(content)

    def _lose_truncated(self, kin: Iterable[Followed]) -> bool:
        """Whether some of these files do not hold any more what was read of them. Raises OSError."""
        is_lost = False
        for followed in kin:
            if not followed.is_lost and not followed.place.packed:
                with self._content(followed.id, followed.path, packed=False) as content:
                    is_there = followed.recognise(content)
                if not is_there:
                    self.lose(followed, cut=True)
                    is_lost = True
        return is_lost

    def _goes_on_in(self, followed: Followed, found: Found, *, is_sure: bool = False) -> bool:
        """Whether a file has all bytes that were read of a lost one, which is then read on there. Raises OSError.

        is_sure: more than the first line was read.
        """
        with self._content(found.id, found.path, packed=found.packed) as content:
            if is_sure and b"\n" not in content.pread(HEAD_BYTES, 0)[: followed.place.offset - 1]:
                return False
            if not followed.recognise(content):
                return False
        self._settle(followed, found)
        return True

    def _had_more_than(self, followed: Followed, found: Found) -> bool:
        """Whether a file is a copy of a lost one that lacks bytes which were read. Raises OSError."""
        with self._content(found.id, found.path, packed=found.packed) as content:
            if not followed.begins_like(content) or (size := content.length()) >= followed.place.offset:
                return False
            if isinstance(content, Unpacked) and not content.is_final:
                return True  # it is being written
            if not followed.place.cut or followed.id == found.id:
                return False  # files that are truncated have such copies, elsewhere
            # A copy that was made before the last lines were written has nothing that was not read.
            followed.goes_to(content, size)
            self._settle(followed, found)
            return True

    def _may_be_copy(self, followed: Followed, found: Found) -> bool:
        """Whether a file has nothing that its original, which is still there, does not have. Raises OSError."""
        if followed.place.packed:
            return False
        sample = self._samples.get(found)
        if sample is None:
            with self._content(found.id, found.path, packed=found.packed) as content:
                sample = _Sample.of(content)
            if len(self._samples) >= MOST_FILES:
                self._samples.clear()
            self._samples[found] = sample
        with self._content(followed.id, followed.path, packed=False) as original:
            return sample.is_of(original)

    def _settle(self, followed: Followed, found: Found) -> None:
        followed.lies_in(found)
        self.has_changed = True

    def _follow(self, found: Found, *, is_outside: bool) -> None:
        """Follows a new file. Raises OSError."""
        if not self._has_room():
            text = "%d files that begin alike are followed, and no more can be: %s is not read"
            repeated.error(text, len(self.files), printable(found.path))
            return
        followed = Followed.new(found)
        if is_outside:
            followed.is_outside = True
            self._handles.keep(found.id)
        if self._starts_at_end:
            if found.packed:
                followed.end_whole(found.size)
            else:
                with self._content(found.id, found.path, packed=False) as content:
                    followed.goes_to_end(content, found.size)
        self.files.append(followed)
        self._index(followed)

    def _index(self, followed: Followed) -> None:
        for family in {family_of(path) for path in followed.paths}:
            self._kin[family].append(followed)
        self._inodes[followed.place.inode].append(followed)

    @contextmanager
    def _content(self, file: FileId, path: str, *, packed: bool) -> Iterator[Content]:
        with self._handles.opened(file, path) as fd:
            yield self._unpacked_of(file, fd) if packed else Plain(fd)

    def _unpacked_of(self, file: FileId, fd: int) -> Unpacked:
        status = os.fstat(fd)
        stamp = (status.st_size, status.st_mtime_ns)
        known, content = self._unpacked.get(file, (None, None))
        if content is None or known != stamp:
            content = Unpacked(fd, self.allowance)
            self._unpacked[file] = (stamp, content)
        content.fd = fd
        return content


def _are_kin(followed: Followed, found: Found) -> bool:
    """Whether a file of the same family may be a copy of another one, by its name."""
    return found.packed or any(is_rotated(path, found.path) for path in followed.paths)


class _Sample(NamedTuple):
    """What is compared of a copy with its original. is_whole: nothing will be added."""

    begin: bytes
    end: bytes
    length: int
    is_packed: bool
    is_whole: bool

    @classmethod
    def of(cls, copy: Content) -> "_Sample":
        begin, length = copy.pread(_COMPARED, 0), copy.length()
        end = copy.pread(_COMPARED, max(length - _COMPARED, 0))
        if isinstance(copy, Unpacked):
            return cls(begin, end, length, is_packed=True, is_whole=copy.is_final)
        return cls(begin, end, length, is_packed=False, is_whole=True)

    def is_of(self, original: Content) -> bool:
        """Whether the original, as it is now, begins with all bytes of the copy."""
        if original.pread(len(self.begin), 0) != self.begin:
            return False
        if not self.is_whole:
            return True  # it is being compressed
        if self.is_packed and original.length() != self.length:
            return False  # a file is compressed when nothing is written to it any more
        return original.pread(len(self.end), self.length - len(self.end)) == self.end


def _originals_first(found: Found) -> tuple[bool, int, str]:
    """The originals before their compressed files, the oldest first."""
    return found.packed, found.modified, found.path
