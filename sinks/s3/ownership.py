"""Exactly once with conditional PUT: the commit protocol of one partition and owner.

A commit record is an entry of the partition's chain (sinks.s3.chain). It names uploads, which nobody sees before they
are published. Whoever takes the partition over publishes what the records name, so all files of a record appear or
none. docs/s3-sink.md has the steps.
"""

import logging
import uuid
from collections.abc import Callable, Mapping
from functools import partial
from math import inf

import msgspec

from kafka_client.structs import ready
from sinks.files.contents import FileLayout
from sinks.files.layout import Layout
from sinks.files.store import Content, NotFound
from sinks.files.stored import StoredFile, files_of_any_format
from sinks.s3.chain import BEGINNING, Chain, Place, Walk
from sinks.s3.objects import ObjectStore, Upload
from worker.errors import Fatal, Fenced
from worker.retry import attempt

logger = logging.getLogger(__name__)

_CHECKPOINT_EVERY = 16
"""After so many records there is a checkpoint: what is to be walked at a take-over, and deleted, is no more."""


@ready
class Commit(msgspec.Struct, frozen=True, tag=True):
    """The offsets from `first` up to `next` (excluded) are stored, in these uploads."""

    id: str
    first: int
    next: int
    uploads: tuple[Upload, ...]

    def follows(self, place: Place) -> Place:
        """The first record that is not in it."""
        return Place(place.generation, self.next)


@ready
class Rewind(msgspec.Struct, frozen=True, tag=True):
    """An operator has moved the offset: reading goes on at `to`, and files from there on are put aside."""

    id: str
    to: int

    def follows(self, place: Place) -> Place:
        """Of the next generation, whose places and names of files are all new."""
        return Place(place.generation + 1, self.to)


Record = Commit | Rewind

_DECODER = msgspec.json.Decoder(Record)


def partition_folder(layout: Layout) -> str:
    """Where the book-keeping of a partition lies."""
    return f"{layout.topic}/{layout.partition.number}"


def partition_chain(store: ObjectStore, layout: Layout) -> Chain[Record]:
    """The chain of a partition's commit records."""
    return Chain(store, partition_folder(layout), _DECODER.decode)


def aside_folder(layout: Layout, rewind: Rewind) -> str:
    """Where the files lie that a rewind took away."""
    return f"{partition_folder(layout)}/replaced/{rewind.id}"


class Ownership:
    """One owner of a partition, from its take-over until it is fenced or gives up. Not for two threads at once.

    files: of the sink. Each method may raise Fenced, when another owner has taken over, Fatal and Cancelled.
    """

    def __init__(self, store: ObjectStore, layout: Layout, files: FileLayout) -> None:
        self._store = store
        self._layout = layout
        self._files = files
        self.chain = partition_chain(store, layout)
        self.end = BEGINNING
        self._unchecked = 0

    async def take_over(self) -> int | None:
        """Finishes what others have committed; returns the offset after it, None when nothing was ever stored."""
        walk = await self.publish()
        if walk.entries:
            await self.chain.check_point(self.end)
        await self.chain.clean(self.end)
        return None if self.end == BEGINNING else self.end.number

    async def publish(self, *, lost_from: float = inf) -> Walk[Record]:
        """Publishes what others have committed, and does no more.

        lost_from: the first of the offsets that an operator is about to have stored again, or left out; their uploads
        need not be there any more.
        """
        walk = await self.chain.walk()
        rewind = _newest_rewind(walk)
        for place, record in walk.entries:
            # Who put the rewind has seen to all records before it.
            await self._publish_all(place, record, lost_from=0 if place < rewind else lost_from)
        self.end = walk.end
        return walk

    async def store(self, files: Mapping[str, Callable[[], Content]], first_offset: int, last_offset: int) -> None:
        """Commits files, all or none; when it returns they are at their places.

        files: path below the data folder -> gives the content, none for offsets without records to store.
        """
        if first_offset < self.end.number:
            raise Fatal(f"{self._layout.partition}: {first_offset} was to be stored after {self.end.number}")
        uploads = []
        for path, content in files.items():
            place = f"{self._layout.data}/{path}"
            uploads.append(await attempt(f"uploading {path}", partial(self._upload, place, content)))
        commit = Commit(uuid.uuid4().hex, first_offset, last_offset + 1, tuple(uploads))
        try:
            await self.chain.put(self.end, commit)
        except Fenced:
            # None of them can be in a record that counts and is not published yet.
            for upload in uploads:
                await attempt(f"removing the upload of {upload.path}", partial(self._store.abandon, upload))
            raise
        await self._publish_all(self.end, commit)
        self.end = commit.follows(self.end)
        self._unchecked += 1
        if self._unchecked >= _CHECKPOINT_EVERY:
            await self.check_point()

    async def check_point(self) -> None:
        """Lets the next owner begin at the end, if this one has stored something since the newest checkpoint."""
        if self._unchecked:
            await self.chain.check_point(self.end)
            await self.chain.clean(self.end)
            self._unchecked = 0

    async def _publish_all(self, place: Place, record: Record, *, lost_from: float = inf) -> None:
        """When it returns nothing of the record is left to do, whoever asks for it again."""
        if isinstance(record, Rewind):
            files = await attempt(
                "listing files", lambda: files_of_any_format(self._store, self._layout, self._files)[0]
            )
            for file in self._replaced(files, place, record):
                await attempt(f"moving {file.path}", partial(self._put_aside, file, record))
            return
        for upload in record.uploads:
            if await attempt(f"publishing {upload.path}", partial(self._publish, upload)):
                continue
            if record.first >= lost_from:
                logger.warning("%s is left out: neither it nor its upload is there", upload.path)
                continue
            # Others may have published it, and merged it or put it aside, while this owner slept.
            walk = await self.chain.walk()
            if max(walk.checkpoint, _newest_rewind(walk)) > place:
                raise Fenced(f"{self._layout.partition}: another owner has published {place}")
            raise Fatal(
                f"{upload.path} is committed, but neither it nor its upload is there: was the upload removed as old? "
                f"To store its records again, rewind the sink to offset {record.first} (docs/s3-sink.md)"
            )

    def _replaced(self, files: list[StoredFile], place: Place, rewind: Rewind) -> list[StoredFile]:
        """The files that a rewind takes away: those of later generations were stored after it."""
        found = []
        for file in files:
            names = self._files.names.of(file.extension)
            if file.last >= rewind.to and names.generation(file.path.rpartition("/")[2]) <= place.generation:
                if file.first < rewind.to:
                    raise Fatal(f"{file.path} holds offset {rewind.to} in its middle; it can't be put aside")
                found.append(file)
        return found

    # Steps: each may be repeated after Retriable, whatever part of it was done

    def _upload(self, path: str, content: Callable[[], Content]) -> Upload:
        return self._store.upload(path, content())

    def _publish(self, upload: Upload) -> bool:
        """False when neither the file nor its upload is there."""
        return self._store.publish(upload) or self._store.exists(upload.path)

    def _put_aside(self, file: StoredFile, rewind: Rewind) -> None:
        target = aside_folder(self._layout, rewind) + file.path.removeprefix(self._layout.data)
        try:
            self._store.copy(file.path, target)
        except NotFound:
            return  # an earlier try or another owner has moved it
        self._store.delete(file.path)


def _newest_rewind(walk: Walk[Record]) -> Place:
    """The place of the last rewind that was walked; the beginning when there is none."""
    return max((place for place, record in walk.entries if isinstance(record, Rewind)), default=BEGINNING)
