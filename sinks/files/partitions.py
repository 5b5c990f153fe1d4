"""A partition that stores files: whole ones (flush mode), or growing ones that are closed when due (append mode)."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sinks.files.config import GrowingFilesTarget
from sinks.files.contents import FileLayout, Part
from sinks.files.layout import OpenFile
from sinks.files.ownership import Ownership
from sinks.files.store import Content
from sinks.records import Batch, Partition, Rejected
from worker.errors import Fatal
from worker.retry import attempt


class CommitsFiles(Protocol):
    """The owner of a partition, which commits files by the protocol of its store."""

    async def store(self, files: Mapping[str, Callable[[], Content]], first_offset: int, last_offset: int) -> None:
        """Commits files, all or none; when it returns they are at their places. Raises Fenced, Fatal and Cancelled.

        files: path below the data folder -> gives the content, none for offsets without records to store.
        """


@dataclass(eq=False)
class FlushPartition:
    """A partition that this process owns, each batch of which is stored in files of its own (flush mode).

    check_identity: raises Fatal when the topic is not the one that was opened; published: is told how many files were.
    """

    ownership: CommitsFiles
    resume_at: int | None
    files: FileLayout
    check_identity: Callable[[], None]
    published: Callable[[int], None]

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Stores each batch as one file in each folder; all of them appear or none. Refuses no record."""
        files: dict[str, Callable[[], Content]] = {}
        for batch in batches:
            for path, content in self.files.of(batch):
                if path in files:
                    raise Fatal(f"two files would have the name {path}; nothing was stored")
                files[path] = content
        # Checked after the records were read, so that they are records of the topic that has this id.
        await attempt("checking the topic's identity", self.check_identity)
        await self.ownership.store(files, batches[0].first_offset, batches[-1].last_offset)
        self.published(len(files))
        return []

    async def rest(self, *, leaving: bool) -> None:
        """Its files are all closed."""


@dataclass(frozen=True)
class _Growing:
    """An open file with what its limits need. opened_at: monotonic seconds."""

    file: OpenFile
    start: int
    records: int
    opened_at: float

    def is_due(self, target: GrowingFilesTarget, now: float) -> bool:
        is_full = self.records >= target.roll_records or self.file.length >= target.roll_bytes
        return is_full or now - self.opened_at >= target.roll_seconds


@dataclass(eq=False)
class AppendPartition(FlushPartition):
    """A partition that this process owns, whose records go into one growing file in each folder (append mode).

    target: tells when a file is closed, and how many of the partition stay open; clock: monotonic seconds.
    """

    ownership: Ownership
    partition: Partition
    target: GrowingFilesTarget
    clock: Callable[[], float] = time.monotonic
    _open: dict[str, _Growing] = field(default_factory=dict)  # by folder, the one written last at the end

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Appends to the open file of each folder, or begins one; then commits all of it or nothing."""
        parts: dict[str, list[Part]] = {}
        for batch in batches:
            for part in self.files.parts(batch):
                parts.setdefault(part.folder, []).append(part)
        # Checked after the records were read, so that they are records of the topic that has this id.
        await attempt("checking the topic's identity", self.check_identity)
        # Unless all of this works there is no open file that may be closed as it is: the next take-over cuts them.
        growing, self._open = self._open, {}
        new: dict[str, Callable[[], Content]] = {}
        for folder, of_folder in parts.items():
            content = partial(self.files.format.encode, [line for part in of_folder for line in part.lines])
            before = growing.pop(folder, None)
            after = growing[folder] = self._grown(before, of_folder, len(content()))
            if before is None:
                new[after.file.path] = content
            else:
                await self.ownership.append(before.file, content())
        open_files = [each.file for each in growing.values()]
        await self.ownership.store(new, batches[0].first_offset, batches[-1].last_offset, open_files)
        self._open = growing
        await self._close_due()
        return []

    async def rest(self, *, leaving: bool) -> None:
        """Closes the files that are due, all of them when leaving."""
        await self._close_due(everything=leaving)

    def _grown(self, before: _Growing | None, parts: Sequence[Part], added: int) -> _Growing:
        folder, last = parts[-1].folder, parts[-1].last
        start = before.start if before else parts[0].first
        file = OpenFile(
            path=folder + self.files.names.make_open(self.partition, start, self.ownership.generation),
            final=folder + self.files.names.make(self.partition, start, last),
            length=(before.file.length if before else 0) + added,
        )
        records = (before.records if before else 0) + sum(part.records for part in parts)
        return _Growing(file, start, records, before.opened_at if before else self.clock())

    async def _close_due(self, *, everything: bool = False) -> None:
        now = self.clock()
        surplus = len(self._open) - self.target.open_files
        for place, (folder, growing) in enumerate(list(self._open.items())):
            if everything or place < surplus or growing.is_due(self.target, now):
                await self.ownership.close(growing.file)
                del self._open[folder]
                self.published(1)
