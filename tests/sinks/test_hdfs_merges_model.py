"""Compaction and rewinding under every crash and under random schedules beside sinks of both modes; see schedules.py.

Each record must be visible once in the end, never twice, and, where files can be joined, never out of sight on the way.
"""

import logging
import posixpath
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

import pytest
from django.test import override_settings

from sinks import registry as sinks_registry
from sinks.files import recovery
from sinks.files.compaction import Compaction
from sinks.files.contents import FileLayout
from sinks.files.formats import JsonLines
from sinks.files.layout import record_end
from sinks.files.merges import Merge, Merges, under_way
from sinks.files.ownership import Ownership
from sinks.files.rewind import Rewind
from sinks.files.rewind_marks import RewindMarks, mark_offset, new_mark
from sinks.files.rewinding import _told
from sinks.files.store import NotAllowed, NotFound
from sinks.files.stored import settled_files
from sinks.files.writer import FilesWriter
from sinks.hdfs.config import HdfsTarget
from sinks.hdfs.kind import HdfsKind
from sinks.records import Batch, Columns, Partition
from sinks.reporting.metrics import SinkMetrics
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.sinks.power_cut import survive_power_cuts
from tests.sinks.schedules import (
    LAYOUT,
    RECORDS,
    Kafka,
    Killed,
    Live,
    OnFolder,
    Schedule,
    Truth,
    blocks_of_seeds,
    check,
    finds,
    hasty_retry,
    survive,
)
from tests.sinks.watched_folder import watching
from worker.errors import Cancelled, Fatal, Fenced, Retriable
from worker.retry import Backoff, Retry

PARTITION = LAYOUT.partition
FILES = HdfsTarget(path="/data").layout("json")
"""Its lines are the offsets."""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(recovery, "_LEASE_SECONDS", 0.0)
    caplog.set_level(logging.CRITICAL, logger="sinks")  # tries that are repeated are told a million times otherwise


class Unjoinable(JsonLines):
    """Stands for formats of which files can't be put one after the other."""

    nothing = None


UNJOINABLE = FileLayout(FILES.folders, FILES.names, Unjoinable())


class ConcatRefusing(MemoryHdfs):
    """As where there are snapshots or encryption zones."""

    def concat(self, target: str, sources: Sequence[str]) -> None:
        raise NotAllowed("Concat: the source file is in snapshot")


def batch(first: int, end: int) -> Batch:
    offsets = range(first, end)
    made = Batch(PARTITION, first, 0, opened_at=0.0)
    made.add(Columns(offsets, [b"%d;" % offset for offset in offsets], [0] * len(offsets)), {})
    return made


FLUSH = HdfsTarget(path="/data")


def appending(records: int) -> HdfsTarget:
    return HdfsTarget(
        path="/data", mode="append", roll_records=records, roll_bytes=10_000, roll_seconds=1000.0, open_files=1
    )


def writer(hdfs: MemoryHdfs, target: HdfsTarget = FLUSH) -> FilesWriter:
    return FilesWriter(
        hdfs,
        target,
        sink="sink",
        consumer_group="group",
        files=FILES,
        topic_id=lambda topic: "id",
        metrics=SinkMetrics(),
    )


def compact(hdfs: MemoryHdfs, files: FileLayout = FILES, target: int = 32) -> list[str]:
    compaction = Compaction(hdfs, path="/data", sink="sink", files=files, target=target, retry=hasty_retry())
    return list(compaction.run("topic", before=1.0))


def go_to(hdfs: MemoryHdfs, offset: int, *, skip: bool = False) -> None:
    """As an operator, who finishes what he finds unfinished first."""
    rewinding = Rewind(hdfs, LAYOUT, FILES)
    for mark in RewindMarks(hdfs, LAYOUT).under_way()[:1]:
        offset = mark_offset(mark)
    rewinding.carry_out(rewinding.plan(offset), hasty_retry(), skip=skip)


def visible(hdfs: MemoryHdfs) -> Counter[int]:
    return Truth(hdfs).seen


def check_nothing_twice(hdfs: MemoryHdfs) -> None:
    twice = [offset for offset, count in visible(hdfs).items() if count > 1]
    assert not twice, f"visible twice: {twice}"


def stored(hdfs: MemoryHdfs, files: int = 10) -> MemoryHdfs:
    """With so many files of three records."""
    hdfs.folders.add("/data")
    owned = hasty_retry().run(writer(hdfs).open(PARTITION, None))
    for first in range(0, files * 3, 3):
        hasty_retry().run(owned.store([batch(first, first + 3)]))
    return hdfs


def settled(hdfs: MemoryHdfs, files: FileLayout) -> Counter[int]:
    """What verify_hdfs sees."""
    paths = [file.path for file in settled_files(hdfs, LAYOUT, files)]
    return Counter(int(line[:-1]) for path in paths for line in hdfs.files[path].data.split())


def leftovers(hdfs: MemoryHdfs) -> list[str]:
    areas = [f"{LAYOUT.compaction}/{area}/" for area in ("committed", "pending")]
    return [path for path in (*hdfs.files, *hdfs.folders) if path.startswith(tuple(areas))]


@contextmanager
def watched(hdfs: MemoryHdfs, look: Callable[[], None]) -> Iterator[None]:
    hdfs.before = hdfs.after = lambda name: look()
    yield
    hdfs.before = hdfs.after = lambda name: None


def killed_at(number: int, hdfs: MemoryHdfs, *, lost_answer: bool, look: Callable[[], None]) -> None:
    """From now on the operation of this number (from 0) is the last: it is not done, or not answered."""
    left = number

    def tick(_: str) -> None:
        nonlocal left
        look()
        left -= 1
        if left < 0:
            raise Killed

    hdfs.before, hdfs.after = lambda name: look(), lambda name: look()
    setattr(hdfs, "after" if lost_answer else "before", tick)


# Compaction


def test_small_neighbours_become_one_file_up_to_the_target() -> None:
    hdfs = stored(MemoryHdfs())
    lines = compact(hdfs)
    # 3 files have 9 bytes each and the others 12: 32 bytes hold 3, 2, 2 and 2 of them, and one is left.
    names = sorted(path.removeprefix("/data/topic-0-") for path in hdfs.files if "_sink" not in path)
    assert [tuple(map(int, name.removesuffix(".log").split("-"))) for name in names] == [
        (0, 8),
        (9, 14),
        (15, 20),
        (21, 26),
        (27, 29),
    ]
    assert lines[0].endswith(": 9 records of 3 files, 27 bytes before, 27 now")
    assert visible(hdfs) == Counter(range(30))
    assert compact(hdfs) == []
    assert leftovers(hdfs) == []


@pytest.mark.parametrize("lost_answer", [False, True])
@pytest.mark.parametrize(
    ("hdfs_type", "files"), [(MemoryHdfs, FILES), (MemoryHdfs, UNJOINABLE), (ConcatRefusing, FILES)]
)
def test_killed_at_any_operation_each_record_is_visible_once(
    hdfs_type: type[MemoryHdfs], files: FileLayout, lost_answer: bool
) -> None:
    joins = hdfs_type is MemoryHdfs and files is FILES
    number = 0
    while True:
        hdfs = stored(hdfs_type())

        def look(hdfs: MemoryHdfs = hdfs) -> None:
            check_nothing_twice(hdfs)
            if joins:
                assert visible(hdfs) == Counter(range(30))

        killed_at(number, hdfs, lost_answer=lost_answer, look=look)
        try:
            compact(hdfs, files)
            break
        except Killed:
            number += 1
        hdfs.before = hdfs.after = lambda name: None
        assert settled(hdfs, files) == Counter(range(30)), f"killed at operation {number}"
        with watched(hdfs, look):
            compact(hdfs, files)
        assert visible(hdfs) == Counter(range(30)), f"killed at operation {number}"
        assert leftovers(hdfs) == []
    assert number > 60


@pytest.mark.parametrize(
    ("hdfs_type", "files"), [(MemoryHdfs, FILES), (MemoryHdfs, UNJOINABLE), (ConcatRefusing, FILES)]
)
def test_a_merge_without_merge_json_is_cleaned_or_named_and_loses_nothing(
    hdfs_type: type[MemoryHdfs], files: FileLayout
) -> None:
    number, outcomes = 0, Counter[str]()
    while True:
        hdfs = stored(hdfs_type())
        killed_at(number, hdfs, lost_answer=False, look=lambda: None)
        try:
            compact(hdfs, files)
            break
        except Killed:
            number += 1
        hdfs.before = hdfs.after = lambda name: None
        noted = [path for path in hdfs.files if "/compaction/committed/" in path and path.endswith("/merge.json")]
        if not noted:
            continue
        hdfs.delete(noted[0])
        entry = noted[0].removesuffix("/merge.json")
        if hdfs.names(f"{entry}/aside"):
            for command in (compact, partial(go_to, offset=12)):
                with pytest.raises(Fatal, match=f"the merge in {entry} has no merge[.]json"):
                    command(hdfs)
            assert RewindMarks(hdfs, LAYOUT).under_way() == [], "the sink would wait for it"
            put_back(hdfs, entry)
            outcomes["named"] += 1
        else:
            outcomes["cleaned"] += 1
        compact(hdfs, files)
        assert visible(hdfs) == Counter(range(30)), f"killed at operation {number}"
        assert leftovers(hdfs) == []
    assert outcomes["cleaned"] >= 10
    assert bool(outcomes["named"]) == (hdfs_type is ConcatRefusing or files is UNJOINABLE)


def put_back(hdfs: MemoryHdfs, entry: str) -> None:
    """As the message asks an operator to."""
    seen = visible(hdfs)
    for name in hdfs.names(f"{entry}/aside"):
        if int(hdfs.read(f"{entry}/aside/{name}").split(b";")[0]) not in seen:
            assert hdfs.rename(f"{entry}/aside/{name}", f"/data/{name}")
    hdfs.delete(entry, recursive=True)


def test_a_compaction_that_another_one_fenced_stops_and_does_no_harm() -> None:
    hdfs = stored(MemoryHdfs())
    first = Merges(hdfs, LAYOUT)
    hasty_retry().run(first.take_over())
    compact(hdfs)
    after = {path: file.data for path, file in hdfs.files.items()}
    names = tuple(f"topic-0-{first:020d}-{first + 2:020d}.log" for first in (0, 3))
    merge = Merge(folder="/data", name=f"topic-0-{0:020d}-{5:020d}.log", originals=names, joins=True)
    with pytest.raises(Fenced):
        hasty_retry().run(first.replace(merge, b"0;\n1;\n2;\n3;\n4;\n5;\n", nothing=b""))
    assert {path: file.data for path, file in hdfs.files.items() if "pending" not in path} == after


def test_a_merged_file_with_other_records_is_never_published() -> None:
    class Forgetful(JsonLines):
        def merge(self, files: Any) -> Iterator[bytes]:
            yield from list(super().merge(list(files)[1:]))

    hdfs = stored(MemoryHdfs())
    with pytest.raises(Fatal, match="would have 6 records, its files have 9"):
        compact(hdfs, FileLayout(FILES.folders, FILES.names, Forgetful()))
    assert visible(hdfs) == Counter(range(30))


@pytest.mark.parametrize("folder", ["dt=1", f"topic-0-{0:020d}-{2:020d}.log"])
def test_a_folder_that_is_not_there_is_named(folder: str) -> None:
    compaction = Compaction(stored(MemoryHdfs()), path="/data", sink="sink", files=FILES, target=1, retry=hasty_retry())
    with pytest.raises(Fatal, match=f"there is no folder /data/{folder}"):
        list(compaction.run("topic", folders=[folder], before=1.0))


def test_a_merge_whose_folder_is_gone_is_named_and_stops_neither_rewind_nor_sink() -> None:
    hdfs = stored(MemoryHdfs())
    merges = Merges(hdfs, LAYOUT)
    hasty_retry().run(merges.take_over())
    merge = Merge(folder="/data/dt=1", name=f"topic-1-{0:020d}-{1:020d}.log", originals=("a", "b"), joins=True)
    named = rf"the merge in {LAYOUT.compaction}/committed/\w+/1 can't be finished"
    with pytest.raises(Fatal, match=named):
        hasty_retry().run(merges.replace(merge, b"0;\n1;\n", nothing=b""))
    with pytest.raises(Fatal, match=named):
        compact(hdfs)
    with pytest.raises(Fatal, match=named):
        go_to(hdfs, 12)
    assert hasty_retry().run(writer(hdfs).open(PARTITION, 30)).resume_at == 30
    hdfs.make_folders("/data/dt=1")
    compact(hdfs)
    assert hdfs.files[merge.path].data == b"0;\n1;\n"
    assert leftovers(hdfs) == []


# Rewinding


@pytest.mark.parametrize("lost_answer", [False, True])
@pytest.mark.parametrize("offset", [0, 12, 13])
def test_a_rewind_killed_at_any_operation_is_finished_by_the_next(offset: int, lost_answer: bool) -> None:
    number = 0
    while True:
        hdfs = stored(MemoryHdfs())

        def look(hdfs: MemoryHdfs = hdfs) -> None:
            check_nothing_twice(hdfs)

        killed_at(number, hdfs, lost_answer=lost_answer, look=look)
        try:
            go_to(hdfs, offset)
            break
        except Killed:
            number += 1
        hdfs.before = hdfs.after = lambda name: None
        with watched(hdfs, look):
            # When all was done but for the last answer, 13 is further than the beginning of its file.
            with suppress(Fatal) if (offset, lost_answer) == (13, True) else nullcontext():
                go_to(hdfs, offset)
            resume_at = hasty_retry().run(writer(hdfs).open(PARTITION, 30)).resume_at
        assert resume_at == offset - offset % 3, f"killed at operation {number}"
        assert visible(hdfs) == Counter(range(resume_at))
        assert sum(path.startswith(LAYOUT.replaced) for path in hdfs.files) == 10 - resume_at // 3
    assert number > 20


def test_a_rewind_forward_leaves_records_out_and_moves_no_file() -> None:
    hdfs = stored(MemoryHdfs())
    before = visible(hdfs)
    with pytest.raises(Fatal, match="the sink goes on at offset 30 now: records would be left out; nothing was done"):
        go_to(hdfs, 40)
    go_to(hdfs, 40, skip=True)
    assert visible(hdfs) == before
    assert hasty_retry().run(writer(hdfs).open(PARTITION, 30)).resume_at == 40


def test_a_rewind_before_anything_was_stored_says_where_to_begin() -> None:
    hdfs = MemoryHdfs()
    hdfs.folders.add("/data")
    go_to(hdfs, 7, skip=True)
    assert hasty_retry().run(writer(hdfs).open(PARTITION, None)).resume_at == 7


def test_a_file_that_holds_the_offset_in_its_middle_is_replaced_as_a_whole() -> None:
    hdfs = stored(MemoryHdfs())
    compact(hdfs)
    plan = Rewind(hdfs, LAYOUT, FILES).plan(12)
    assert (plan.now, plan.to) == (30, 9)
    assert [file.first for file in plan.replaced] == [9, 15, 21, 27]


def test_files_of_an_earlier_format_are_replaced_too_and_others_are_told() -> None:
    hdfs = stored(MemoryHdfs())
    hdfs.create("/data/notes.txt", b"")
    packed = HdfsTarget(path="/data", format="gzip").layout("json")
    plan = Rewind(hdfs, LAYOUT, packed).plan(24)
    assert [file.first for file in plan.replaced] == [24, 27]
    assert plan.unknown == ["/data/notes.txt"]


def test_open_files_are_told_as_the_sinks_own() -> None:
    hdfs = stored(MemoryHdfs())
    hasty_retry().run(hasty_retry().run(writer(hdfs, appending(10)).open(PARTITION, None)).store([batch(30, 33)]))
    plan = Rewind(hdfs, LAYOUT, FILES).plan(24)
    assert [file.first for file in plan.replaced] == [24, 27]
    assert (plan.growing, plan.unknown) == ([f"/data/topic-0-{30:020d}.open"], [])
    told = "\n".join(_told(PARTITION, 24, plan))
    assert "still open, which are closed first and replaced when they hold such records" in told
    assert "names that no sink of this folder gives" not in told


def test_files_of_another_sink_in_the_folder_are_not_unknown_unless_they_tell_of_this_topic() -> None:
    entry = {"kind": "hdfs", "event": "json", "topics": ["topic"], "target": {"path": "/data"}}
    target = {"path": "/data", "file_name": "{start}_{end}_{partition}_{topic}"}
    sinks_registry.sinks.cache_clear()
    with override_settings(SINKS={"sink": entry, "other": {**entry, "topics": ["pages"], "target": target}}):
        sink, other = sinks_registry.sinks().values()
        assert isinstance(sink.target, HdfsTarget)
        assert isinstance(other.target, HdfsTarget)
        others = HdfsKind().layouts_beside(sink, [other])
    hdfs = stored(MemoryHdfs())
    names = other.target.layout("json").names
    for topic in ("pages", "topic"):
        hdfs.create(f"/data/{names.make(Partition(topic, 0), 0, 9)}", b"")
    plan = Rewind(hdfs, LAYOUT, FILES, others).plan(24)
    assert [file.first for file in plan.replaced] == [24, 27]
    assert plan.unknown == [f"/data/{0:020d}_{9:020d}_0_topic"]
    assert len(Rewind(hdfs, LAYOUT, FILES).plan(24).unknown) == 2


def test_a_rewind_to_another_offset_than_the_unfinished_one_is_refused() -> None:
    hdfs = stored(MemoryHdfs())
    RewindMarks(hdfs, LAYOUT).begin(new_mark(12))
    with pytest.raises(Fatal, match=r"a rewind to offset 12, begun at .* is unfinished"):
        Rewind(hdfs, LAYOUT, FILES).plan(15)
    assert compact(hdfs) == ["topic-0: a rewind is under way; left as it is"]


# All at once


REFUSALS = ("unfinished", "have changed", "has finished", "left out")
"""Of a rewind beside another one."""


class Everything(Schedule):
    """Sinks, compactions and rewinds beside each other."""

    most_in_the_end = 20_000

    def check(self) -> None:
        truth = Truth(self.hdfs)
        twice = [offset for offset, count in truth.seen.items() if count > 1]
        assert not twice, f"visible twice: {twice}"

    def finish(self) -> None:
        finish(self.hdfs, self.kafka, self.rng)

    def _before(self, operation: str) -> str | None:
        if self._calm:
            self.most_in_the_end -= 1
            assert self.most_in_the_end > 0, "never comes to an end"
        return super()._before(operation)


class WithoutConcat(Everything):
    """As above, where HDFS does not join files."""

    hdfs_type = ConcatRefusing


class NeverOutOfSight(Everything):
    """What is committed is always visible or about to become so by the sink's own doing."""

    def check(self) -> None:
        check(self.hdfs)


class OnFolderEverything(Everything, OnFolder):
    """On a folder, where owners, compactions and rewinds are stopped and killed between system calls."""

    most_in_the_end = 200_000


class OnShareEverything(OnFolderEverything):
    """The same where renames are done by steps, between which a file has two names."""

    def check(self) -> None:
        if self._calm:
            super().check()


def finish(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random) -> None:
    # An operator makes several tries: a command may be told that another one has done its work.
    while any(RewindMarks(hdfs, LAYOUT).under_way()):
        with suppress(Fatal):
            go_to(hdfs, 0)
    compact(hdfs)
    consume(hdfs, kafka, rng)


def consume(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random) -> None:
    """A sink: flush or append mode; again when it is fenced."""
    while True:
        target = appending(rng.choice([3, 10])) if rng.random() < 0.4 else FLUSH
        try:
            owned = hasty_retry().run(writer(hdfs, target).open(PARTITION, kafka.committed))
            position = owned.resume_at or 0
            while position < RECORDS:
                end = min(position + rng.randint(1, 4), RECORDS)
                hasty_retry().run(owned.store([batch(position, end)]))
                kafka.committed = position = end
            hasty_retry().run(owned.rest(leaving=True))
        except Fenced:
            continue
        return


def compact_some(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random, layouts: Sequence[FileLayout]) -> None:
    for _ in range(rng.randint(1, 4)):
        with suppress(Fenced, NotFound):
            compact(hdfs, rng.choice(layouts), rng.choice([20, 40, 1000]))


def rewind_some(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 4)):
        try:
            newest = max(map(posixpath.basename, recovery.commit_records(hdfs, LAYOUT)), default=None)
            go_to(hdfs, rng.randint(0, record_end(newest) + 1 if newest else 0))
        except (Fenced, NotFound, Retriable):
            pass
        except Fatal as refused:
            if not any(text in str(refused) for text in REFUSALS):
                raise


REFUSALS = ("unfinished", "have changed", "has finished", "left out")
"""Of a rewind beside another one."""


def everything(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random) -> None:
    role = rng.choice(["sink", "sink", "compact", "compact", "rewind"])
    if role == "sink":
        consume(hdfs, kafka, rng)
    elif role == "compact":
        compact_some(hdfs, kafka, rng, [FILES, UNJOINABLE])
    else:
        rewind_some(hdfs, kafka, rng)


def sinks_and_compactions(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random) -> None:
    if rng.random() < 0.4:
        consume(hdfs, kafka, rng)
    else:
        compact_some(hdfs, kafka, rng, [FILES])


def sinks_and_rewinds(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random) -> None:
    if rng.random() < 0.4:
        consume(hdfs, kafka, rng)
    else:
        rewind_some(hdfs, kafka, rng)


@pytest.mark.parametrize("seeds", blocks_of_seeds(200, size=50))
@pytest.mark.parametrize(
    ("schedule", "live"),
    [
        (Everything, everything),
        (WithoutConcat, everything),
        (Everything, sinks_and_rewinds),
        (NeverOutOfSight, sinks_and_compactions),
    ],
)
def test_random_schedules_lose_nothing_and_repeat_nothing(schedule: type[Schedule], live: Live, seeds: range) -> None:
    survive(seeds, live, schedule)


@pytest.mark.parametrize("schedule", [OnFolderEverything, OnShareEverything])
@pytest.mark.parametrize("live", [everything, sinks_and_rewinds])
@pytest.mark.parametrize("seeds", blocks_of_seeds(45, size=15))
def test_random_schedules_lose_nothing_and_repeat_nothing_on_a_folder(
    seeds: range, schedule: type[Schedule], live: Live
) -> None:
    with watching(share=schedule is OnShareEverything):
        survive(seeds, live, schedule)


def one_after_another(hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random) -> None:
    consume(hdfs, kafka, rng)
    compact(hdfs)
    go_to(hdfs, 12)
    consume(hdfs, kafka, rng)
    compact(hdfs)


@pytest.mark.parametrize("seeds", blocks_of_seeds(3, size=1))
def test_a_compaction_or_rewind_that_a_power_cut_ended_is_finished_by_the_next(seeds: range) -> None:
    with watching():
        survive_power_cuts(one_after_another, seeds[0], finish=finish)


# Protocols with a step left out, which the model must find


class WithoutFence(Merges):
    """Finishes what others have committed, but leaves them able to commit."""

    def _fence_others(self) -> None:
        for epoch in self._others():
            for number in self._client.names(f"{self._committed}/{epoch}"):
                self._finish(f"{self._committed}/{epoch}/{number}")


class BlindMarks(RewindMarks):
    """Shows no compaction that a rewind is under way."""

    def under_way(self) -> list[str]:
        return []


class KafkaTrusted(Ownership):
    """Lets a sink go on where Kafka says, if that is further."""

    generation = 0


class WithoutGeneration(Ownership):
    """Lets the record with the greatest offsets be the newest, even after a rewind."""

    generation = -1


@pytest.mark.parametrize(
    ("where", "broken", "live", "first"),
    [
        ("sinks.files.compaction.Merges", WithoutFence, sinks_and_compactions, 150),
        ("sinks.files.compaction.told_of", lambda client, layout: set(), sinks_and_compactions, 250),
        ("sinks.files.compaction.RewindMarks", BlindMarks, everything, 1150),
        ("sinks.files.writer.Ownership", KafkaTrusted, sinks_and_rewinds, 0),
        ("sinks.files.rewind.Ownership", WithoutGeneration, sinks_and_rewinds, 0),
    ],
)
def test_the_model_finds_a_protocol_with_a_step_left_out(
    where: str, broken: Any, live: Live, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """first: the schedule to begin with; in those before it nothing was found, which takes long."""
    monkeypatch.setattr(where, broken)
    assert finds(range(first, first + 3000), live, Everything)


class PublishedFirst(Merges):
    """Shows the merged file before the others are out of sight."""

    def _finish(self, entry: str) -> None:
        for merge, path in under_way(self._client, LAYOUT):
            self._client.rename(path, merge.path)
        super()._finish(entry)


def test_a_merged_file_that_is_published_first_is_seen_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.files.compaction.Merges", PublishedFirst)
    hdfs = stored(MemoryHdfs())
    with watched(hdfs, lambda: check_nothing_twice(hdfs)), pytest.raises(AssertionError, match="visible twice"):
        compact(hdfs, UNJOINABLE)


class WithoutProof(Rewind):
    """Moves files that were perhaps listed when another command had finished the rewind."""

    def _prove(self, mark: str, ownership: Ownership, retry: Retry) -> None:
        pass


@pytest.mark.parametrize("rewind_type", [Rewind, WithoutProof])
def test_a_rewind_that_slept_until_another_had_finished_it_moves_no_new_file(rewind_type: type[Rewind]) -> None:
    hdfs = stored(MemoryHdfs())
    sleeper = rewind_type(hdfs, LAYOUT, FILES)
    plan = sleeper.plan(12)

    def let_others_go_on(operation: str) -> None:
        if operation == "walk":
            hdfs.before = lambda name: None
            go_to(hdfs, 12)
            owned = hasty_retry().run(writer(hdfs).open(PARTITION, 30))
            for first in range(12, 30, 2):
                hasty_retry().run(owned.store([batch(first, first + 2)]))

    hdfs.before = let_others_go_on
    if rewind_type is Rewind:
        with pytest.raises(Fatal, match="another command has finished this rewind"):
            sleeper.carry_out(plan, hasty_retry())
        assert visible(hdfs) == Counter(range(30))
    else:
        sleeper.carry_out(plan, hasty_retry())
        assert visible(hdfs) == Counter(range(12))


def test_a_sink_waits_while_a_rewind_is_unfinished() -> None:
    hdfs = stored(MemoryHdfs())
    mark = new_mark(12)
    RewindMarks(hdfs, LAYOUT).begin(mark)
    given_up = threading.Event()
    operations = iter(range(100))

    def give_up_at_last(_: str) -> None:
        if next(operations) == 50:
            given_up.set()

    hdfs.before = give_up_at_last
    with pytest.raises(Cancelled):
        Retry("sink", Backoff(1e-9, 1e-9), given_up).run(writer(hdfs).open(PARTITION, 30))
    hdfs.before = lambda name: None
    go_to(hdfs, 12)
    assert hasty_retry().run(writer(hdfs).open(PARTITION, 30)).resume_at == 12
