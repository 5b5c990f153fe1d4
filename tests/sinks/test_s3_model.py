"""The commit protocol of the S3 sink under every crash and under random schedules, beside compactions and rewinds.

See schedules.py. After every operation each offset that is committed must be stored once, and none visible twice.
"""

import logging
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from sinks.files.store import Content, NotFound
from sinks.s3 import ownership as ownership_module
from sinks.s3.chain import BEGINNING, Chain, Place, Walk
from sinks.s3.config import S3Target
from sinks.s3.merges import Merge, Merges, S3Compaction
from sinks.s3.objects import Upload
from sinks.s3.ownership import Commit, Ownership, Record, partition_chain
from sinks.s3.rewind import S3Rewind
from tests.sinks.memory_s3 import MemoryS3
from tests.sinks.schedules import (
    LAYOUT,
    RECORDS,
    Kafka,
    Killed,
    Schedule,
    blocks_of_seeds,
    finds,
    hasty_retry,
    survive,
)
from worker.errors import Fatal, Fenced, Retriable

FILES = S3Target(bucket="bucket", path="/data").layout("json")
"""Its lines are the offsets."""


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(ownership_module, "_CHECKPOINT_EVERY", 2)
    caplog.set_level(logging.CRITICAL, logger="sinks")  # tries that are repeated are told a million times otherwise


# What the store holds


def offsets(contents: dict[str, bytes]) -> Counter[int]:
    return Counter(int(line[:-1]) for content in contents.values() for line in content.split())


def visible(s3: MemoryS3) -> dict[str, bytes]:
    return {path: data for path, data in s3.objects.items() if "/_sink/" not in path}


def _walk(s3: MemoryS3, chain: Chain[Any]) -> Walk[Any]:
    """As a walk that nobody disturbs."""
    checkpoints = [Place.of(path.rpartition("/")[2]) for path in s3.objects if path.startswith(chain._checkpoints)]
    checkpoint = end = max(checkpoints, default=BEGINNING)
    entries = []
    while (data := s3.objects.get(chain._path(end))) is not None:
        entries.append((end, chain._decode(data)))
        end = entries[-1][1].follows(end)
    return Walk(checkpoint, entries, end)


def check(s3: MemoryS3) -> None:
    """Nothing is visible twice, and what is committed is stored once, if perhaps not published yet."""
    contents = visible(s3)
    twice = [offset for offset, count in offsets(contents).items() if count > 1]
    assert not twice, f"visible twice: {twice}"
    for _, merge in _walk(s3, Merges(s3, LAYOUT).chain).entries:
        if isinstance(merge, Merge):
            for path in merge.originals:
                contents.pop(path, None)
            contents |= _unpublished(s3, [merge.upload])
    walk = _walk(s3, partition_chain(s3, LAYOUT))
    for place, record in walk.entries:
        if isinstance(record, Commit):
            contents |= _unpublished(s3, record.uploads)
        else:
            contents = {path: data for path, data in contents.items() if not _is_put_aside(path, place, record.to)}
    assert offsets(contents) == Counter(range(walk.end.number)), f"below {walk.end} are stored: {offsets(contents)}"


def _unpublished(s3: MemoryS3, uploads: Any) -> dict[str, bytes]:
    return {upload.path: s3.uploads[upload.id] for upload in uploads if upload.id in s3.uploads}


def _is_put_aside(path: str, place: Place, to: int) -> bool:
    name = path.rpartition("/")[2]
    known = FILES.names.read(name)
    return known is not None and known[2] >= to and FILES.names.generation(name) <= place.generation


# What processes do


def consume(
    s3: MemoryS3,
    kafka: Kafka,
    rng: random.Random,
    ownership_type: type[Ownership] = Ownership,
    compactions: float = 0.15,
    rewinds: float = 0.0,
    generations: bool = True,
) -> None:
    """Takes over, stores from where it is told, commits; again when it is fenced. Now and then merges, or rewinds."""
    retry = hasty_retry()
    while True:
        owner = ownership_type(s3, LAYOUT, FILES)
        try:
            stored = retry.run(owner.take_over())
            names = FILES.names.of_generation(owner.end.generation if generations else 0)
            position = stored or 0
            while position < RECORDS:
                files: dict[str, Callable[[], Content]] = {}
                first = position
                for _ in range(rng.randint(1, 3)):
                    end = min(position + rng.randint(1, 4), RECORDS)
                    if end > position:
                        content = b"".join(b"%d;\n" % offset for offset in range(position, end))
                        files[names.make(LAYOUT.partition, position, end - 1)] = partial(bytes, content)
                    position = end
                retry.run(owner.store(files, first, position - 1))
                kafka.committed = position
                if rng.random() < compactions:
                    compact(s3)
                if rng.random() < rewinds:
                    go_to(s3, rng.randint(0, position))
            retry.run(owner.check_point())
        except Fenced:
            continue
        return


def compact(s3: MemoryS3) -> None:
    """As the command does, which ends when another one has merged a file that it has listed."""
    compaction = S3Compaction(s3, path="/data", sink="sink", files=FILES, target=32, retry=hasty_retry())
    with suppress(Fenced, NotFound):
        list(compaction.run("topic", before=1.0))


def go_to(s3: MemoryS3, offset: int) -> None:
    """As an operator, who looks again when something has changed meanwhile."""
    rewind = S3Rewind(s3, LAYOUT, FILES)
    try:
        rewind.carry_out(rewind.plan(offset), hasty_retry())
    except Retriable:
        pass  # the plan could not be made
    except Fatal as error:
        if "nothing was done" not in str(error):
            raise


class OnS3(Schedule):
    """On a store of objects; publishing one is two steps, after the first of which its upload is still there."""

    def new_store(self) -> MemoryS3:
        return MemoryS3()

    def check(self) -> None:
        check(self.hdfs)

    def finish(self) -> None:
        """A merge whose process has died is finished by the next compaction."""
        super().finish()
        compact(self.hdfs)

    def seen(self) -> Counter[int]:
        return offsets(visible(self.hdfs))


class Restless(OnS3):
    """As above; the owners take turns often."""

    restlessness = 0.3


class AnsweringAgain(MemoryS3):
    """Completing an upload once more is answered as a success and makes nothing, as Amazon does it."""

    def __init__(self) -> None:
        super().__init__()
        self.published: set[str] = set()

    def publish(self, upload: Upload) -> bool:
        if super().publish(upload):
            self.published.add(upload.id)
        return upload.id in self.published


class OnAnsweringAgain(OnS3):
    """As above, on such a store."""

    def new_store(self) -> MemoryS3:
        return AnsweringAgain()


class Rewound(OnS3):
    """As above; a request to rewind that arrives late counts, and what it takes away is stored by the next owner."""

    def finish(self) -> None:
        while self.hdfs.late:
            self._do_late()
        consume(self.hdfs, self.kafka, self.rng)
        compact(self.hdfs)


# Protocols with a step left out


class WithoutSecondLook(Chain[Record]):
    """Believes a chain that was cleaned while it was walked."""

    async def walk(self) -> Walk[Record]:
        known: list[Place] = []
        newest = self.newest_checkpoint

        def look(after: Place = BEGINNING) -> Place:
            if not known:
                known.append(newest(after))
            return known[0]

        self.newest_checkpoint = look  # type: ignore[method-assign]
        try:
            return await super().walk()
        finally:
            del self.newest_checkpoint


class WithoutLookAfterCommit(Chain[Record]):
    """Counts a record in a place that was cleaned."""

    async def put(self, place: Place, entry: Record) -> None:
        self.is_done = lambda place: False  # type: ignore[method-assign]
        try:
            await super().put(place, entry)
        finally:
            del self.is_done


class WithoutCondition(Chain[Record]):
    """Overwrites the record of another owner, as on a server that does not honour If-None-Match."""

    def _put(self, place: Place, data: bytes) -> None:
        self._store.delete(self._path(place))
        super()._put(place, data)


def with_chain(chain_type: type[Chain[Record]]) -> type[Ownership]:
    class Broken(Ownership):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.chain.__class__ = chain_type

    return Broken


class PublishedWhenSeen(Ownership):
    """Takes a file that is there for one that nobody can publish again."""

    def _publish(self, upload: Upload) -> bool:
        return self._store.exists(upload.path) or super()._publish(upload)


@pytest.mark.parametrize("lost_answer", [False, True])
def test_killed_at_any_operation_the_next_owner_completes_each_record_once(lost_answer: bool) -> None:
    number = 0
    while (s3 := killed_at(number, lost_answer=lost_answer)) is not None:
        s3.before = s3.after = s3.during = lambda _, s3=s3: check(s3)
        consume(s3, Kafka(), random.Random(1), compactions=0.0)
        compact(s3)
        assert offsets(visible(s3)) == Counter(range(RECORDS)), f"killed at operation {number}"
        number += 1
    assert number > 100


def killed_at(number: int, *, lost_answer: bool) -> MemoryS3 | None:
    """A store whose only process, which merged and rewound, was killed at its operation of this number; None when it
    came to its end before."""
    left = number

    def tick(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    s3 = MemoryS3()
    setattr(s3, "after" if lost_answer else "before", tick)
    s3.during = tick
    try:
        consume(s3, Kafka(), random.Random(0), compactions=0.3, rewinds=0.2)
    except Killed:
        return s3
    return None


@pytest.mark.parametrize("seeds", blocks_of_seeds(500, size=100))
def test_random_schedules_lose_nothing_and_repeat_nothing(seeds: range) -> None:
    survive(seeds, consume, OnS3)


@pytest.mark.parametrize("seeds", blocks_of_seeds(300, size=60))
def test_random_schedules_with_rewinds_lose_nothing_and_repeat_nothing(seeds: range) -> None:
    survive(seeds, partial(consume, rewinds=0.1), Rewound)


def test_random_schedules_are_right_where_a_completion_is_answered_again() -> None:
    survive(range(100), consume, OnAnsweringAgain)


# Uploads that the bucket has removed as old ones


def file(first: int, last: int) -> dict[str, Callable[[], Content]]:
    """A file of the sink with a record in each line."""
    content = b"".join(b"%d;\n" % offset for offset in range(first, last + 1))
    return {FILES.names.make(LAYOUT.partition, first, last): partial(bytes, content)}


def stored(s3: MemoryS3, *ranges: tuple[int, int]) -> Ownership:
    """An owner that has stored these files."""
    owner = Ownership(s3, LAYOUT, FILES)
    hasty_retry().run(owner.take_over())
    for first, last in ranges:
        hasty_retry().run(owner.store(file(first, last), first, last))
    return owner


def die_before(s3: MemoryS3, operation: str, act: Callable[[], object]) -> None:
    """Does something in a process that dies before an operation; the bucket then removes what was not published."""

    def die(name: str) -> None:
        if name == operation:
            raise Killed

    s3.before = die
    with pytest.raises(Killed):
        act()
    s3.before = lambda name: None
    s3.uploads.clear()


def lost_upload() -> MemoryS3:
    """A store in which offsets 0 to 4 are stored; 5 to 9 are committed and lost."""
    s3 = MemoryS3()
    owner = stored(s3, (0, 4))
    die_before(s3, "publish", lambda: hasty_retry().run(owner.store(file(5, 9), 5, 9)))
    return s3


def test_a_committed_upload_that_is_gone_stops_the_sink() -> None:
    with pytest.raises(Fatal, match="rewind the sink to offset 5 "):
        stored(lost_upload())


def test_a_rewind_has_the_records_of_a_lost_upload_stored_again() -> None:
    s3 = lost_upload()
    rewind = S3Rewind(s3, LAYOUT, FILES)
    rewind.carry_out(rewind.plan(5), hasty_retry())
    stored(s3, (5, 9))
    assert offsets(visible(s3)) == Counter(range(10))


def test_a_rewind_that_dies_does_not_hide_a_lost_upload() -> None:
    s3 = lost_upload()
    rewind = S3Rewind(s3, LAYOUT, FILES)
    plan = rewind.plan(5)
    die_before(s3, "walk", lambda: rewind.carry_out(plan, hasty_retry()))
    with pytest.raises(Fatal, match="rewind the sink to offset 5 "):
        stored(s3)


def test_a_rewind_behind_a_lost_upload_needs_leave_to_skip_its_records() -> None:
    s3 = lost_upload()
    rewind = S3Rewind(s3, LAYOUT, FILES)
    with pytest.raises(Fatal, match="rewind the sink to offset 5 "):
        rewind.carry_out(rewind.plan(10), hasty_retry())
    rewind.carry_out(rewind.plan(10), hasty_retry(), skip=True)
    assert stored(s3).end.number == 10


def test_a_rewind_has_the_records_of_a_lost_merge_stored_again() -> None:
    s3 = MemoryS3()
    hasty_retry().run(stored(s3, (0, 4), (5, 9)).check_point())
    die_before(s3, "publish", lambda: compact(s3))
    with pytest.raises(Fatal, match="rewind the sink to offset 0 "):
        compact(s3)
    rewind = S3Rewind(s3, LAYOUT, FILES)
    rewind.carry_out(rewind.plan(0), hasty_retry())
    stored(s3, (0, 9))
    assert offsets(visible(s3)) == Counter(range(10))


def test_a_sink_that_sleeps_before_it_publishes_while_its_file_is_put_aside_is_fenced() -> None:
    s3 = MemoryS3()
    owner = stored(s3)
    rewind = S3Rewind(s3, LAYOUT, FILES)

    def rewound(name: str) -> None:
        if name == "publish":
            s3.before = lambda name: None
            # It dies when the file is put aside, before there is a checkpoint.
            die_before(s3, "delete", lambda: rewind.carry_out(rewind.plan(0), hasty_retry()))
            s3.delete(f"/data/{next(iter(file(0, 4)))}")

    s3.before = rewound
    with pytest.raises(Fenced):
        hasty_retry().run(owner.store(file(0, 4), 0, 4))
    assert stored(s3).end == Place(1, 0)


def test_a_commit_looks_only_at_checkpoints_beyond_its_place() -> None:
    asked: list[str] = []

    class Listing(MemoryS3):
        def names(self, path: str, *, after: str = "") -> list[str]:
            asked.append(after)
            return super().names(path, after=after)

    owner = stored(Listing(), (0, 4))
    hasty_retry().run(owner.check_point())
    asked.clear()
    hasty_retry().run(owner.store(file(5, 9), 5, 9))
    assert asked == [str(Place(0, 5))]


@pytest.mark.parametrize(
    ("broken", "compactions"),
    [
        (with_chain(WithoutSecondLook), 0.0),
        (with_chain(WithoutLookAfterCommit), 0.0),
        (with_chain(WithoutCondition), 0.0),
        (PublishedWhenSeen, 0.5),
    ],
    ids=["no second look", "no look after the commit", "no condition", "published when seen"],
)
def test_the_model_finds_a_protocol_with_a_step_left_out(
    broken: type[Ownership], compactions: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership_module, "_CHECKPOINT_EVERY", 1)
    assert finds(range(3000), partial(consume, ownership_type=broken, compactions=compactions), Restless)


def test_the_model_finds_names_of_files_that_are_given_again_after_a_rewind() -> None:
    assert finds(range(3000), partial(consume, rewinds=0.1, generations=False), Rewound)
