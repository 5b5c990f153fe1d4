"""Moves the offset at which a sink goes on, on purpose: back, to store records again, or forward, to leave some out.

docs/exactly-once.md has the steps.
"""

import logging
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sinks.files.contents import FileLayout
from sinks.files.layout import Layout, record_end
from sinks.files.merges import Merges, entries
from sinks.files.ownership import Ownership
from sinks.files.recovery import commit_records
from sinks.files.rewind_marks import RewindMarks, describe, mark_offset, new_mark
from sinks.files.store import FileStore
from sinks.files.stored import StoredFile, files_of_any_format, newest_open_files
from worker.errors import Fatal, Fenced, Retriable
from worker.retry import Retry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What a rewind would do.

    now: the offset at which the sink would go on otherwise, None when nothing is stored yet; to: where it will go on;
    replaced: the files that are moved away; unknown: paths of files that stay, since their names have no offsets;
    growing: paths of files that are still open, which are closed before anything is moved (append mode).
    """

    now: int | None
    to: int
    replaced: list[StoredFile]
    unknown: list[str]
    growing: list[str]


@dataclass(frozen=True)
class Rewind:
    """Moves the offset of one partition. others: what the files of other sinks in the data folder look like."""

    client: FileStore
    layout: Layout
    files: FileLayout
    others: Sequence[FileLayout] = ()

    @property
    def _marks(self) -> RewindMarks:
        return RewindMarks(self.client, self.layout)

    def plan(self, to: int) -> Plan:
        """What moving to an offset would do; changes nothing.

        A file is replaced as a whole, so one that holds the offset in its middle moves the offset to its beginning.
        Raises Fatal while a rewind to another offset is unfinished, Retriable.
        """
        unfinished = self._unfinished(self._marks.under_way(), to)
        files, unknown = self._stored()
        while not unfinished and (beginnings := [file.first for file in files if file.first < to <= file.last]):
            to = min(beginnings)
        replaced = [file for file in files if file.last >= to]
        growing = [f"{self.layout.data}/{file.path}" for file in newest_open_files(self.client, self.layout)]
        newest = max(map(posixpath.basename, commit_records(self.client, self.layout)), default=None)
        return Plan(record_end(newest) + 1 if newest else None, to, replaced, unknown, growing)

    def carry_out(self, plan: Plan, retry: Retry, *, skip: bool = False) -> str:
        """Does what was planned; returns the folder of the files replaced. skip: records may be left out."""
        self._finish_merges(retry)
        under_way = retry("looking for rewinds", self._marks.under_way)
        mark = self._unfinished(under_way, plan.to) or new_mark(plan.to)
        retry("marking the rewind", lambda: self._marks.begin(mark))
        replaced = f"{self.layout.replaced}/{mark}"
        while True:
            try:
                self._move(mark, plan, replaced, retry, skip=skip)
            except Fenced as fenced:
                logger.info("%s; takes over again", fenced)  # the sink waits when it has seen the mark
            else:
                break
        retry("ending the rewind", lambda: self._marks.finish(mark))
        return replaced

    def _finish_merges(self, retry: Retry) -> None:
        """Done before the mark is made: the sink waits while there is one, and a merge may be impossible to finish."""
        merges = Merges(self.client, self.layout)
        while retry("looking for merges", lambda: any(entries(self.client, self.layout))):
            try:
                retry.run(merges.take_over())
            except Fenced as fenced:
                logger.info("%s; takes over again", fenced)
            else:
                retry.run(merges.leave())

    def _unfinished(self, marks: list[str], to: int) -> str | None:
        """The mark that goes to an offset, None when there is no mark. Raises Fatal when there are only others."""
        for mark in marks:
            if mark_offset(mark) == to:
                return mark
        if marks:
            raise Fatal(f"{describe(marks[0])} is unfinished: finish it first, by the same command with that offset")
        return None

    def _move(self, mark: str, plan: Plan, replaced: str, retry: Retry, *, skip: bool) -> None:
        # No compaction can join files any more: those that begin later see the mark.
        merges = Merges(self.client, self.layout)
        retry.run(merges.take_over())
        ownership = Ownership(self.client, self.layout)
        now = retry.run(ownership.take_over()) or 0
        files = [file for file in retry("listing files", self._stored)[0] if file.last >= plan.to]
        targets = {file: replaced + file.path.removeprefix(self.layout.data) for file in files}
        for folder in {posixpath.dirname(target) for target in targets.values()}:
            retry("making folders", partial(self.client.make_folders, folder))
        # The listed files were stored before the take-over, so only these are moved, whatever happens from here on.
        self._prove(mark, ownership, retry)
        # Both checks can fail only when no earlier run of this rewind has moved a file, so the mark can be removed.
        wrong = ""
        if any(file.first < plan.to for file in files):
            wrong = f"the files have changed: one holds offset {plan.to} in its middle now"
        elif plan.to > now and not (skip and now >= (plan.now or 0)):
            wrong = f"the sink goes on at offset {now} now: records would be left out"
        if wrong:
            retry("removing the mark", lambda: self._marks.drop(mark))
            raise Fatal(f"{self.layout.partition}: {wrong}; nothing was done")
        for file, target in targets.items():
            retry(f"moving {file.path}", partial(self._put_aside, file, target))
        retry.run(ownership.move_to(plan.to))
        retry.run(merges.leave())

    def _prove(self, mark: str, ownership: Ownership, retry: Retry) -> None:
        retry.run(ownership.prove())
        if mark not in retry("looking for rewinds", self._marks.under_way):
            raise Fatal(f"{self.layout.partition}: another command has finished this rewind")

    def _put_aside(self, file: StoredFile, target: str) -> None:
        if self.client.rename(file.path, target) or not self.client.exists(file.path):
            return
        # Another one of that name, stored after this rewind was finished by another command, is left alone.
        if not self.client.exists(target):
            raise Retriable(f"the store refuses to move {file.path}")

    def _stored(self) -> tuple[list[StoredFile], list[str]]:
        return files_of_any_format(self.client, self.layout, self.files, self.others)
