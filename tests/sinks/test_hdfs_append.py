"""Growing files: what goes into which, and when one gets its final name; on an HDFS in memory."""

import logging
import threading

import pytest

from sinks.files import recovery
from sinks.files.layout import Layout
from sinks.files.ownership import Ownership
from sinks.files.partitions import AppendPartition
from sinks.hdfs.config import HdfsTarget
from sinks.records import Batch, Columns, Partition
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.states import TaskStatus
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.sinks.schedules import hasty_retry
from tests.support import event
from worker.errors import Fatal, Fenced
from worker.retry import Backoff, Retry

PARTITION = Partition("t", 0)
LAYOUT = Layout("/data", "sink", PARTITION)


class Fixture:
    """A partition in append mode; `clock` is its time in seconds."""

    def __init__(self, folders: str = "", **limits: int | float) -> None:
        self.hdfs = MemoryHdfs()
        self.hdfs.make_folders("/data")
        self.clock = 0.0
        self.published = 0
        target = HdfsTarget(path="/data", mode="append", folders=folders, **limits)
        ownership = Ownership(self.hdfs, LAYOUT)
        hasty_retry().run(ownership.take_over())
        self.partition = AppendPartition(
            ownership,
            None,
            target.layout("select-color"),
            partition=PARTITION,
            target=target,
            check_identity=lambda: None,
            published=self._publish,
            clock=lambda: self.clock,
        )

    def store(self, *offsets: int) -> None:
        """A batch of the events of these numbers."""
        batch = Batch(PARTITION, offsets[0], 0, opened_at=0.0)
        batch.add(Columns(offsets, [event(offset) for offset in offsets], [0] * len(offsets)), {})
        hasty_retry().run(self.partition.store([batch]))

    def rest(self, *, leaving: bool = False) -> None:
        hasty_retry().run(self.partition.rest(leaving=leaving))

    def paths(self) -> list[str]:
        """The visible files."""
        return sorted(file.path for file in self.hdfs.walk("/data"))

    def files(self) -> dict[str, list[int]]:
        """The numbers of the events in each visible file, its name shortened."""
        numbers = {event(number): number for number in range(100)}
        return {
            path.removeprefix("/data/").replace("0" * 18, "~"): [
                numbers[line] for line in self.hdfs.read(path).splitlines()
            ]
            for path in self.paths()
        }

    def _publish(self, files: int) -> None:
        self.published += files


def test_batches_go_into_one_file_that_is_open_by_name_until_it_is_full() -> None:
    fixture = Fixture(roll_records=6)
    fixture.store(0, 1)
    assert fixture.files() == {"t-0-~00.open": [0, 1]}
    fixture.store(4, 5, 6)
    assert fixture.files() == {"t-0-~00.open": [0, 1, 4, 5, 6]}
    fixture.store(7)
    assert fixture.files() == {"t-0-~00-~07.log": [0, 1, 4, 5, 6, 7]}
    fixture.store(8)
    assert fixture.files() == {"t-0-~00-~07.log": [0, 1, 4, 5, 6, 7], "t-0-~08.open": [8]}
    assert fixture.published == 1


def test_a_file_is_full_by_bytes() -> None:
    fixture = Fixture(roll_bytes=1024)
    fixture.store(*range(5))
    assert list(fixture.files()) == ["t-0-~00.open"]
    fixture.store(*range(5, 10))
    assert list(fixture.files()) == ["t-0-~00-~09.log"]


def test_a_file_is_closed_by_age_whether_records_come_or_not() -> None:
    fixture = Fixture(roll_seconds=10)
    fixture.store(0)
    fixture.clock = 9.9
    fixture.store(1)
    fixture.rest()
    assert list(fixture.files()) == ["t-0-~00.open"]
    fixture.clock = 10
    fixture.rest()
    assert list(fixture.files()) == ["t-0-~00-~01.log"]


def test_of_many_folders_the_files_written_last_stay_open() -> None:
    fixture = Fixture(folders="{colorName}", open_files=2)
    fixture.store(0, 1, 2)  # red, yellow, green
    assert list(fixture.files()) == ["green/t-0-~02.open", "red/t-0-~00-~00.log", "yellow/t-0-~01.open"]
    fixture.store(5)
    fixture.store(7)  # yellow; blue
    assert fixture.files() == {
        "blue/t-0-~07.open": [7],
        "green/t-0-~02-~02.log": [2],
        "red/t-0-~00-~00.log": [0],
        "yellow/t-0-~01.open": [1, 5],
    }


def test_a_partition_that_is_left_leaves_no_open_file_and_no_mark() -> None:
    fixture = Fixture(folders="{colorName}")
    fixture.store(0, 1, 2, 3, 4, 5)
    fixture.rest(leaving=True)
    assert not any(path.endswith(".open") for path in fixture.files())
    assert not any(".open" in folder for folder in fixture.hdfs.folders)
    assert fixture.published == 4


def test_a_file_to_which_an_append_did_not_work_is_never_closed_as_it_is() -> None:
    fixture = Fixture()
    fixture.store(0)
    (path,) = fixture.paths()
    fixture.hdfs.files[path].leased = True
    with pytest.raises(Fenced):
        fixture.store(1)
    fixture.rest(leaving=True)
    assert fixture.files() == {"t-0-~00.open": [0]}


def test_cutting_what_a_killed_writer_left_is_told_and_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    fixture = Fixture()
    fixture.store(0, 1)
    (path,) = fixture.paths()
    file = fixture.hdfs.files[path]
    whole = len(file.data)
    file.data += b"torn"
    caplog.set_level(logging.INFO)
    task = TaskStatus("sink/0", SinkMetrics())
    retry = Retry("sink/0 t-0", Backoff(1e-9, 1e-9), threading.Event(), task.assign(PARTITION))
    retry.run(Ownership(fixture.hdfs, LAYOUT).take_over())
    assert fixture.files() == {"t-0-~00-~01.log": [0, 1]}
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"{path}: cut to its committed {whole} bytes; the 4 after them are written again")
    ]
    assert task.report().errors == []


def test_cutting_that_takes_long_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recovery, "_LEASE_SECONDS", 0.0)
    fixture = Fixture()
    fixture.store(0, 1)
    fixture.hdfs.files[fixture.paths()[0]].data += b"torn"
    hasty_retry().run(Ownership(fixture.hdfs, LAYOUT).take_over())
    assert "cutting t-0-00000000000000000000.open failed (try 1" in caplog.text


def test_an_open_file_that_is_missing_or_too_short_halts_the_next_owner() -> None:
    fixture = Fixture()
    fixture.store(0, 1)
    (path,) = fixture.paths()
    file = fixture.hdfs.files[path]
    file.data = file.data[:-1]
    with pytest.raises(Fatal, match="has less than"):
        hasty_retry().run(Ownership(fixture.hdfs, LAYOUT).take_over())
    fixture = Fixture()
    fixture.store(0, 1)
    fixture.hdfs.delete(path)
    with pytest.raises(Fatal, match="is missing, of which"):
        hasty_retry().run(Ownership(fixture.hdfs, LAYOUT).take_over())
