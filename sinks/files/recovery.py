"""Ends the open files that an earlier owner left: takes each out of its reach and cuts it to what is committed."""

import logging
import time
from dataclasses import dataclass

from sinks.files.layout import Layout, OpenFile, flat, unflat
from sinks.files.store import FileStore, Leased, NotAllowed, NotFound
from worker.errors import Fatal, Fenced, Pending, Retriable
from worker.retry import attempt

logger = logging.getLogger(__name__)

_LEASE_SECONDS = 5.0
"""How long the store may need to cut a file, or to miss its writer, before that is a failure, or the file is copied."""


def open_files(client: FileStore, record: str) -> list[OpenFile]:
    """The open files that a commit record names. Raises Fenced when another owner takes the record away meanwhile."""
    found = []
    for name in client.names(record):
        if OpenFile.is_mark(name):
            finals = client.names(f"{record}/{name}")
            if not finals:
                raise Fenced(f"{record} was taken away by another owner")
            found.append(OpenFile.of_mark(name, finals[0]))
    return found


def told_of(client: FileStore, layout: Layout) -> set[str]:
    """The final places of the files that any commit record of a partition tells of as open, below the data folder.

    Such a file is to be left alone even where it has its final name: an owner may still look for it there.
    """
    named: set[str] = set()
    records: list[str] = []
    while (now := commit_records(client, layout)) != records:  # at first, or an owner was moving or making some
        records = now
        marks = [f"{record}/{name}" for record in records for name in client.names(record) if OpenFile.is_mark(name)]
        named = {unflat(final) for mark in marks for final in client.names(mark)}
    return named


def commit_records(client: FileStore, layout: Layout) -> list[str]:
    """The folders of a partition's commit records."""
    epochs = [f"{layout.committed}/{epoch}" for epoch in client.names(layout.committed)]
    return [f"{epoch}/{record}" for epoch in epochs for record in client.names(epoch)]


@dataclass(eq=False)
class LeftOpen:
    """An open file that the newest commit record names; its writer can commit nothing more.

    data: the data folder; record: the record's folder, the owner's alone; scratch: a folder of the owner for copies.

    In the record it lies under the name that it had while open until it is known to be whole, then under its final one.
    """

    client: FileStore
    file: OpenFile
    data: str
    record: str
    scratch: str
    _copies: int = 0
    _longest: int = 0

    def __post_init__(self) -> None:
        self._patient_until = time.monotonic() + _LEASE_SECONDS
        self._place = f"{self.data}/{self.file.path}"
        self._final = f"{self.data}/{self.file.final}"
        self._kept = f"{self.record}/{flat(self.file.path)}"
        self._whole = f"{self.record}/{flat(self.file.final)}"

    async def end(self) -> None:
        """When it returns the file lies whole in the record, or is at its final place already.

        Raises Fenced when a later owner has taken the record away, Fatal when the file is missing or too short.
        """
        if await attempt(f"taking back {self.file.path}", self._take_back):
            whole = await attempt(f"cutting {self.file.path}", self._cut)
            await attempt(f"settling {self.file.path}", lambda: self._settle(whole))
        await attempt(f"removing what was copied of {self.file.path}", lambda: self.client.delete(self._kept))

    # Steps: each may be repeated after Retriable, whatever part of it was done

    def _take_back(self) -> bool:
        """Moves it into the record, where its writer finds it no more; False when that and all the rest is done."""
        there = self.client.lengths(self.record)
        if flat(self.file.final) in there:
            return False
        # Also when it is in the record already: a store without such a rename may have done one half of it.
        if self.client.rename(self._place, self._kept) or self.client.exists(self._kept):
            return True
        # Refused: closed by its writer or an earlier owner, or fenced.
        if self.client.exists(self._place) and self.client.exists(self.record):
            raise Retriable(f"the store refuses to rename {self._place} to {self._kept}")
        if self.client.exists(self._final):
            return False
        if not self.client.exists(self.record):
            raise Fenced(f"{self.record} was taken away by another owner")
        raise Fatal(f"{self._place} is missing, of which {self.file.length} bytes are committed by {self.record}")

    def _cut(self) -> str:
        """Removes every byte that is not committed. Returns the path of the result: the file itself or a copy."""
        is_patient = time.monotonic() < self._patient_until
        try:
            self._longest = max(self._longest, self.client.length(self._kept))
            if self.client.truncate(self._kept, self.file.length):
                self._tell_cut()
                return self._kept
        except NotFound as error:
            raise Fenced(f"{self._kept} was taken away by another owner: {error}") from error
        except Leased as error:
            if is_patient:
                raise Pending(str(error)) from error
            # HDFS misses a DataNode that is gone within a minute; a writer that is asleep holds on for ever.
            logger.info("%s: copies %d bytes: its writer holds on to it", self._place, self.file.length)
        except NotAllowed:
            self._tell_cut()
        else:
            text = f"the store is cutting {self._kept} to {self.file.length} bytes"
            raise Pending(text) if is_patient else Retriable(text)
        return self._copy()

    def _tell_cut(self) -> None:
        if (uncommitted := self._longest - self.file.length) > 0:
            text = "%s: cut to its committed %d bytes; the %d after them are written again"
            logger.info(text, self._place, self.file.length, uncommitted)

    def _copy(self) -> str:
        # A folder of its own for each try: a late request of an earlier try can't touch it.
        self._copies += 1
        folder = f"{self.scratch}/copy.{self._copies}"
        name = flat(self.file.final)
        try:
            self.client.copy(self._kept, self.file.length, f"{folder}/{name}")
        except NotFound as error:
            raise Fenced(f"{self._kept} was taken away by another owner: {error}") from error
        stored = self.client.lengths(folder)
        if stored != {name: self.file.length}:
            raise Retriable(f"the store has stored {stored} instead of {self.file.length} bytes in {folder}")
        return f"{folder}/{name}"

    def _settle(self, whole: str) -> None:
        """Gives what is whole its final name within the record. A copy counts from then on, and not before."""
        if self.client.rename(whole, self._whole) or self.client.exists(self._whole):
            return
        if self.client.exists(whole) and self.client.exists(self.record):
            raise Retriable(f"the store refuses to rename {whole} to {self._whole}")
        raise Fenced(f"{whole} or {self.record} was taken away by another owner")
