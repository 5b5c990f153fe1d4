"""The spool: what it took is read again in order, whatever happened to its process or its files."""

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from events.spool import DAMAGED, Fsync, Spool, SpoolFull, SpoolReader, orphans, release
from tests.support import wait_until

MEGABYTE = 2**20


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Makes spools that are closed at the end."""
    made: list[Spool] = []

    def make(**options: Any) -> Spool:
        options = {"max_bytes": MEGABYTE, "segment_bytes": 4096, "fsync": "never", **options}
        made.append(Spool(tmp_path, **options))
        return made[-1]

    yield make
    for spool in made:
        spool.close()


def fill(spool: Spool, count: int, first: int = 0) -> list[bytes]:
    payloads = [b"%d-" % number + b"x" * (number % 50) for number in range(first, first + count)]
    for payload in payloads:
        spool.append([payload])
    return payloads


def read_all(reader: SpoolReader, records: int = 7) -> list[bytes]:
    found: list[bytes] = []
    while payloads := reader.read(records, 1000):
        found += payloads
    return found


def own_reader(spool: Spool) -> SpoolReader:
    return SpoolReader(spool.folder, lambda: spool.end)


def test_records_are_read_in_order_over_segments(make: Callable[..., Spool]) -> None:
    spool = make()
    reader = own_reader(spool)
    assert reader.read(10, 1000) == []
    written = fill(spool, 500)
    assert len(list(spool.folder.glob("*.log"))) > 3
    assert read_all(reader) == written
    more = fill(spool, 20, 500)
    assert read_all(reader) == more


def test_a_record_larger_than_what_is_read_at_a_time(make: Callable[..., Spool]) -> None:
    spool = make(segment_bytes=200_000)
    large = os.urandom(150_000)
    spool.append([b"small", large, b"last"])
    assert read_all(own_reader(spool)) == [b"small", large, b"last"]


def test_what_was_committed_is_removed_and_not_read_again(make: Callable[..., Spool]) -> None:
    spool = make()
    written = fill(spool, 500)
    reader = own_reader(spool)
    first = reader.read(300, MEGABYTE)
    while len(first) < 300:
        first += reader.read(300 - len(first), MEGABYTE)
    freed = reader.commit()
    assert freed > 0
    assert read_all(SpoolReader(spool.folder)) == written[300:]


def test_what_was_read_but_not_committed_is_read_again(make: Callable[..., Spool]) -> None:
    spool = make()
    written = fill(spool, 100)
    reader = own_reader(spool)
    assert reader.read(50, MEGABYTE)
    reader.rewind()
    assert read_all(reader) == written
    assert read_all(SpoolReader(spool.folder)) == written


def test_it_is_full_at_its_bound_and_takes_records_again_afterwards(make: Callable[..., Spool]) -> None:
    spool = make(max_bytes=20_000)
    record = b"x" * 1000
    for _ in range(19):
        spool.append([record])
    with pytest.raises(SpoolFull, match="full"):
        spool.append([record])
    assert spool.used <= 20_000
    reader = own_reader(spool)
    assert len(read_all(reader)) == 19
    spool.adopt(-reader.commit())
    spool.append([record])
    assert read_all(reader) == [record]


def test_a_batch_is_taken_whole_or_not_at_all(make: Callable[..., Spool]) -> None:
    spool = make(max_bytes=MEGABYTE)
    with pytest.raises(SpoolFull):
        spool.append([b"x" * 1000] * 2000)
    assert read_all(own_reader(spool)) == []


@pytest.mark.parametrize("is_partial", [True, False])
def test_a_full_disk_leaves_no_half_record(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch, *, is_partial: bool
) -> None:
    spool = make()
    written = fill(spool, 3)
    write = os.write

    def fails(fd: int, data: bytes) -> int:
        if is_partial:
            return write(fd, data[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        with pytest.raises(SpoolFull):
            spool.append([b"y" * 100])
    written += fill(spool, 3, 3)
    assert read_all(own_reader(spool)) == written


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
def test_many_threads_append_each_record_once(make: Callable[..., Spool], fsync: str) -> None:
    spool = make(fsync=fsync, fsync_seconds=0.01)

    def work(worker: int) -> None:
        for number in range(50):
            spool.append([b"%d-%d" % (worker, number)])

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_all(own_reader(spool))
    assert len(found) == len(set(found)) == 200
    for worker in range(4):
        assert [p for p in found if p.startswith(b"%d-" % worker)] == [b"%d-%d" % (worker, n) for n in range(50)]


# --- A disk that fails


class FailingDisk:
    """os.fsync that fails on demand, or waits until it may go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails = False
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, fd: int) -> None:
        self.entered.set()
        self.may_go_on.wait(10)
        if self.fails:
            raise OSError(errno.EIO, "Input/output error")


def test_what_was_refused_because_the_disk_failed_never_arrives(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make(fsync="always")
    disk = FailingDisk(monkeypatch)
    reader = own_reader(spool)
    written = fill(spool, 3)
    used = spool.used
    disk.fails = True
    for _ in range(3):
        with pytest.raises(SpoolFull, match="Input/output error"):
            spool.append([b"refused"])
    assert (spool.used, spool.appended) == (used, 3)
    disk.fails = False
    # A segment whose fsync has failed is not written to any more.
    number = spool.end[0]
    written += fill(spool, 3, 3)
    assert spool.end[0] > number
    assert read_all(reader) == written
    assert read_all(SpoolReader(spool.folder)) == written
    assert len(list(spool.folder.glob("*.log"))) == 2


def test_all_that_wait_for_the_same_fsync_are_refused_and_none_is_read_before(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make(fsync="always")
    written = fill(spool, 1)
    disk = FailingDisk(monkeypatch)
    disk.fails = True
    disk.may_go_on.clear()
    refused: list[int] = []

    def work(number: int) -> None:
        try:
            spool.append([b"%d" % number])
        except SpoolFull:
            refused.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    assert disk.entered.wait(10)
    wait_until(lambda: spool.appended == 5)
    assert read_all(own_reader(spool)) == written
    disk.may_go_on.set()
    for thread in threads:
        thread.join()
    disk.fails = False
    assert sorted(refused) == [0, 1, 2, 3]
    written += fill(spool, 2, 1)
    assert read_all(own_reader(spool)) == read_all(SpoolReader(spool.folder)) == written


@pytest.mark.parametrize("fsync", ["interval", "always"])
def test_a_disk_that_fails_when_a_segment_ends_loses_nothing(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch, fsync: Fsync
) -> None:
    spool = make(fsync=fsync, fsync_seconds=60)
    disk = FailingDisk(monkeypatch)
    taken: list[bytes] = []
    for number in range(300):
        disk.fails = number % 40 == 39
        payload = b"%d-" % number + b"x" * 40
        try:
            spool.append([payload])
        except SpoolFull:
            continue
        taken.append(payload)
    disk.fails = False
    assert len(taken) >= 290
    assert read_all(own_reader(spool)) == read_all(SpoolReader(spool.folder)) == taken


def test_a_disk_that_can_not_take_half_a_record_back_spoils_no_other(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make()
    written = fill(spool, 3)
    write = os.write

    def fails(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
        patch.setattr(os, "ftruncate", fails)
        with pytest.raises(SpoolFull):
            spool.append([b"y" * 100])
    written += fill(spool, 3, 3)
    assert read_all(own_reader(spool)) == written


def test_a_cursor_that_can_not_be_written_costs_a_repeat_alone(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make()
    written = fill(spool, 500)
    reader = own_reader(spool)
    first = [payload for _ in range(20) for payload in reader.read(20, MEGABYTE)]

    def fails(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fails)
        spool.adopt(-reader.commit())
    assert spool.used == sum(path.stat().st_size for path in spool.folder.glob("*.log"))
    assert first + read_all(reader) == written


# --- Damage


def only_segment(spool: Spool) -> Path:
    (path,) = spool.folder.glob("*.log")
    return path


@pytest.mark.parametrize("cut", [1, 5, 9, 12])
def test_a_torn_end_costs_the_last_record_alone(make: Callable[..., Spool], tmp_path: Path, cut: int) -> None:
    spool = make()
    written = fill(spool, 20)
    path = only_segment(spool)
    os.truncate(path, path.stat().st_size - cut)
    assert read_all(SpoolReader(spool.folder)) == written[:-1]
    assert len(list((tmp_path / DAMAGED).iterdir())) == 1


def test_a_damaged_segment_is_kept_and_the_next_is_read(make: Callable[..., Spool], tmp_path: Path) -> None:
    spool = make()
    written = fill(spool, 500)
    first, *_ = sorted(spool.folder.glob("*.log"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    found = read_all(SpoolReader(spool.folder))
    lost = [payload for payload in written if payload not in found]
    assert 0 < len(lost) < 200
    assert found == [payload for payload in written if payload not in lost]
    (kept,) = (tmp_path / DAMAGED).iterdir()
    assert kept.read_bytes() == bytes(data)


def test_zeros_that_a_dying_machine_left_are_no_records(make: Callable[..., Spool]) -> None:
    spool = make()
    written = fill(spool, 5)
    with only_segment(spool).open("ab") as file:
        file.write(bytes(4096))
    assert read_all(SpoolReader(spool.folder)) == written


@pytest.mark.parametrize("content", [b"", b"short", bytes(20), b"x" * 20])
def test_an_unreadable_cursor_means_from_the_beginning(make: Callable[..., Spool], content: bytes) -> None:
    spool = make()
    written = fill(spool, 20)
    (spool.folder / "cursor").write_bytes(content)
    assert read_all(SpoolReader(spool.folder)) == written


# --- Processes


def test_a_living_process_is_not_adopted(make: Callable[..., Spool], tmp_path: Path) -> None:
    spool = make()
    assert orphans(tmp_path, set()) == []
    assert spool.folder.exists()


def test_an_empty_spool_leaves_no_folder_and_a_full_one_stays(make: Callable[..., Spool]) -> None:
    empty, full, delivered = make(), make(), make()
    fill(full, 3)
    fill(delivered, 3)
    reader = own_reader(delivered)
    read_all(reader)
    reader.commit()
    for spool in (empty, full, delivered):
        spool.close()
    assert [spool.folder.exists() for spool in (empty, full, delivered)] == [False, True, False]
    with pytest.raises(SpoolFull, match="closed"):
        full.append([b"late"])


def _append_for_ever(root: Path, said: Any) -> None:
    spool = Spool(root, max_bytes=MEGABYTE, segment_bytes=4096, fsync="never")
    for number in range(10_000):
        spool.append([b"%d" % number])
        said.send(number)


def test_the_spool_of_a_killed_process_is_adopted_once_with_all_that_it_took(tmp_path: Path) -> None:
    ours, theirs = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_append_for_ever, args=(tmp_path, theirs))
    child.start()
    answered = [ours.recv() for _ in range(500)]
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    while ours.poll():
        answered.append(ours.recv())
    ((folder, lock_fd),) = orphans(tmp_path, set())
    assert orphans(tmp_path, set()) == []
    reader = SpoolReader(folder)
    found = [int(payload) for payload in read_all(reader)]
    assert found[: len(answered)] == answered
    assert len(found) <= len(answered) + 1
    reader.commit()
    release(folder, lock_fd)
    assert not folder.exists()


@pytest.mark.parametrize("file", ["lock", "00000001.log"])
def test_a_folder_that_can_not_be_read_is_told_once_and_keeps_no_other_from_being_adopted(
    make: Callable[..., Spool],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    file: str,
) -> None:
    spools = [make() for _ in range(3)]
    for spool in spools:
        fill(spool, 3)
        spool.close()
    first, bad, last = sorted(spool.folder for spool in spools)
    (bad / file).unlink()
    (bad / file).symlink_to(bad / file)  # ELOOP: as root too, it can't be opened
    descriptors = len(os.listdir("/proc/self/fd"))
    found = orphans(tmp_path, set()) + orphans(tmp_path, set())
    assert [folder for folder, _ in found] == [first, last]
    assert len(os.listdir("/proc/self/fd")) == descriptors + 2
    for _, lock_fd in found:
        os.close(lock_fd)
    assert [str(bad) in message for message in caplog.messages] == [True]
