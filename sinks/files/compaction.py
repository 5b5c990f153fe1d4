"""Merges the small files of a sink into large ones."""

import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import NamedTuple

from sinks.files.contents import FileLayout
from sinks.files.formats import Tally
from sinks.files.layout import Layout
from sinks.files.merges import Merge, Merges
from sinks.files.recovery import told_of
from sinks.files.rewind_marks import RewindMarks
from sinks.files.store import FileReads, FileStore
from sinks.files.stored import StoredFile, stored_files
from sinks.records import Partition
from worker.errors import Fatal, Retriable
from worker.retry import Retry


@dataclass(frozen=True)
class Compaction:
    """Compacts the files of one sink.

    path: its data folder; target: about how many bytes a merged file has; files of half as many are large enough.
    """

    client: FileStore
    path: str
    sink: str
    files: FileLayout
    target: int
    retry: Retry

    def run(self, topic: str, *, folders: Iterable[str] = ("",), before: float) -> Iterator[str]:
        """Merges the files of a topic and yields a line on each merged file.

        folders: only what lies in these or below; before: what was written after this time (seconds since 1970) is left
        alone, and so is, where records go into folders, the whole folder that it lies in. Raises Fenced when another
        compaction began meanwhile, Fatal, also when a folder is not there.
        """
        folders = list(folders)
        for folder in filter(None, folders):
            self.retry("looking for folders", partial(self._check_folder, f"{self.path}/{folder}"))
        merges = Merges(self.client, Layout(self.path, self.sink, Partition(topic, 0)))
        self.retry.run(merges.take_over())
        flat = self.files.folders.is_flat
        for folder in folders:
            list_files = partial(stored_files, self.client, self.path, self.files, below=folder)
            found = [file for file in self.retry("listing files", list_files) if file.partition.topic == topic]
            busy = {file.folder for file in found if not flat and file.modified >= before}
            closed = (file for file in found if file.folder not in busy)
            for partition, files in groupby(closed, key=lambda file: file.partition):
                small = partial(groups, list(files), target=self.target, before=before, flat=flat)
                if not any(small()):
                    continue
                layout = Layout(self.path, self.sink, partition)
                # Looked for after the take-over: a rewind that begins later fences this compaction.
                if self.retry("looking for rewinds", RewindMarks(self.client, layout).under_way):
                    yield f"{partition}: a rewind is under way; left as it is"
                    continue
                # Looked for after the listing: a file with its final name is not in a later commit record as open.
                still_open = self.retry("looking for open files", partial(told_of, self.client, layout))
                for group in small(left_alone={f"{self.path}/{path}" for path in still_open}):
                    yield self._merge(merges, group)
        self.retry.run(merges.leave())

    def _check_folder(self, path: str) -> None:
        parent, _, name = path.rpartition("/")
        if name not in self.client.names(parent) or name in self.client.lengths(parent):
            raise Fatal(f"there is no folder {path}")

    def _merge(self, merges: Merges, group: list[StoredFile]) -> str:
        format_ = self.files.format
        name = self.files.names.make(group[0].partition, group[0].first, group[-1].last)
        folder = posixpath.dirname(group[0].path)
        try:
            merged = merged_content(self.files, group, partial(read_whole, self.client, self.retry))
        except ValueError as error:
            return f"{folder}/{name}: left as it is: {error}"
        originals = tuple(posixpath.basename(file.path) for file in group)
        merge = Merge(folder=folder, name=name, originals=originals, joins=format_.nothing is not None)
        self.retry.run(merges.replace(merge, merged.content, nothing=format_.nothing))
        return f"{folder}/{name}: {merged.told}"


class Merged(NamedTuple):
    """The content of a file that takes the place of others. told: what was merged, for people."""

    content: bytes
    told: str


def merged_content(files: FileLayout, group: Sequence[StoredFile], read: Callable[[StoredFile], bytes]) -> Merged:
    """What the files of a group become. Raises ValueError where they can't become one, Fatal where records are lost."""
    before, after = Tally(), Tally()

    def contents() -> Iterator[bytes]:
        for file in group:
            data = read(file)
            files.format.tally(data, before)
            yield data

    pieces = list(files.format.merge(contents()))
    for piece in pieces:
        files.format.tally(piece, after)
    if before != after:
        what = f"{group[0].path} to {group[-1].path}: the merged file"
        raise Fatal(f"{what} would have {after.records} records, its files have {before.records}")
    content = b"".join(pieces)
    length = sum(file.length for file in group)
    told = f"{after.records} records of {len(group)} files, {length} bytes before, {len(content)} now"
    return Merged(content, told)


def read_whole(client: FileReads, retry: Retry, file: StoredFile) -> bytes:
    """The content of a listed file."""

    def read() -> bytes:
        data = client.read(file.path)
        if len(data) != file.length:  # a connection that breaks looks like the end
            raise Retriable(f"{file.path} has {file.length} bytes, {len(data)} were read")
        return data

    return retry(f"reading {file.path}", read)


def groups(
    files: Iterable[StoredFile], *, target: int, before: float, flat: bool, left_alone: Collection[str] = ()
) -> Iterator[list[StoredFile]]:
    """The files that are to become one: small neighbours of one folder, `target` bytes together at most.

    files: of one partition; before, flat: see Compaction.run; left_alone: paths. In a flat folder neighbours are
    consecutive, so that no name covers offsets that are in no file.
    """
    for _, in_folder in groupby(sorted(files, key=lambda file: (file.folder, file)), key=lambda file: file.folder):
        run: list[StoredFile] = []
        size = 0
        for file in in_folder:
            is_small = file.length < target / 2 and file.modified < before and file.path not in left_alone
            follows = not run or (file.first == run[-1].last + 1 if flat else file.first > run[-1].last)
            if run and not (is_small and follows and size + file.length <= target):
                if len(run) > 1:
                    yield run
                run, size = [], 0
            if is_small:
                run.append(file)
                size += file.length
        if len(run) > 1:
            yield run
