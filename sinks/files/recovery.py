"""Ends the open files that an earlier owner left: takes each out of its reach and cuts it to what is committed."""

import logging
import time
from collections.abc import Callable

from sinks.errors import Fatal, Fenced, Pending, Retriable
from sinks.files.layout import Layout, OpenFile, flat, unflat
from sinks.files.store import FileStore, Leased, NotAllowed, NotFound
from sinks.loop.retry import attempt

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
    records = _records(client, layout)
    while True:
        named = {
            unflat(final)
            for record in records
            for name in client.names(record)
            if OpenFile.is_mark(name)
            for final in client.names(f"{record}/{name}")
        }
        now = _records(client, layout)
        if now == records:
            return named
        records = now  # an owner was moving or making some


def _records(client: FileStore, layout: Layout) -> list[str]:
    epochs = [f"{layout.committed}/{epoch}" for epoch in client.names(layout.committed)]
    return [f"{epoch}/{record}" for epoch in epochs for record in client.names(epoch)]


class LeftOpen:
    """An open file that the newest commit record names; its writer can commit nothing more.

    data: the data folder; record: the record's folder, the owner's alone; scratch: a folder of the owner for copies.

    In the record it lies under the name that it had while open until it is known to be whole, then under its final one.
    """

    def __init__(
        self,
        client: FileStore,
        file: OpenFile,
        *,
        data: str,
        record: str,
        scratch: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._file = file
        self._record = record
        self._scratch = scratch
        self._clock = clock
        self._patient_until = clock() + _LEASE_SECONDS
        self._place = f"{data}/{file.path}"
        self._final = f"{data}/{file.final}"
        self._kept = f"{record}/{flat(file.path)}"
        self._whole = f"{record}/{flat(file.final)}"
        self._copies = 0
        self._longest = 0

    async def end(self) -> None:
        """When it returns the file lies whole in the record, or is at its final place already.

        Raises Fenced when a later owner has taken the record away, Fatal when the file is missing or too short.
        """
        if await attempt(f"taking back {self._file.path}", self._take_back):
            whole = await attempt(f"cutting {self._file.path}", self._cut)
            await attempt(f"settling {self._file.path}", lambda: self._settle(whole))
        await attempt(f"removing what was copied of {self._file.path}", lambda: self._client.delete(self._kept))

    # Steps: each may be repeated after Retriable, whatever part of it was done

    def _take_back(self) -> bool:
        """Moves it into the record, where its writer finds it no more; False when that and all the rest is done."""
        there = self._client.lengths(self._record)
        if flat(self._file.final) in there:
            return False
        # Also when it is in the record already: a store without such a rename may have done one half of it.
        if self._client.rename(self._place, self._kept) or self._client.exists(self._kept):
            return True
        # Refused: closed by its writer or an earlier owner, or fenced.
        if self._client.exists(self._place) and self._client.exists(self._record):
            raise Retriable(f"the store refuses to rename {self._place} to {self._kept}")
        if self._client.exists(self._final):
            return False
        if not self._client.exists(self._record):
            raise Fenced(f"{self._record} was taken away by another owner")
        raise Fatal(f"{self._place} is missing, of which {self._file.length} bytes are committed by {self._record}")

    def _cut(self) -> str:
        """Removes every byte that is not committed. Returns the path of the result: the file itself or a copy."""
        is_patient = self._clock() < self._patient_until
        try:
            self._longest = max(self._longest, self._client.length(self._kept))
            if self._client.truncate(self._kept, self._file.length):
                self._tell_cut()
                return self._kept
        except NotFound as error:
            raise Fenced(f"{self._kept} was taken away by another owner: {error}") from error
        except Leased as error:
            if is_patient:
                raise Pending(str(error)) from error
            # HDFS misses a DataNode that is gone within a minute; a writer that is asleep holds on for ever.
            logger.info("%s: copies %d bytes: its writer holds on to it", self._place, self._file.length)
        except NotAllowed:
            self._tell_cut()
        else:
            text = f"the store is cutting {self._kept} to {self._file.length} bytes"
            raise Pending(text) if is_patient else Retriable(text)
        return self._copy()

    def _tell_cut(self) -> None:
        if (uncommitted := self._longest - self._file.length) > 0:
            logger.info(
                "%s: cut to its committed %d bytes; the %d after them are written again",
                self._place,
                self._file.length,
                uncommitted,
            )

    def _copy(self) -> str:
        # A folder of its own for each try: a late request of an earlier try can't touch it.
        self._copies += 1
        folder = f"{self._scratch}/copy.{self._copies}"
        name = flat(self._file.final)
        try:
            self._client.copy(self._kept, self._file.length, f"{folder}/{name}")
        except NotFound as error:
            raise Fenced(f"{self._kept} was taken away by another owner: {error}") from error
        stored = self._client.lengths(folder)
        if stored != {name: self._file.length}:
            raise Retriable(f"the store has stored {stored} instead of {self._file.length} bytes in {folder}")
        return f"{folder}/{name}"

    def _settle(self, whole: str) -> None:
        """Gives what is whole its final name within the record. A copy counts from then on, and not before."""
        if self._client.rename(whole, self._whole) or self._client.exists(self._whole):
            return
        if self._client.exists(whole) and self._client.exists(self._record):
            raise Retriable(f"the store refuses to rename {whole} to {self._whole}")
        raise Fenced(f"{whole} or {self._record} was taken away by another owner")
