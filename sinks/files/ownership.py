"""Exactly once with the store of files alone as lock, log and truth: the commit protocol of one partition and owner.

What rules is the commit record: a folder `committed/<epoch>/<first>-<last>`, named by the offsets that it covers. It
comes into being by one RENAME of a whole upload, and can only do so while the owner's epoch folder is there: RENAME
fails when the destination's parent is missing. Taking over means moving every record out of the other owners' folders
and deleting them. In append mode a record also names the files that are open after it, and how much of each is
committed. docs/exactly-once.md explains why this is enough.
"""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sinks.files.layout import Layout, OpenFile, flat, record_end, record_generation, record_name, unflat
from sinks.files.recovery import LeftOpen, open_files
from sinks.files.store import Content, FileStore, NotEmpty, NotFound
from worker.errors import Fatal, Fenced, Retriable
from worker.retry import attempt

logger = logging.getLogger(__name__)

_COMPLETE = "c-"
"""The prefix of the epochs of owners that leave a record of every offset that they commit, as versions from 0.2 do."""

_OLD_RECORDS = 8
"""So many records that are rolled forward are kept before they are removed together."""


class Ownership:
    """One owner of a partition, from its take-over until it is fenced or gives up. Not for two threads at once.

    Each method may raise Fenced, when another owner has taken over, Fatal and Cancelled.
    """

    def __init__(self, client: FileStore, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        self._epoch = ""
        self._own = ""
        self._tries = 0
        self._failed_upload = ""
        self._old_records: list[str] = []
        self._newest: str | None = None

    async def take_over(self) -> int | None:
        """Fences all others, finishes what they have committed; returns the offset after the newest record, if any."""
        await attempt("beginning an epoch", self._begin)
        records = await attempt("fencing other owners", self._fence_others)
        await attempt("removing unfinished uploads", self._remove_others_uploads)
        if not records:
            return None
        *self._old_records, self._newest = records
        for record in self._old_records:
            await attempt(f"publishing the files of {record}", partial(self._publish_all, record))
        newest = f"{self._own}/{self._newest}"
        for file in await attempt("reading which files are open", partial(open_files, self._client, newest)):
            await self._end(file)
        await attempt(f"publishing the files of {self._newest}", partial(self._publish_all, self._newest))
        # The newest record is still in the own folder, so no other owner has interfered and every file that the record
        # names is published. The next record does not have to name them.
        await attempt("proving ownership", self._prove)
        await attempt("removing old records", self._remove_old_records)
        return record_end(self._newest) + 1

    async def store(
        self,
        files: Mapping[str, Callable[[], Content]],
        first_offset: int,
        last_offset: int,
        open_files: Sequence[OpenFile] = (),
    ) -> None:
        """Commits files, all or none; when it returns they are at their places.

        files: path below the data folder -> gives the content, none for offsets without records to store; open_files:
        which are open then, with what has been appended to them.
        """
        record = record_name(first_offset, last_offset, self.generation)
        if self._newest is not None and first_offset <= record_end(self._newest):
            raise Fatal(f"{self._layout.partition}: {record} was to be stored after {self._newest}")
        upload = await attempt(f"uploading {record}", lambda: self._upload(files, open_files, record))
        await attempt(f"committing {record}", lambda: self._commit(upload, record))
        if self._newest is not None:
            self._old_records.append(self._newest)
        self._newest = record
        for path in files:
            await attempt(f"publishing {path}", partial(self._publish_own, path))
        if len(self._old_records) >= _OLD_RECORDS:
            await attempt("removing old records", self._remove_old_records)

    async def append(self, file: OpenFile, data: Content) -> None:
        """Adds to a file that the newest record names as open, once. Nothing of it is committed before `store`.

        Raises Fenced when it did not work, or perhaps did not: the next take-over cuts the file.
        """
        place = f"{self._layout.data}/{file.path}"
        await attempt(f"appending to {file.path}", lambda: self._append(place, data))
        length = await attempt(f"checking the length of {file.path}", lambda: self._length(place))
        if length != file.length + len(data):
            raise Fenced(f"{place} has {length} bytes instead of {file.length + len(data)}")

    async def close(self, file: OpenFile) -> None:
        """Gives an open file, to which nothing was appended since the newest record, its final name."""
        await attempt(f"closing {file.path}", lambda: self._close(file))

    async def _end(self, file: OpenFile) -> None:
        """Brings an open file that an earlier owner left to its final place, with what is committed of it."""
        record = f"{self._own}/{self._newest}"
        scratch = f"{self._layout.pending}/{self._epoch}/{flat(file.path)}"
        await LeftOpen(self._client, file, self._layout.data, record, scratch).end()
        await attempt(f"publishing {file.final}", lambda: self._publish(f"{record}/{flat(file.final)}", file.final))
        await attempt(f"forgetting {file.path}", lambda: self._forget(file))

    @property
    def generation(self) -> int:
        """How often an operator has moved the offset; from the first time on Kafka's committed one says nothing."""
        return record_generation(self._newest) if self._newest is not None else 0

    async def prove(self) -> None:
        """Raises Fenced when another owner has taken over."""
        await attempt("proving ownership", self._others)

    async def move_to(self, offset: int) -> None:
        """Lets the next owner go on at an offset, whatever is stored."""
        if self._newest is not None and self._newest.endswith(f"-{record_name(offset, offset - 1)}"):
            return
        # A new generation: an owner that takes over just now may hold older records with higher offsets, and this one
        # must still sort last.
        record = record_name(offset, offset - 1, self.generation + 1)
        if self._newest is None:
            source = f"{self._layout.pending}/{self._epoch}/{record}"
            await attempt(f"making {record}", lambda: self._client.make_folders(source))
        else:
            source = f"{self._own}/{self._newest}"
        await attempt(f"committing {record}", lambda: self._commit(source, record))
        self._newest = record

    # Steps: each may be repeated after Retriable, whatever part of it was done

    def _begin(self) -> None:
        # A new name for each try: a late request of an earlier try must not bring back an owner that was fenced.
        self._epoch = _COMPLETE + uuid.uuid4().hex
        self._own = f"{self._layout.committed}/{self._epoch}"
        self._client.make_folders(self._own)

    def _upload(self, files: Mapping[str, Callable[[], Content]], open_files: Sequence[OpenFile], record: str) -> str:
        # A folder of its own for each try: a late request of an earlier try can't touch it.
        if self._failed_upload:
            self._client.delete(self._failed_upload, recursive=True)
        self._tries += 1
        folder = self._failed_upload = f"{self._layout.pending}/{self._epoch}/{record}.{self._tries}"
        expected = {}
        for path, content in files.items():
            data = content()
            try:
                self._client.create(f"{folder}/{flat(path)}", data)
            except NotFound as error:  # removed under way
                raise Fenced(f"{self._layout.partition}: the upload of {record} was removed: {error}") from error
            expected[flat(path)] = len(data)
        for file in open_files:
            self._client.make_folders(f"{folder}/{file.mark}")
        if not files and not open_files:
            self._client.make_folders(folder)
        stored = self._client.lengths(folder) if files else {}
        if stored != expected:
            raise Retriable(f"the store has stored {stored} instead of {expected} in {folder}")
        self._failed_upload = ""
        return folder

    def _commit(self, upload: str, record: str) -> None:
        place = f"{self._own}/{record}"
        # Refused: done by an earlier try whose answer was lost, or the epoch folder is gone.
        if not self._client.rename(upload, place) and not self._client.exists(place):
            raise Fenced(f"{self._layout.partition}: the commit of {record} was refused")

    def _append(self, place: str, data: Content) -> None:
        try:
            self._client.append(place, data)
        except (Retriable, NotFound) as error:
            # Never again: it may have been done, or be done later. Whoever takes over moves the file out of its reach.
            raise Fenced(f"{self._layout.partition}: appending to {place}: {error}") from error

    def _length(self, place: str) -> int:
        try:
            return self._client.length(place)
        except NotFound as error:
            raise Fenced(f"{self._layout.partition}: {place} was taken away by another owner: {error}") from error

    def _close(self, file: OpenFile) -> None:
        place, final = f"{self._layout.data}/{file.path}", f"{self._layout.data}/{file.final}"
        if not self._publish(place, file.final) and not self._client.exists(final):
            raise Fenced(f"{self._layout.partition}: {place} was taken away by another owner")
        self._forget(file)

    def _forget(self, file: OpenFile) -> None:
        """Removes a file that has its final name from the newest record's open files."""
        mark = file.mark.partition("/")[0]
        self._client.delete(f"{self._own}/{self._newest}/{mark}", recursive=True)

    def _prove(self) -> None:
        """Raises Fenced when a later owner has taken the newest record."""
        if not self._client.exists(f"{self._own}/{self._newest}"):
            raise Fenced(f"{self._layout.partition}: {self._newest} was taken away by another owner")

    def _publish_own(self, path: str) -> None:
        if not self._publish(f"{self._own}/{self._newest}/{flat(path)}", path):
            self._prove()  # that it was an earlier try that moved it

    def _publish(self, source: str, path: str) -> bool:
        """Moves a file to its place in the data folder; False when it was moved before.

        Raises Fatal when something else is there.
        """
        final = f"{self._layout.data}/{path}"
        if self._client.rename(source, final):
            return True
        if not self._client.exists(source):
            return False  # an earlier try or another owner has moved it
        if not self._client.exists(final):
            self._client.make_folders(final.rpartition("/")[0])
            if self._client.rename(source, final):
                return True
            if not self._client.exists(source):
                return False
        try:
            same = self._client.checksum(source) == self._client.checksum(final)
        except NotFound as error:
            raise Retriable(f"the store refused to rename {source} to {final}, now {error}") from error
        if not same:
            raise Fatal(f"{final} is there already and holds something else than {source}; nothing was overwritten")
        return self._client.delete(source)

    def _fence_others(self) -> list[str]:
        while True:
            for epoch in self._others():
                if not epoch.startswith(_COMPLETE):
                    # Before its records are taken: whoever takes over after a crash in between must know it, too.
                    self._client.delete(self._layout.agreed)
                self._absorb(f"{self._layout.committed}/{epoch}")
            records = sorted(self._client.names(self._own))
            # The second look proves that no later owner was taking records out of the own folder during the first.
            if not self._others():
                return records

    def _others(self) -> list[str]:
        """The other epochs. Raises Fenced when the own one is gone."""
        epochs = self._client.names(self._layout.committed)
        if self._epoch not in epochs:
            raise Fenced(f"{self._layout.partition}: another owner took over at the same time")
        return [epoch for epoch in epochs if epoch != self._epoch]

    def _absorb(self, other: str) -> None:
        """Takes every record of another owner and removes its folder, after which it can commit nothing."""
        for record in sorted(self._client.names(other)):
            if not self._client.rename(f"{other}/{record}", f"{self._own}/{record}"):
                if self._client.exists(f"{other}/{record}") and self._client.exists(self._own):
                    raise Retriable(f"the store refuses to rename {other}/{record} to {self._own}/{record}")
                return  # moved by someone else, or the own folder is gone: the next listing shows it
        try:
            self._client.delete(other)
        except NotEmpty:
            logger.debug("%s: %s has committed meanwhile", self._layout.partition, other)  # the next listing shows it

    def _publish_all(self, record: str) -> None:
        for name in self._client.lengths(f"{self._own}/{record}"):
            self._publish(f"{self._own}/{record}/{name}", unflat(name))

    def _remove_old_records(self) -> None:
        while self._old_records:
            path = f"{self._own}/{self._old_records[0]}"
            try:
                self._client.delete(path)
            except NotEmpty as error:
                if self._client.lengths(path):
                    raise Fatal(f"{error}: a record whose files were published holds more") from error
                self._client.delete(path, recursive=True)  # the folders for its open files
            self._old_records.pop(0)

    def _remove_others_uploads(self) -> None:
        for epoch in self._client.names(self._layout.pending):
            if epoch != self._epoch:
                self._client.delete(f"{self._layout.pending}/{epoch}", recursive=True)
