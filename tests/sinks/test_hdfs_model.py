"""The commit protocol of flush mode under every crash and under random schedules; see schedules.py."""

import random
from collections.abc import Callable
from functools import partial

import pytest

from sinks.files.ownership import Ownership
from sinks.files.store import Content, NotFound
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
from tests.sinks.watched_folder import watching
from worker.errors import Fenced


def consume(
    hdfs: MemoryHdfs,
    kafka: Kafka,
    rng: random.Random,
    ownership_type: type[Ownership] = Ownership,
    until: int = RECORDS,
) -> None:
    """What a process does: takes over, stores from where it is told, commits; again when it is fenced."""
    retry = hasty_retry()
    while True:
        committed = kafka.committed
        ownership = ownership_type(hdfs, LAYOUT)
        try:
            stored = retry.run(ownership.take_over())
            position = committed or 0 if stored is None else stored
            while position < RECORDS:
                files: dict[str, Callable[[], Content]] = {}
                first = position
                for _ in range(rng.randint(1, 3)):
                    end = min(position + rng.randint(1, 4), RECORDS)
                    if end > position:
                        content = b"".join(b"%d;\n" % offset for offset in range(position, end))
                        files[f"topic-0-{position:020d}-{end - 1:020d}.log"] = partial(bytes, content)
                    position = end
                retry.run(ownership.store(files, first, position - 1))
                kafka.committed = position
        except Fenced:
            continue
        return


def of(ownership_type: type[Ownership]) -> Callable[[MemoryHdfs, Kafka, random.Random], None]:
    return partial(consume, ownership_type=ownership_type)


@pytest.mark.parametrize("seeds", blocks_of_seeds(500, size=100))
def test_random_schedules_lose_nothing_and_repeat_nothing(seeds: range) -> None:
    survive(seeds, consume)


@pytest.mark.parametrize("broken", [WithoutSecondLook, WithoutFence, WithoutRecord])
def test_the_model_finds_a_protocol_with_a_step_left_out(broken: type[Ownership]) -> None:
    assert finds(range(3000), of(broken))


@pytest.mark.parametrize("lost_answer", [False, True])
def test_killed_at_any_operation_the_next_owner_completes_each_record_once(lost_answer: bool) -> None:
    assert killed_at_any_operation(consume, lost_answer=lost_answer) > 30


def test_an_upload_that_a_later_owner_removed_under_way_means_fenced() -> None:
    def remove(operation: str) -> None:
        if operation == "create":
            raise NotFound("HDFS: File does not exist: … does not have any open files.")

    hdfs = MemoryHdfs(after=remove)
    hdfs.folders.add("/data")
    ownership = Ownership(hdfs, LAYOUT)
    hasty_retry().run(ownership.take_over())
    with pytest.raises(Fenced):
        hasty_retry().run(ownership.store({"topic-0.log": lambda: b"0\n"}, 0, 0))


# On a folder


@pytest.mark.parametrize("schedule", [OnFolder, OnShare])
@pytest.mark.parametrize("seeds", blocks_of_seeds(60, size=15))
def test_random_schedules_lose_nothing_and_repeat_nothing_on_a_folder(seeds: range, schedule: type[Schedule]) -> None:
    with watching(share=schedule is OnShare):
        survive(seeds, consume, schedule)


@pytest.mark.slow
@pytest.mark.parametrize("wakes", [False, True], ids=["killed", "asleep"])
def test_before_any_system_call_an_owner_may_be_killed_or_fall_asleep(wakes: bool) -> None:
    with watching():
        assert interrupted_at_any_call(consume, 0, wakes=wakes) > 100


@pytest.mark.parametrize("seeds", blocks_of_seeds(4, size=1))
def test_what_was_reported_as_stored_survives_a_power_cut(seeds: range) -> None:
    with watching():
        survive_power_cuts(consume, seeds[0])


def test_no_sync_can_be_left_out() -> None:
    with watching():
        assert needless_syncs(consume, {"create", "make_folders", "rename"}) == set()
