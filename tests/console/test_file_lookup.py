"""A record's file is found among the names of a folder without listing all of them."""

import random
from dataclasses import dataclass, field

import pytest

from pipeline.console.files.lookup import look_up, newest
from sinks.files.naming import FileNames
from sinks.files.store import FileStatus
from sinks.records import Partition

AT_ONCE = 10
"""Entries of a listing; real stores give a thousand."""

TEMPLATES = (
    "{topic}-{partition}-{start}-{end}.{ext}",
    "{start}-{end}-{topic}-{partition}.{ext}",
    "{partition}.{start}~{topic}~{end}",
)


@dataclass
class Folder:
    """A store's folder. asked: how many listings were asked for."""

    names: list[str]
    asked: int = field(default=0, init=False)

    def listing(self, after: str) -> tuple[list[FileStatus], int]:
        self.asked += 1
        found = [name for name in sorted(self.names) if name > after]
        entries = [FileStatus(name, name.endswith("/"), 1, 0, "hdfs", 1) for name in found[:AT_ONCE]]
        return entries, len(found) - len(entries)


def stored(chance: random.Random, files: int) -> list[tuple[int, int]]:
    """First and last offset of a partition's files, with gaps between them."""
    places, offset = [], chance.choice([0, 5, 1_000_000])
    for _ in range(files):
        offset += chance.choice([0, 0, 0, 3, 5000])
        end = offset + chance.choice([0, 9, 99, 100_000])
        places.append((offset, end))
        offset = end + 1
    return places


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_file_of_any_offset_is_found(template: str) -> None:
    names = FileNames(template, "log")
    partitions = [Partition("t", number) for number in (0, 1, 11)]
    for seed in range(60):
        chance = random.Random(seed)
        places = {one: stored(chance, chance.choice([0, 1, 3, 30, 90])) for one in partitions}
        made = [names.make(one, *place) for one, part in places.items() for place in part]
        folder = Folder([*made, "_hidden/", "zzz", "0", "t-1-00000000000000000007.open"])
        for partition, known in places.items():
            for first, last in chance.sample(known, min(5, len(known))):
                for offset in {first, last}:
                    assert last_found(folder, names, partition, offset) == names.make(partition, first, last)


def test_where_names_are_in_order_the_newest_file_before_an_offset_is_found() -> None:
    names = FileNames(TEMPLATES[0], "log")
    partition = Partition("t", 1)
    for seed in range(60):
        chance = random.Random(seed)
        known = stored(chance, chance.choice([0, 1, 3, 30, 90]))
        folder = Folder([names.make(partition, *place) for place in known])
        for offset in (0, 2**63 - 1, *(last + 1 for _, last in known[::7])):
            newest = max((place for place in known if place[0] <= offset), default=None)
            assert last_found(folder, names, partition, offset) == (newest and names.make(partition, *newest))


def test_the_newest_files_are_as_many_as_were_asked_for() -> None:
    names = FileNames(TEMPLATES[0], "log")
    partition = Partition("t", 1)
    for files in range(60):
        made = [names.make(partition, 10 * number, 10 * number + 9) for number in range(files)]
        folder = Folder([*made, names.make(Partition("t", 2), 0, 9)])
        assert newest(folder.listing, names, partition, 5) == made[-5:], files


def last_found(folder: Folder, names: FileNames, partition: Partition, offset: int) -> str | None:
    """The last name that a look-up, and those that go on where it ended, comes to."""
    found = look_up(folder.listing, names, partition, offset)
    while found.after is not None:
        found = look_up(folder.listing, names, partition, offset, after=found.after)
    return found.names[-1] if found.names else None


def test_few_listings_are_asked_for_among_many_names() -> None:
    names = FileNames(TEMPLATES[0], "log")
    made = [names.make(Partition("t", part), first, first + 99) for part in (0, 1) for first in range(0, 500_000, 100)]
    for offset in (0, 123_456, 499_999, 2**63 - 1):
        folder = Folder(made)
        found = look_up(folder.listing, names, Partition("t", 1), offset)
        first = min(offset, 499_999) // 100 * 100
        assert found.names[-1] == names.make(Partition("t", 1), first, first + 99)
        assert folder.asked < 25, "of 1,000 listings in all"


def test_names_in_another_order_are_looked_at_one_by_one_and_further_on_request() -> None:
    names = FileNames("{topic}-{partition}-{end}-{start}", "")
    partition = Partition("t", 0)
    folder = Folder([names.make(partition, first, first + 9) for first in range(0, 10_000, 10)])
    found = look_up(folder.listing, names, partition, 7_005)
    assert (found.names, found.looked) == ([], 500)
    assert found.after == names.make(partition, 4_990, 4_999)
    assert look_up(folder.listing, names, partition, 7_005, after=found.after).names == [
        names.make(partition, 7_000, 7_009)
    ]
