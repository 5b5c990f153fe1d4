"""Ownership: a folder belongs to one living process, and is adopted once when that process is gone."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from events.spool.log import Spool, SpoolFull
from events.spool.ownership import orphans, release
from events.spool.reader import SpoolReader
from tests.events.spool.helpers import MEGABYTE, fill, own_reader, read_all

FOREIGN = [
    "metrics",
    "damaged",
    "spool-",
    "my-spool-20261130T000851-12-0123abcd",
    "spool-20261130T000851-12-0123abcd.bak",
    "spool-20261130T000851-12-0123ABCD",
    "spool-20261130T000851-12-0123abcd\n",
]


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


@pytest.mark.parametrize("name", FOREIGN)
def test_a_folder_that_is_no_spool_is_left_alone_although_it_holds_a_free_lock(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "lock").touch()
    assert orphans(tmp_path, set()) == []
    assert (folder / "lock").exists()


def test_a_link_is_no_spool(make: Callable[..., Spool], tmp_path: Path) -> None:
    spool = make()
    fill(spool, 3)
    spool.close()
    elsewhere = spool.folder.rename(tmp_path / "elsewhere")
    spool.folder.symlink_to(elsewhere)
    assert orphans(tmp_path, set()) == []


@pytest.mark.parametrize("name", ["20251130T000851-12-0123abcd", ".new-20251130T000851-12-0123abcd"])
def test_a_spool_of_an_earlier_version_is_adopted_read_and_removed(
    make: Callable[..., Spool], tmp_path: Path, name: str
) -> None:
    spool = make()
    written = fill(spool, 300)
    spool.close()
    os.utime(spool.folder.rename(tmp_path / name), (0, 0))
    ((folder, lock_fd),) = orphans(tmp_path, set())
    reader = SpoolReader(folder)
    assert read_all(reader) == written
    reader.commit()
    release(folder, lock_fd)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("foreign", ["notes.log", "notes/today", "1.log"])
def test_what_is_no_file_of_the_spool_is_neither_read_nor_removed(
    make: Callable[..., Spool], tmp_path: Path, caplog: pytest.LogCaptureFixture, foreign: str
) -> None:
    spool = make()
    written = fill(spool, 300)
    spool.close()
    (spool.folder / foreign).parent.mkdir(exist_ok=True)
    (spool.folder / foreign).write_bytes(b"mine")
    ((folder, lock_fd),) = orphans(tmp_path, set())
    reader = SpoolReader(folder)
    assert reader.size() == sum(path.stat().st_size for path in folder.glob("0*.log"))
    assert read_all(reader) == written
    reader.commit()
    release(folder, lock_fd)
    assert [path for path in folder.rglob("*") if path.is_file()] == [folder / foreign]
    assert [str(folder) in message for message in caplog.messages] == [True]
    assert orphans(tmp_path, set()) == []
