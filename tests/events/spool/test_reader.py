"""The reader: records come in their order, damage costs what is damaged, a commit is the end of what it covers."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from events.spool.log import Spool
from events.spool.reader import DAMAGED, SpoolReader, keep_records
from tests.events.spool.helpers import MEGABYTE, fill, own_reader, read_all


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


def test_a_segment_that_can_not_be_removed_is_not_read_again(
    make: Callable[..., Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make()
    fill(spool, 500)
    reader = own_reader(spool)
    read_all(reader)

    def fails(*_: Any) -> None:
        raise OSError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", fails)
        with pytest.raises(OSError, match="denied"):
            reader.commit()
    reader.rewind()
    assert read_all(reader) == read_all(SpoolReader(spool.folder)) == []


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


def test_all_that_is_written_is_for_the_own_user_alone(make: Callable[..., Spool], tmp_path: Path) -> None:
    (tmp_path / DAMAGED).mkdir(mode=0o755)  # an earlier version made it so
    spool = make()
    fill(spool, 20)
    os.truncate(only_segment(spool), 100)
    reader = own_reader(spool)
    read_all(reader)
    reader.commit()
    keep_records(spool.folder, [b"no record"])
    fill(spool, 20)
    files = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    folders = {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_dir()}
    assert len(files) == 5
    assert len(folders) == 2
    assert set(files.values()) == {0o600}
    assert set(folders.values()) == {0o700}


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
