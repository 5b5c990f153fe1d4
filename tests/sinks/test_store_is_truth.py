"""A sink that stores files goes on where its store says; Kafka's committed offset must not be ahead of it."""

from collections.abc import Callable
from itertools import count

import pytest

from sinks.files.contents import FileLayout
from sinks.files.formats import make_format
from sinks.files.layout import Layout
from sinks.files.naming import FileNames, Folders
from sinks.files.rewind import Rewind
from sinks.files.writer import FilesWriter
from sinks.hdfs.config import HdfsTarget
from sinks.records import Batch, Columns, Partition
from sinks.reporting.metrics import SinkMetrics
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.sinks.schedules import Killed, hasty_retry
from worker.errors import Fatal, Retriable

PARTITION = Partition("topic", 0)
LAYOUT = Layout("/data", "sink", PARTITION)
FILES = FileLayout(
    Folders("", time="kafka", zone="UTC"),
    FileNames("{topic}-{partition}-{start}-{end}.{ext}", "log"),
    make_format("json", "json"),
)
MODES = pytest.mark.parametrize(
    "target",
    [
        HdfsTarget(path="/data"),
        HdfsTarget(
            path="/data", mode="append", roll_records=1_000, roll_bytes=10_000, roll_seconds=1_000.0, open_files=1
        ),
    ],
    ids=["flush", "append"],
)


class Sink:
    """A sink on a store in memory; each `open` is that of a new process."""

    def __init__(self, target: HdfsTarget) -> None:
        self.store = MemoryHdfs()
        self.store.make_folders("/data")
        self._target = target

    def open(self, committed: int | None) -> int | None:
        """Takes the partition over; returns where reading goes on."""
        writer = FilesWriter(
            self.store,
            self._target,
            sink="sink",
            consumer_group="group",
            files=FILES,
            topic_id=lambda topic: "id",
            metrics=SinkMetrics(),
        )
        self._partition = hasty_retry().run(writer.open(PARTITION, committed))
        return self._partition.resume_at

    def put(self, first: int, end: int, *, bad: bool = False) -> None:
        """Stores records of these offsets; bad: all of them became dead letters."""
        offsets = range(first, end)
        batch = Batch(PARTITION, first, 0, opened_at=0.0)
        refused = dict.fromkeys(range(len(offsets)), "bad") if bad else {}
        batch.add(Columns(offsets, [b"{}" for _ in offsets], [0] * len(offsets)), refused)
        hasty_retry().run(self._partition.store([batch]))

    def become_earlier_version(self) -> None:
        """Has the records lie in an epoch as owners of earlier versions have."""
        (epoch,) = self.store.names(LAYOUT.committed)
        self.store.rename(f"{LAYOUT.committed}/{epoch}", f"{LAYOUT.committed}/{'0' * 32}")

    def rewind(self, to: int, *, skip: bool = False) -> None:
        """What the command does with --yes."""
        rewind = Rewind(self.store, LAYOUT, FILES)
        rewind.carry_out(rewind.plan(to), hasty_retry(), skip=skip)

    def lines(self) -> int:
        """How many records readers see."""
        files = [file for path, file in self.store.files.items() if "/_sink/" not in path]
        return sum(file.data.count(b"\n") for file in files)


@MODES
def test_the_store_and_kafka_agree_after_batches_of_nothing_but_dead_letters(target: HdfsTarget) -> None:
    sink = Sink(target)
    sink.open(None)
    sink.put(0, 10)
    sink.put(10, 20, bad=True)
    assert sink.open(committed=20) == 20
    sink.put(20, 30, bad=True)
    sink.put(30, 40)
    assert sink.open(committed=40) == 40
    assert sink.lines() == 20


@MODES
def test_kafka_behind_the_store_changes_nothing(target: HdfsTarget) -> None:
    sink = Sink(target)
    sink.open(None)
    sink.put(0, 10)
    assert sink.open(committed=3) == 10
    assert sink.open(committed=None) == 10


@MODES
def test_kafka_ahead_of_the_store_stops_the_sink_and_says_how_to_decide(target: HdfsTarget) -> None:
    sink = Sink(target)
    sink.open(None)
    sink.put(0, 10)
    with pytest.raises(Fatal, match=r"everything below offset 15.* ends at 10.*--to 10; .*--to 15 --skip"):
        sink.open(committed=15)
    assert sink.open(committed=10) == 10, "nothing was changed"


@MODES
@pytest.mark.parametrize(("to", "skip"), [(10, False), (15, True)])
def test_the_commands_that_are_named_let_the_sink_go_on(target: HdfsTarget, to: int, skip: bool) -> None:
    sink = Sink(target)
    sink.open(None)
    sink.put(0, 10)
    with pytest.raises(Fatal):
        sink.open(committed=15)
    sink.rewind(to, skip=skip)
    assert sink.open(committed=15) == to
    sink.put(to, 20)
    assert sink.open(committed=20) == 20
    assert sink.lines() == 10 + 20 - to


@MODES
def test_a_folder_of_an_earlier_version_is_taken_over_once_where_kafka_is(target: HdfsTarget) -> None:
    """Earlier versions left no record of dead letters and ends of transactions."""
    sink = Sink(target)
    sink.open(None)
    sink.put(0, 10)
    sink.store.delete(LAYOUT.agreed)
    assert sink.open(committed=15) == 15
    assert sink.open(committed=15) == 15
    with pytest.raises(Fatal, match="below offset 16"):
        sink.open(committed=16)
    assert sink.open(committed=15) == 15
    sink.put(15, 20)
    assert sink.lines() == 15


@MODES
def test_a_partition_that_an_earlier_version_owned_again_is_taken_over_where_kafka_is(target: HdfsTarget) -> None:
    """After a return to the earlier version, say, which commits dead letters without a record in the store."""
    sink = Sink(target)
    sink.open(None)
    sink.put(0, 10)
    sink.become_earlier_version()
    assert sink.open(committed=15) == 15
    with pytest.raises(Fatal, match="below offset 16"):
        sink.open(committed=16)


@MODES
def test_that_an_earlier_version_owned_a_partition_is_known_after_a_death_at_any_step(target: HdfsTarget) -> None:
    has_died, steps = True, 0
    while has_died:
        sink = Sink(target)
        sink.open(None)
        sink.put(0, 10)
        sink.become_earlier_version()
        sink.store.before = dies_at(steps)
        try:
            sink.open(committed=15)
            has_died = False
        except Killed:
            steps += 1
        sink.store.before = lambda _: None
        assert sink.open(committed=15) == 15
    assert steps > 10


def dies_at(step: int) -> Callable[[str], None]:
    """Kills before an operation on the store."""
    number = count()

    def before(operation: str) -> None:
        if next(number) == step:
            raise Killed

    return before


def test_a_store_without_any_record_begins_where_kafka_says() -> None:
    assert Sink(HdfsTarget(path="/data")).open(committed=7) == 7
    assert Sink(HdfsTarget(path="/data")).open(committed=None) is None


def test_uploads_that_failed_do_not_pile_up() -> None:
    sink = Sink(HdfsTarget(path="/data"))
    sink.open(None)
    failures = iter(range(50))

    def fail(operation: str) -> None:
        if operation == "lengths" and next(failures, None) is not None:
            raise Retriable("away", reason="unreachable")

    sink.store.before = fail
    sink.put(0, 10)
    sink.store.before = lambda _: None
    assert [path for path in sink.store.files if "/pending/" in path] == []
    assert sink.lines() == 10
