"""The commit protocol of append mode under every crash and under random schedules; see schedules.py.

The code under test is all of it but the task: AppendPartition, Ownership and LeftOpen. Owners of flush mode are among
those of append mode, as when the setting is changed.
"""

import os
import random
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from sinks.files import ownership, recovery
from sinks.files.contents import FileLayout
from sinks.files.layout import OpenFile
from sinks.files.naming import Folders
from sinks.files.ownership import Ownership
from sinks.files.partitions import AppendPartition, FlushPartition
from sinks.files.recovery import LeftOpen
from sinks.files.store import Content, NotFound
from sinks.hdfs.config import HdfsTarget
from sinks.records import Batch, Columns, Record
from sinks.times import Unread, no_unread
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.sinks.power_cut import needless_syncs, survive_power_cuts
from tests.sinks.schedules import (
    LAYOUT,
    RECORDS,
    Kafka,
    OnFolder,
    OnShare,
    Schedule,
    WithoutFence,
    WithoutRecord,
    WithoutSecondLook,
    blocks_of_seeds,
    finds,
    hasty_retry,
    interrupted_at_any_call,
    killed_at_any_operation,
    survive,
)
from tests.sinks.watched_folder import ROOT, WatchedFolder, watching
from worker.errors import Fenced, Retriable
from worker.retry import attempt


class TwoFolders(Folders):
    """Runs of three records go into one folder or the other."""

    def __init__(self) -> None:
        super().__init__("{folder}", time="kafka", zone="UTC")

    def of(self, record: Record, unread: Unread = no_unread) -> str:
        return f"folder={record.offset // 3 % 2}"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_LEASE_SECONDS", 0.0)


def batch(first: int, end: int) -> Batch:
    batch = Batch(LAYOUT.partition, first, 0, opened_at=0.0)
    batch.add(Columns(range(first, end), [b"%d;" % offset for offset in range(first, end)], [0] * (end - first)), {})
    return batch


def consume(
    hdfs: MemoryHdfs,
    kafka: Kafka,
    rng: random.Random,
    *,
    ownership_type: type[Ownership] = Ownership,
    modes: tuple[str, ...] = ("append", "append", "append", "flush"),
) -> None:
    """What a process does: takes over, stores from where it is told, commits, closes; again when it is fenced."""
    retry = hasty_retry()
    while True:
        committed = kafka.committed
        owner = ownership_type(hdfs, LAYOUT)
        layout = HdfsTarget(path="/data").layout("json")
        if rng.random() < 0.5:
            layout = FileLayout(TwoFolders(), layout.names, layout.format)
        target = HdfsTarget(
            path="/data",
            mode="append",
            roll_records=rng.choice([3, 10, 1000]),
            roll_bytes=rng.choice([10, 10_000]),
            roll_seconds=5.0,
            open_files=rng.choice([1, 2]),
        )
        clock = iter(range(10_000)).__next__
        callbacks: Any = {"check_identity": lambda: None, "published": lambda files: None}
        try:
            stored = retry.run(owner.take_over())
            position = committed or 0 if stored is None else stored
            if rng.choice(modes) == "append":
                partition: FlushPartition = AppendPartition(
                    owner, position, layout, **callbacks, partition=LAYOUT.partition, target=target, clock=clock
                )
            else:
                partition = FlushPartition(owner, position, layout, **callbacks)
            while position < RECORDS:
                batches = []
                for _ in range(rng.randint(1, 3)):
                    end = min(position + rng.randint(1, 4), RECORDS)
                    if end > position:
                        batches.append(batch(position, end))
                    position = end
                retry.run(partition.store(batches))
                kafka.committed = position
                if rng.random() < 0.3:
                    retry.run(partition.rest(leaving=False))
            retry.run(partition.rest(leaving=True))
        except Fenced:
            continue
        return


@pytest.mark.parametrize("seeds", blocks_of_seeds(500, size=100))
def test_random_schedules_lose_nothing_and_repeat_nothing(seeds: range) -> None:
    survive(seeds, consume)


class WithoutProof(Ownership):
    """Does not look whether the record that it has read was still its own."""

    def _prove(self) -> None:
        pass


class AppendingAgain(Ownership):
    """Repeats an append that did not work, or perhaps did."""

    async def append(self, file: OpenFile, data: Content) -> None:
        try:
            await attempt("appending", lambda: self._client.append(f"{self._layout.data}/{file.path}", data))
        except NotFound as error:
            raise Fenced(file.path) from error


class CuttingInPlace(LeftOpen):
    """Cuts a file where its writer finds it."""

    def _take_back(self) -> bool:
        with suppress(NotFound, Retriable):
            self._is_cut = self.client.truncate(self._place, self.file.length)
        return super()._take_back()

    def _cut(self) -> str:
        return self._kept if self._is_cut else super()._cut()

    _is_cut = False


class WithoutCutting(LeftOpen):
    """Takes a file as it is."""

    def _cut(self) -> str:
        return self._kept


class IgnoringLeases(LeftOpen):
    """Takes a file that someone is still writing as it is."""

    def _copy(self) -> str:
        return self._kept


class NotWaiting(LeftOpen):
    """Takes a file that HDFS is still cutting as it is."""

    def _cut(self) -> str:
        with suppress(Retriable):
            return super()._cut()
        return self._kept


@pytest.mark.parametrize(
    "broken",
    [
        *(WithoutSecondLook, WithoutFence, WithoutRecord, AppendingAgain, WithoutCutting, IgnoringLeases, NotWaiting),
        # Found after hundreds of schedules.
        *(pytest.param(broken, marks=pytest.mark.slow) for broken in (WithoutProof, CuttingInPlace)),
    ],
)
def test_the_model_finds_a_protocol_with_a_step_left_out(broken: type, monkeypatch: pytest.MonkeyPatch) -> None:
    if issubclass(broken, Ownership):
        assert finds(range(3000), partial(consume, ownership_type=broken))
    else:
        monkeypatch.setattr(ownership, "LeftOpen", broken)
        assert finds(range(3000), consume)


@pytest.mark.parametrize("lost_answer", [False, True])
@pytest.mark.parametrize("modes", [("append",), ("append", "flush")])
def test_killed_at_any_operation_the_next_owner_completes_each_record_once(
    modes: tuple[str, ...], lost_answer: bool
) -> None:
    assert killed_at_any_operation(partial(consume, modes=modes), lost_answer=lost_answer) > 30


# On a folder


@pytest.mark.parametrize("schedule", [OnFolder, OnShare])
@pytest.mark.parametrize("seeds", blocks_of_seeds(60, size=15))
def test_random_schedules_lose_nothing_and_repeat_nothing_on_a_folder(seeds: range, schedule: type[Schedule]) -> None:
    with watching(share=schedule is OnShare):
        survive(seeds, consume, schedule)


SEED = 27
"""Of a run with five appends."""


@pytest.mark.parametrize(
    "wakes", [pytest.param(False, id="killed", marks=pytest.mark.slow), pytest.param(True, id="asleep")]
)
def test_before_any_system_call_an_owner_may_be_killed_or_fall_asleep(wakes: bool) -> None:
    with watching():
        assert interrupted_at_any_call(partial(consume, modes=("append",)), SEED, wakes=wakes) > 100


def cut_in_place(folder: WatchedFolder, path: str, length: int) -> bool:
    os.truncate(folder.place + path.removeprefix(ROOT), length)
    return True


def test_a_file_that_is_cut_in_place_is_written_to_by_a_process_that_wakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WatchedFolder, "truncate", cut_in_place)
    with watching(), pytest.raises(AssertionError, match="woken at call"):
        interrupted_at_any_call(partial(consume, modes=("append",)), SEED, wakes=True)


@pytest.mark.parametrize("seeds", blocks_of_seeds(4, size=1))
def test_what_was_reported_as_stored_survives_a_power_cut(seeds: range) -> None:
    with watching():
        survive_power_cuts(consume, seeds[0])


def test_no_sync_of_what_is_appended_can_be_left_out() -> None:
    with watching():
        assert needless_syncs(partial(consume, modes=("append",)), {"append"}) == set()
