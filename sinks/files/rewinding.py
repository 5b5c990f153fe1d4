"""A rewind of files, for people: what it would do, and what it has done."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from sinks.files.rewind import Plan
from sinks.records import Partition
from worker.errors import Retriable
from worker.retry import Retry


class Rewinds(Protocol):
    """Moves the offset at which a sink reads a partition on; see sinks.files.rewind."""

    def plan(self, to: int) -> Plan:
        """What moving to an offset would do; changes nothing. Raises Retriable, Fatal."""

    def carry_out(self, plan: Plan, retry: Retry, *, skip: bool = False) -> str:
        """Does what was planned; returns the folder of the files replaced. skip: records may be left out."""


class FilesRewinding:
    """The rewind of one partition. asked: the offset; is_compacted: whether Kafka compacts a topic."""

    def __init__(self, rewind: Rewinds, partition: Partition, asked: int, is_compacted: Callable[[str], bool]) -> None:
        self._rewind = rewind
        self._partition = partition
        self._plan = plan = rewind.plan(asked)
        self.to = plan.to
        self.leaves_out = plan.to > (plan.now or 0)
        self.told: Sequence[str] = [*_told(partition, asked, plan), *_lost(partition, plan, is_compacted)]

    def carry_out(self, retry: Retry, *, skip: bool) -> str:
        """Moves files, and the offset."""
        replaced = self._rewind.carry_out(self._plan, retry, skip=skip)
        done = f"{self._partition}: goes on at offset {self.to}; files that were replaced lie in {replaced}"
        return f"{done}\nA sink that is running notices with its next file, or is restarted to begin there at once."


def _lost(partition: Partition, plan: Plan, is_compacted: Callable[[str], bool]) -> Iterator[str]:
    """What to know of files whose records Kafka has compacted since they were written."""
    try:
        if plan.replaced and is_compacted(partition.topic):
            which = "records of these files that Kafka has removed since, for newer ones of their keys"
            yield f"{partition.topic} is compacted: {which}, are not stored again"
    except Retriable as error:
        yield f"whether Kafka compacts {partition.topic} is not known: {error}"


def _told(partition: Partition, asked: int, plan: Plan) -> list[str]:
    now = "the beginning" if plan.now is None else f"offset {plan.now}"
    lines = [f"{partition}: up to now the sink goes on at {now}"]
    if plan.to < asked:
        lines.append(f"offset {asked} is in the middle of a file, which is replaced as a whole: from offset {plan.to}")
    if plan.replaced:
        what = f"{len(plan.replaced)} with offsets {plan.to} to {max(file.last for file in plan.replaced)}"
        lines.append(f"files that would be moved out of sight, {what}; what Kafka has of them is stored again:")
        lines += [f"  {file.path}" for file in plan.replaced]
    if plan.growing:
        lines.append("files that are still open, which are closed first and replaced when they hold such records:")
        lines += [f"  {path}" for path in plan.growing]
    if plan.replaced and plan.unknown:
        lines.append(
            f"files with names that no sink of this folder gives, {len(plan.unknown)}, stay; if they hold such "
            f"records, move them away, or these will be there twice: {plan.unknown[0]}"
        )
    if plan.to > (plan.now or 0):
        what = f"offsets {plan.now or 0} to {plan.to - 1} would be left out"
        lines.append(f"{what}: in no file, a gap that `manage.py verify` reports as long as Kafka has them")
    return lines
