"""Finds the file of a record among the names of a folder, of which a store lists about a thousand at a time."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.kafka_reads import MAX_OFFSET
from sinks.files.naming import FileNames
from sinks.files.store import FileStatus
from sinks.records import Partition

Listing = Callable[[str], tuple[list[FileStatus], int]]
"""The entries of a folder by name after a name, as many as the store gives at once, and how many follow."""

_LISTINGS = 50
"""So many listings one look-up reads; where names are in no order, the next one goes on there."""


@dataclass(frozen=True)
class LookUp:
    """What a look-up came to.

    names: of the partition's files that begin at the offset or before it, the last ones, in order. looked: how many
    names were looked at. after: the last of them where more follow and were not looked at, else None.
    """

    names: list[str]
    looked: int
    after: str | None = None


def look_up(listing: Listing, names: FileNames, partition: Partition, offset: int, *, after: str = "") -> LookUp:
    """Looks for the file that holds an offset: it is the last of the answer, if any is.

    after: where an earlier look-up ended. Raises what `listing` does.
    """
    if names.head(partition, offset) is None:
        return _one_by_one(listing, names, partition, offset, after)
    return _by_halves(listing, names, partition, offset)


def newest(listing: Listing, names: FileNames, partition: Partition, count: int) -> list[str]:
    """The names of a partition's newest files, in order: `count`, or fewer. Raises what `listing` does."""
    found = look_up(listing, names, partition, MAX_OFFSET).names
    read = names.read(found[-1]) if found else None
    if read is None or len(found) >= count:
        return found[-count:]
    # The last listing happened to begin just before the end: a second look begins where as many files may lie.
    _, start, end = read
    entries, _left = listing(names.head(partition, max(0, start - count * (end - start + 1))) or "")
    own = [name for *_, name in _own(entries, names, partition, MAX_OFFSET)]
    return (own if found[-1] in own else found)[-count:]


def _one_by_one(listing: Listing, names: FileNames, partition: Partition, offset: int, after: str) -> LookUp:
    looked = 0
    for _ in range(_LISTINGS):
        entries, left = listing(after)
        looked += len(entries)
        if holders := [name for _, end, name in _own(entries, names, partition, offset) if offset <= end]:
            return LookUp(holders[:1], looked)
        if not left or not entries:
            return LookUp([], looked)
        after = entries[-1].name
    return LookUp([], looked, after)


def _by_halves(listing: Listing, names: FileNames, partition: Partition, offset: int) -> LookUp:
    """The names of a partition's files are in the order of their offsets, so most of them need not be looked at."""
    found: list[str] = []
    behind = names.head(partition, offset + 1) or ""
    # The files that are not known begin at `low` or later, and before `high`.
    low, high, step, looked = 0, offset + 1, 1, 0
    probe, after = 0, names.head(partition, 0) or ""
    for _ in range(_LISTINGS):
        entries, left = listing(after)
        looked += len(entries)
        own = _own(entries, names, partition, offset)
        has_all = not left or not entries or entries[-1].name >= behind
        if own:
            found, low = [name for *_, name in own], own[-1][0] + 1
            step = max(step, 2 * (low - probe))
        if has_all and own:
            return LookUp(found, looked)
        if not has_all and not own:  # names of others lie between
            after = entries[-1].name
            continue
        if has_all:
            high = probe
        if low >= high:
            break
        probe = min((low + high) // 2, low + step)
        step *= 2
        after = names.head(partition, probe) or ""
    return LookUp(found, looked)


def _own(entries: list[FileStatus], names: FileNames, partition: Partition, offset: int) -> list[tuple[int, int, str]]:
    """First offset, last offset and name of the partition's files that begin at the offset or before it."""
    found = []
    for entry in entries:
        read = None if entry.is_folder else names.read(entry.name)
        if read is not None and read[0] == partition and read[1] <= offset:
            found.append((read[1], read[2], entry.name))
    return found
