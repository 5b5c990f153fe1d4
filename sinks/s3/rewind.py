"""Moves the offset at which an S3 sink goes on, on purpose; docs/s3-sink.md has the steps."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sinks.files.contents import FileLayout
from sinks.files.layout import Layout
from sinks.files.rewind import Plan
from sinks.files.stored import StoredFile, files_of_any_format
from sinks.s3.chain import BEGINNING, Place
from sinks.s3.merges import Merges
from sinks.s3.objects import ObjectStore
from sinks.s3.ownership import Ownership, Rewind, aside_folder, partition_chain
from worker.errors import Fatal, Fenced
from worker.retry import Retry

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class S3Rewind:
    """Moves the offset of one partition. others: what the files of other sinks in the data folder look like."""

    store: ObjectStore
    layout: Layout
    files: FileLayout
    others: Sequence[FileLayout] = ()

    def plan(self, to: int) -> Plan:
        """What moving to an offset would do; changes nothing.

        A file is replaced as a whole, so one that holds the offset in its middle moves the offset to its beginning.
        Raises Retriable when the store is away.
        """
        files, unknown = files_of_any_format(self.store, self.layout, self.files, self.others)
        while beginnings := [file.first for file in files if file.first < to <= file.last]:
            to = min(beginnings)
        replaced = [file for file in files if file.last >= to]
        end = partition_chain(self.store, self.layout).look().end
        return Plan(None if end == BEGINNING else end.number, to, replaced, unknown, growing=[])

    def carry_out(self, plan: Plan, retry: Retry, *, skip: bool = False) -> str:
        """Does what was planned; returns the folder of the files replaced. skip: records may be left out."""
        generation = retry.run(partition_chain(self.store, self.layout).walk()).end.generation
        while True:
            try:
                return self._move(plan, generation, retry, skip=skip)
            except Fenced as fenced:
                logger.info("%s; takes over again", fenced)

    def _move(self, plan: Plan, generation: int, retry: Retry, *, skip: bool) -> str:
        merges = Merges(self.store, self.layout)
        lost_from = 0 if skip else plan.to
        retry.run(merges.take_over(lost_from=lost_from))
        retry.run(merges.hold(generation))
        # From here on no file is merged. What the sink stores meanwhile begins behind all that is published now.
        owner = Ownership(self.store, self.layout, self.files)
        # Without a checkpoint: should this command die before its entry is there, lost uploads must still be noticed.
        end = retry.run(owner.publish(lost_from=lost_from)).end
        files = retry("listing files", partial(files_of_any_format, self.store, self.layout, self.files))[0]
        rewind = Rewind(uuid.uuid4().hex, plan.to)
        while True:
            if wrong := self._wrong(plan, files, end, generation, skip=skip):
                retry.run(merges.release())
                raise Fatal(f"{self.layout.partition}: {wrong}; nothing was done")
            try:
                retry.run(owner.chain.put(end, rewind))
            except Fenced:  # the sink has stored something
                end = retry.run(owner.chain.walk()).end
            else:
                break
        # It puts the files aside; a sink that takes over now does the same.
        retry.run(Ownership(self.store, self.layout, self.files).take_over())
        retry.run(merges.release())
        return aside_folder(self.layout, rewind)

    @staticmethod
    def _wrong(plan: Plan, files: Sequence[StoredFile], end: Place, generation: int, *, skip: bool) -> str:
        """Why the plan can't be carried out any more; empty when it can."""
        if end.generation != generation:
            return "another command has moved the offset meanwhile"
        if any(file.first < plan.to <= file.last for file in files):
            return f"the files have changed: one holds offset {plan.to} in its middle now"
        is_skipping = plan.to > (plan.now or 0)
        if (plan.to > end.number and not skip) or (is_skipping and end.number > plan.to):
            return f"the sink goes on at offset {end.number} now"
        return ""
