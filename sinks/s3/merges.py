"""Puts one file in the place of several, crash-safe, with a chain of its own as the lock and the log of a partition.

A merge is an entry that names the originals and the upload of the merged file. Whoever finds it deletes the originals,
then publishes the merged file; both may be done again by anyone, for no name of a file is ever given twice (see
FileNames). Between the two steps the records are out of readers' sight. Only files below the newest checkpoint of the
partition's own chain are merged: nobody can publish one of these again.
"""

import logging
import posixpath
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import inf

import msgspec

from kafka_client.structs import ready
from sinks.files.compaction import groups, merged_content, read_whole
from sinks.files.contents import FileLayout
from sinks.files.layout import Layout
from sinks.files.stored import StoredFile, stored_files
from sinks.records import Partition
from sinks.s3.chain import BEGINNING, Chain, Place
from sinks.s3.objects import ObjectStore, Upload
from sinks.s3.ownership import partition_chain, partition_folder
from worker.errors import Fatal, Fenced
from worker.retry import Retry, attempt

logger = logging.getLogger(__name__)


@ready
class Merge(msgspec.Struct, frozen=True, tag=True):
    """The files `originals`, with records from the offset `first` on, become the one of the upload."""

    id: str
    first: int
    originals: tuple[str, ...]
    upload: Upload

    def follows(self, place: Place) -> Place:
        """The next number."""
        return Place(0, place.number + 1)


@ready
class Hold(msgspec.Struct, frozen=True, tag=True):
    """A rewind keeps the files of a generation as they are, until the partition is in a later generation."""

    id: str
    generation: int

    def follows(self, place: Place) -> Place:
        """The next number."""
        return Place(0, place.number + 1)


_DECODER = msgspec.json.Decoder(Merge | Hold)


class Merges:
    """The merges of one partition, from a take-over until another one fences it.

    Each method may raise Fenced, Cancelled and Fatal.
    """

    def __init__(self, store: ObjectStore, layout: Layout) -> None:
        self._store = store
        self._layout = layout
        self._records = partition_chain(store, layout)
        self.chain: Chain[Merge | Hold] = Chain(store, f"{partition_folder(layout)}/merges", _DECODER.decode)
        self._end = BEGINNING

    async def take_over(self, *, lost_from: float = inf) -> bool:
        """Finishes what others have begun; returns whether files may be merged: a rewind may hold them.

        lost_from: the first of the offsets that an operator is about to have stored again, or left out; merged files
        with them need not be there any more.
        """
        walk = await self.chain.walk()
        self._end = walk.end
        for place, entry in walk.entries:
            if isinstance(entry, Merge):
                await self._finish(place, entry, lost_from=lost_from)
        generation = (await self.checkpoint()).generation
        entries = ((place, entry) for place, entry in walk.entries if isinstance(entry, Hold))
        held = [place for place, hold in entries if hold.generation >= generation]
        await self._done(held[0] if held else self._end, walk.checkpoint)
        return not held

    async def checkpoint(self) -> Place:
        """The place of the partition's own chain below which files are published, and those of operators."""
        return await attempt("reading the newest checkpoint", self._records.newest_checkpoint)

    async def replace(self, originals: tuple[str, ...], first: int, path: str, content: bytes) -> None:
        """Puts a file in the place of others of its folder. first: its first offset."""
        upload = await attempt(f"uploading {path}", lambda: self._store.upload(path, content))
        merge = Merge(uuid.uuid4().hex, first, originals, upload)
        try:
            await self.chain.put(self._end, merge)
        except Fenced:
            await attempt(f"removing the upload of {path}", lambda: self._store.abandon(upload))
            raise
        await self._finish(self._end, merge)
        before, self._end = self._end, merge.follows(self._end)
        await self._done(self._end, before)

    async def hold(self, generation: int) -> None:
        """Lets nobody merge files before the partition is in a later generation than this one."""
        hold = Hold(uuid.uuid4().hex, generation)
        await self.chain.put(self._end, hold)
        self._end = hold.follows(self._end)

    async def release(self) -> None:
        """Lets others merge again."""
        await self._done(self._end, BEGINNING)

    async def _done(self, end: Place, checkpoint: Place) -> None:
        """All below `end` is done; the newest checkpoint was this one."""
        if end != checkpoint:
            await self.chain.check_point(end)
        await self.chain.clean(end)

    async def _finish(self, place: Place, merge: Merge, *, lost_from: float = inf) -> None:
        for path in merge.originals:
            await attempt(f"deleting {path}", partial(self._store.delete, path))
        is_replaced = merge.first >= lost_from
        await attempt(f"publishing {merge.upload.path}", lambda: self._publish(place, merge, is_replaced))

    def _publish(self, place: Place, merge: Merge, is_replaced: bool) -> None:
        path = merge.upload.path
        if self._store.publish(merge.upload) or self._store.exists(path):
            return
        if is_replaced:
            logger.warning("%s is left out: neither it nor its upload is there", path)
            return
        if self.chain.is_done(place):
            raise Fenced(f"{self._layout.partition}: another compaction has finished {path}")
        raise Fatal(
            f"{path} took the place of other files, but neither it nor its upload is there: was the upload removed as "
            f"an old one? To store its records again, rewind the sink to offset {merge.first} (docs/s3-sink.md)"
        )


@dataclass(frozen=True)
class S3Compaction:
    """Compacts the files of one sink; the fields are those of sinks.files.compaction.Compaction."""

    store: ObjectStore
    path: str
    sink: str
    files: FileLayout
    target: int
    retry: Retry

    def run(self, topic: str, *, folders: Iterable[str] = ("",), before: float) -> Iterator[str]:
        """See sinks.files.compaction.Compaction."""
        folders = list(folders)
        for folder in filter(None, folders):
            if not self.retry("looking for folders", partial(self.store.names, f"{self.path}/{folder}")):
                raise Fatal(f"there is no folder {self.path}/{folder}")
        names = self.retry("looking for partitions", partial(self.store.names, self._layout(topic, 0).topic))
        for number in sorted(int(name) for name in names if name.isdigit()):
            yield from self._compact(self._layout(topic, number), folders, before)

    def _compact(self, layout: Layout, folders: Iterable[str], before: float) -> Iterator[str]:
        merges, topic = Merges(self.store, layout), layout.partition.topic
        if not self.retry.run(merges.take_over()):
            told = "a rewind is under way; left as it is. If its command was interrupted, run it again"
            yield f"{layout.partition}: {told}"
            return
        checkpoint = self.retry.run(merges.checkpoint())
        files = replace(self.files, names=self.files.names.of_generation(checkpoint.generation))
        flat = files.folders.is_flat
        for folder in folders:
            # Listed after the take-over and the checkpoint: nobody else merges them, nobody can publish one again.
            list_files = partial(stored_files, self.store, self.path, files, below=folder)
            listed = [file for file in self.retry("listing files", list_files) if file.partition.topic == topic]
            busy = {file.folder for file in listed if not flat and file.modified >= before}
            quiet = [file for file in listed if file.partition == layout.partition and file.folder not in busy]
            done = [file for file in quiet if file.last < checkpoint.number]
            for group in groups(done, target=self.target, before=before, flat=flat):
                yield self._merge(merges, files, group)

    def _layout(self, topic: str, number: int) -> Layout:
        return Layout(self.path, self.sink, Partition(topic, number))

    def _merge(self, merges: Merges, files: FileLayout, group: list[StoredFile]) -> str:
        name = files.names.make(group[0].partition, group[0].first, group[-1].last)
        path = f"{posixpath.dirname(group[0].path)}/{name}"
        try:
            merged = merged_content(files, group, partial(read_whole, self.store, self.retry))
        except ValueError as error:
            return f"{path}: left as it is: {error}"
        originals = tuple(file.path for file in group)
        self.retry.run(merges.replace(originals, group[0].first, path, merged.content))
        return f"{path}: {merged.told}"
