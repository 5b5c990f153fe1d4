"""The log: records are taken as a whole or refused, and what was refused never arrives, whatever the disk does."""

import errno
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from events.spool.log import Fsync, Spool, SpoolFull
from events.spool.reader import SpoolReader
from tests.events.spool.helpers import MEGABYTE, fill, own_reader, read_all
from tests.support import wait_until


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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_after_a_failed_append_it_can_not_be_written_until_the_disk_takes_as_much_again(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    spool = make()
    fill(spool, 1)
    assert spool.can_be_written()
    write = os.write

    def fails(fd: int, data: bytes) -> int:
        if len(data) < 100:
            return write(fd, data)
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        with pytest.raises(SpoolFull):
            spool.append([b"y" * 100])
        assert not spool.can_be_written()
    assert spool.can_be_written(), "nobody had to append"
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        assert not spool.can_be_written()
        fill(spool, 1)
        assert spool.can_be_written(), "an append has worked"


def test_after_a_failed_fsync_it_can_not_be_written_until_one_works(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make(fsync="always")
    disk = FailingDisk(monkeypatch)
    disk.fails = True
    with pytest.raises(SpoolFull):
        spool.append([b"refused"])
    assert not spool.can_be_written()
    disk.fails = False
    assert spool.can_be_written()


def test_a_spool_at_its_bound_can_be_written(make: Callable[..., Spool]) -> None:
    spool = make(max_bytes=20_000)
    with pytest.raises(SpoolFull):
        spool.append([b"x" * 30_000])
    assert spool.can_be_written()


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


def test_what_was_refused_because_the_process_has_too_many_open_files_never_arrives(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make(fsync="always")
    written = fill(spool, 1)

    def refuse(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "dup", refuse)
        with pytest.raises(SpoolFull, match="Too many open files"):
            spool.append([b"refused"])
    written += fill(spool, 1, 1)
    assert read_all(own_reader(spool)) == written


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
