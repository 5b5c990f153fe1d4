"""What a file source makes of files, one way of writing or rotating at a time."""

import gzip
import json
import os
import random
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sources.file.content import Unpacked
from sources.file.kind import FileKind
from tests.sources.files import FileSource
from worker.errors import Fatal


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "app.log"


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_a_line_is_a_record_when_its_end_is_there(log: Path) -> None:
    source = FileSource(log)
    append(log, b"one\ntw")
    source.drain()
    assert source.lines == [b"one"]
    append(log, b"o\n")
    source.drain()
    assert source.lines == [b"one", b"two"]


def test_a_file_that_comes_later_is_read_from_its_beginning(log: Path) -> None:
    source = FileSource(log)
    source.drain()
    append(log, b"one\n")
    source.drain()
    assert source.lines == [b"one"]


def test_empty_lines_are_records_without_bytes(log: Path) -> None:
    append(log, b"one\n\n\ntwo\n")
    source = FileSource(log)
    source.drain()
    assert source.lines == [b"one", b"", b"", b"two"]


def test_a_return_before_the_end_belongs_to_the_end(log: Path) -> None:
    append(log, b"one\r\ntwo\rthree\r\n\r\n")
    source = FileSource(log)
    source.drain()
    assert source.lines == [b"one", b"two\rthree", b""]


def test_from_the_end_gives_the_lines_that_come_later(log: Path, tmp_path: Path) -> None:
    append(log, b"old\nhalf of ")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(b"older\n"))
    source = FileSource(tmp_path / "app.log*", start="end")
    source.drain()
    source.kill()
    append(log, b"a line\nnew\n")
    append(tmp_path / "app.log.2", b"a later file\n")
    source.settle()
    assert sorted(source.lines) == [b"a later file", b"half of a line", b"new"]


def test_a_source_from_the_end_that_is_killed_gives_what_came_while_it_was_down(tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*", start="end")
    source.drain()
    source.kill()
    append(tmp_path / "app.log", b"one\n")
    source.drain()
    assert source.lines == [b"one"]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_file_that_is_renamed_to_a_name_outside_the_patterns_is_read_to_its_end(log: Path, is_killed: bool) -> None:
    source = FileSource(log)
    append(log, b"one\n")
    source.drain()
    append(log, b"two\n")
    log.rename(log.with_name("old"))
    if is_killed:
        source.kill()
    append(log, b"another file\n")
    source.drain()
    append(log.with_name("old"), b"three\n")
    source.settle()
    assert sorted(source.lines) == [b"another file", b"one", b"three", b"two"]
    assert len(source.handles) <= 1, "the file with the other name is closed once it is quiet"


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_file_behind_a_link_is_read_to_its_end_also_when_the_link_leads_to_another_file(
    tmp_path: Path, is_killed: bool
) -> None:
    (tmp_path / "links").mkdir()
    link, first, second = tmp_path / "links" / "app.log", tmp_path / "0.log", tmp_path / "1.log"
    source = FileSource(link)
    append(first, b"one\n")
    link.symlink_to(first)
    source.drain()
    append(first, b"two\n")
    append(second, b"another file\n")
    link.unlink()
    link.symlink_to(second)
    if is_killed:
        source.kill()
    source.drain()
    assert sorted(source.lines) == [b"another file", b"one", b"two"]


def test_a_deleted_file_is_read_to_its_end(log: Path) -> None:
    source = FileSource(log)
    with log.open("ab", buffering=0) as writer:
        writer.write(b"one\n")
        source.drain()
        writer.write(b"two\n")
        log.unlink()
        source.drain()
        writer.write(b"three\nfour")
        source.drain()
        assert source.lines == [b"one", b"two", b"three"]
        source.settle()
    assert source.lines == [b"one", b"two", b"three", b"four"]
    source.settle()
    assert len(source.handles) == 0


def test_a_file_that_is_deleted_before_its_reader_came_to_it_is_read(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "*")
    append(log, b"one\n")
    source.finder.look()
    log.unlink()
    source.drain()
    assert source.lines == [b"one"]


def test_a_deleted_file_is_read_on_after_a_failed_transaction(log: Path) -> None:
    source = FileSource(log)
    append(log, b"one\ntwo\n")
    for number in source.readers:
        source.read(number, aborts=True)
    log.unlink()
    source.drain()
    assert source.lines == [b"one", b"two"]


def test_a_file_that_another_one_replaces_is_read_to_its_end_and_so_is_the_other_one(log: Path) -> None:
    source = FileSource(log)
    append(log, b"one\n")
    source.drain()
    append(log, b"two\n")
    new = log.with_name("new")
    new.write_bytes(b"one of the new file\n")
    new.replace(log)
    source.drain()
    assert sorted(source.lines) == [b"one", b"one of the new file", b"two"]


def test_a_file_outside_the_patterns_that_got_the_number_of_a_deleted_file_is_not_read(
    log: Path, tmp_path: Path
) -> None:
    source = FileSource(log, look_seconds=1)
    append(log, b"header\none\n")
    (tmp_path / "elsewhere").mkdir()
    number = tmp_path / "elsewhere" / "number"
    os.link(log, number)
    source.drain()
    log.unlink()
    source.drain()
    source.clock.now += 1000
    for part in source.readers:
        source.read(part, aborts=True)  # the file is closed, but its position does not say so
    number.write_bytes(b"header\ntwo\n")
    number.rename(tmp_path / "other")
    for part in [*source.readers, *source.readers]:
        source.read(part)  # before the next look
    source.settle()
    assert source.lines == [b"header", b"one"]


def test_a_copy_that_got_name_and_number_of_a_file_closed_since_the_look_is_not_taken_for_it(
    log: Path, tmp_path: Path
) -> None:
    source = FileSource(tmp_path / "app.log*", look_seconds=1)
    (tmp_path / "elsewhere").mkdir()
    number, copy = tmp_path / "elsewhere" / "number", tmp_path / "app.log.1"
    append(copy, b"header\none\n")
    os.link(copy, number)
    source.drain()
    copy.unlink()
    source.drain()
    append(log, b"header\ntwo\nthree\n")
    source.clock.now += 1000
    for part in source.readers:
        source.read(part, aborts=True)  # the deleted file is closed
    number.write_bytes(b"header\ntwo\n")
    number.rename(copy)
    for part in source.readers:
        source.read(part)  # before the next look
    append(copy, b"three\n")
    source.settle()
    assert source.lines == [b"header", b"one", b"header", b"two", b"three"]


def test_a_truncated_file_begins_anew(log: Path) -> None:
    source = FileSource(log)
    append(log, b"one\ntwo\n")
    source.drain()
    log.write_bytes(b"new\n")
    source.drain()
    log.write_bytes(b"newer, and longer than what was there before\n")
    source.drain()
    assert source.lines == [b"one", b"two", b"new", b"newer, and longer than what was there before"]


def test_a_truncated_file_with_the_same_first_line_begins_anew_also_when_it_is_longer(log: Path) -> None:
    source = FileSource(log)
    append(log, b"header\none\n")
    source.drain()
    log.write_bytes(b"header\ntwo\nthree\n")
    source.drain()
    assert source.lines == [b"header", b"one", b"header", b"two", b"three"]


def test_a_file_that_was_truncated_before_it_was_read_and_then_deleted_is_read_by_one_group(
    log: Path, tmp_path: Path
) -> None:
    source = FileSource(tmp_path / "app.log*", options={"batch_records": 1})
    append(tmp_path / "app.log.1", b"header\none\n")
    os.utime(tmp_path / "app.log.1", (0, 0))
    append(log, b"header\ntwo\n")
    for part in source.readers:
        source.read(part)
    assert source.lines == [b"header"]
    log.write_bytes(b"another first line\n")
    source.finder.look()
    log.unlink()
    source.settle()
    assert sorted(source.lines) == [b"another first line", b"header", b"one"]


def test_bytes_of_before_and_after_a_truncation_are_never_one_line(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread = os.pread
    append(log, b"one\ntwo\nthr")
    source = FileSource(log)
    source.finder.look()

    def truncated_behind_it(fd: int, size: int, offset: int) -> bytes:
        data = pread(fd, size, offset)
        if data.endswith(b"thr"):
            log.write_bytes(b"one\nsome other lines\nthat are longer\n")
        return data

    monkeypatch.setattr("os.pread", truncated_behind_it)
    source.drain()
    monkeypatch.undo()
    source.settle()
    assert source.lines == [b"one", b"two", b"one", b"some other lines", b"that are longer"]


@pytest.mark.parametrize("name", ["app.log.1", "app.log-20261130", "app-20261130.log", "old/app.log.1"])
def test_what_was_not_read_before_a_truncation_is_read_from_the_copy(log: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "old").mkdir()
    source = FileSource(tmp_path / "**" / "app*")
    append(log, b"one\n")
    source.drain()
    append(log, b"two\n")
    shutil.copyfile(log, tmp_path / name)
    log.write_bytes(b"new\n")
    source.drain()
    assert source.lines == [b"one", b"two", b"new"] or source.lines == [b"one", b"new", b"two"]


def test_a_copy_that_lacks_the_last_lines_that_were_read_gives_nothing(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*")
    append(log, b"one\n")
    shutil.copyfile(log, tmp_path / "app.log.1")
    append(log, b"two\n")
    (tmp_path / "app.log.1").rename(tmp_path / "hidden")
    source.drain()
    (tmp_path / "hidden").rename(tmp_path / "app.log.1")
    log.write_bytes(b"new\n")
    source.settle()
    assert source.lines == [b"one", b"two", b"new"]


def test_a_copy_of_a_file_that_goes_on_gives_nothing(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*")
    append(log, b"one\n")
    source.drain()
    shutil.copyfile(log, tmp_path / "app.log.1")
    append(log, b"two\n")
    source.settle()
    assert source.lines == [b"one", b"two"]


def test_a_copy_of_a_file_that_is_there_is_not_taken_for_that_of_a_truncated_one_with_the_same_first_line(
    log: Path, tmp_path: Path
) -> None:
    source = FileSource(tmp_path / "app.log*")
    append(tmp_path / "app.log.1", b"header\none\n")
    append(log, b"header\n")
    source.drain()
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(b"header\none\n"))
    source.drain()
    log.write_bytes(b"")
    source.settle()
    assert sorted(source.lines) == [b"header", b"header", b"one"]


def test_a_compressed_file_goes_on_from_the_file_that_has_most_in_common_with_it(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*")
    append(log, b"header\n")
    source.drain()
    append(tmp_path / "app.log.1", b"header\none\n")
    source.drain()
    log.unlink()
    (tmp_path / "app.log.1").unlink()
    source.settle()
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(b"header\none\ntwo\n"))
    source.settle()
    assert source.lines == [b"header", b"header", b"one", b"two"]


def test_different_files_with_the_same_bytes_are_all_read(tmp_path: Path) -> None:
    for number in range(20):
        append(tmp_path / f"file-{number}.txt", b"the same\n")
    source = FileSource(tmp_path / "*.txt")
    source.drain()
    assert source.lines == [b"the same"] * 20


@pytest.mark.parametrize("is_killed", [False, True])
@pytest.mark.parametrize("read", [b"", b"one\n", b"one\ntwo\n", b"one\ntwo\nthree\n"])
def test_what_was_not_read_before_a_file_was_compressed_is_read_after_it(
    log: Path, tmp_path: Path, read: bytes, is_killed: bool
) -> None:
    source = FileSource(tmp_path / "app.log*")
    if read:
        append(log, read)
        source.drain()
    if is_killed:
        source.kill()
    log.write_bytes(b"one\ntwo\nthree\n")
    log.rename(tmp_path / "app.log.1")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress((tmp_path / "app.log.1").read_bytes()))
    (tmp_path / "app.log.1").unlink()
    append(log, b"new\n")
    (tmp_path / "app.log.1.gz").rename(tmp_path / "app.log.2.gz")
    source.settle()
    source.kill()
    source.settle()
    assert sorted(source.lines) == [b"new", b"one", b"three", b"two"]


def test_a_half_line_that_is_completed_and_compressed_between_two_looks_is_read_once(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*")
    append(log, b"half of ")
    source.drain()
    append(log, b"a line\n")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    source.settle()
    source.settle()
    assert source.lines == [b"half of a line"]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_half_line_that_is_compressed_before_it_counts_as_a_line_is_read_once(
    log: Path, tmp_path: Path, is_deleted: bool
) -> None:
    source = FileSource(tmp_path / "app.log*")
    append(log, b"half")
    source.drain()
    log.rename(tmp_path / "app.log.1")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(b"half"))
    if is_deleted:
        (tmp_path / "app.log.1").unlink()
    source.drain()
    source.settle()
    source.settle()
    assert source.lines == [b"half"]


def test_a_compressed_file_of_several_members_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "old.gz").write_bytes(gzip.compress(b"one\ntw") + gzip.compress(b"o\n" + b"x" * 100_000 + b"\nlast"))
    source = FileSource(tmp_path / "*.gz")
    source.drain()
    assert source.lines == [b"one", b"two", b"x" * 100_000, b"last"]


def test_a_damaged_compressed_file_gives_what_can_be_unpacked_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [b"line %d" % number for number in range(100_000)]
    data = gzip.compress(b"\n".join(lines))
    chance = random.Random(1)
    (tmp_path / "old.gz").write_bytes(data[: len(data) // 2] + chance.randbytes(len(data) // 2))
    source = FileSource(tmp_path / "*")
    source.settle()
    count = len(source.lines)
    assert count > 10_000 and source.lines[: count - 100] == lines[: count - 100]
    source.kill()
    source.settle()
    assert len(source.lines) == count
    assert caplog.text.count("can't be unpacked") == 1


@pytest.mark.parametrize(
    "way", ["its original is there", "its original is gone", "it lacks lines that were read", "it was read in part"]
)
def test_a_read_unpacks_a_bounded_part_of_a_large_compressed_file(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    unpacked = 0
    unpack = Unpacked._unpack

    def counted(content: Unpacked, size: int) -> bytes:
        nonlocal unpacked
        data = unpack(content, size)
        unpacked += len(data)
        return data

    monkeypatch.setattr("sources.file.group.MOST_UNPACKED", 100_000)
    monkeypatch.setattr(Unpacked, "_unpack", counted)
    lines = [b"line %d of a file with many lines" % number for number in range(50_000)]
    text = b"\n".join(lines) + b"\n"
    packed = tmp_path / "app.log.1.gz"
    source = FileSource(tmp_path / "app.log*", options={"batch_bytes": 50_000})
    if way == "it was read in part":
        packed.write_bytes(gzip.compress(text))
    else:
        append(log, text)
    for _ in range(20):
        for part in source.readers:
            source.read(part)
    assert 0 < len(source.lines) < len(lines)
    match way:
        case "its original is there":
            packed.write_bytes(gzip.compress(text))
        case "its original is gone":
            log.unlink()
            packed.write_bytes(gzip.compress(text))
            source.kill()
        case "it lacks lines that were read":
            source.drain()
            packed.write_bytes(gzip.compress(text[: len(text) // 2]))
            log.write_bytes(b"")
            source.kill()
        case "it was read in part":
            source.kill()
    for _ in range(200):
        for part in source.readers:
            unpacked = 0
            source.read(part)
            assert unpacked < 300_000
    assert source.lines == lines


def test_a_large_compressed_file_is_read_on_when_another_file_is_compressed_meanwhile(
    log: Path, tmp_path: Path
) -> None:
    source = FileSource(tmp_path / "*.log*", options={"batch_records": 10})
    append(log, b"header\none\n")
    source.drain()
    lines = [b"header", *(b"line %d" % number for number in range(100))]
    (tmp_path / "other.log.1.gz").write_bytes(gzip.compress(b"\n".join(lines) + b"\n"))
    for part in source.readers:
        source.read(part)
    append(log, b"two\n")
    (tmp_path / "app.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    source.handles.close_all()  # as if others had been opened since
    for part in source.readers:
        source.read(part)
    source.settle()
    assert sorted(source.lines) == sorted([b"header", b"one", b"two", *lines])


def test_a_file_with_two_names_is_read_once(log: Path, tmp_path: Path) -> None:
    append(log, b"one\n")
    os.link(log, tmp_path / "second")
    os.symlink(log, tmp_path / "third")
    source = FileSource(tmp_path / "*", tmp_path / "app.log")
    source.drain()
    assert source.lines == [b"one"]


def test_a_last_line_without_end_counts_once_its_file_was_renamed_and_is_quiet(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*")
    append(log, b"one\nlast")
    source.settle()
    assert source.lines == [b"one"], "the writer may be at it still"
    log.rename(tmp_path / "app.log.1")
    source.settle()
    assert source.lines == [b"one", b"last"]
    source.kill()
    append(tmp_path / "app.log.1", b"\nmore\n")
    source.settle()
    assert source.lines == [b"one", b"last", b"more"]


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_single_line_without_end_counts_once_its_file_has_lost_its_name_and_is_quiet(
    log: Path, tmp_path: Path, is_deleted: bool
) -> None:
    source = FileSource(tmp_path / "app.log*", key="name")
    with log.open("ab", buffering=0) as writer:
        writer.write(b"half of ")
        source.settle()
        writer.write(b"a line")
        source.drain()
        log.unlink() if is_deleted else log.rename(tmp_path / "app.log.1")
        source.settle()
        source.settle()
        assert [(record.value, record.key) for record in source.committed] == [(b"half of a line", b"app.log")]
        if not is_deleted:
            source.kill()
            writer.write(b"\nmore\n")
            source.settle()
            assert source.lines == [b"half of a line", b"more"]
    source.settle()
    assert not is_deleted or len(source.handles) == 0


@pytest.mark.parametrize("half", [b"half", b"another half"])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_first_line_may_be_completed_late_in_a_file_that_has_lost_its_name(
    log: Path, tmp_path: Path, half: bytes, is_deleted: bool
) -> None:
    source = FileSource(tmp_path / "app.log*")
    with log.open("ab", buffering=0) as writer:
        writer.write(half)
        source.drain()
        log.unlink() if is_deleted else log.rename(tmp_path / "app.log.1")
        source.drain()
        source.clock.now += source.config.target.last_line_seconds
        source.drain()  # the file is dealt out as if its line were complete
        writer.write(b" of a line\nmore\n")
        source.settle()
    assert source.lines == [half + b" of a line", b"more"]


def test_a_last_line_without_end_waits_for_it_where_the_setting_says_so(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*", last_line_seconds=None)
    append(log, b"one\nlast")
    source.drain()
    log.rename(tmp_path / "app.log.1")
    source.settle()
    assert source.lines == [b"one"]
    append(tmp_path / "app.log.1", b" line\n")
    source.drain()
    assert source.lines == [b"one", b"last line"]


def test_lines_of_10_mb_are_records_where_the_setting_allows_them(log: Path) -> None:
    long = b"x" * 10_000_000
    append(log, b"one\n" + long + b"\ntwo\n")
    source = FileSource(log, max_line_bytes=10_000_000)
    source.drain()
    assert source.lines == [b"one", long, b"two"]


@pytest.mark.parametrize("extra", [b"", b"\r"])
def test_a_line_that_is_just_not_too_long_is_a_record(log: Path, extra: bytes) -> None:
    append(log, b"x" * 5000 + extra + b"\n")
    source = FileSource(log, max_line_bytes=5000)
    source.drain()
    assert source.lines == [b"x" * 5000]


@pytest.mark.parametrize("length", [11, 12, 13, 5000, 500_000])
@pytest.mark.parametrize("pieces", [1, 7])
def test_a_line_that_is_too_long_becomes_one_dead_letter(log: Path, length: int, pieces: int) -> None:
    source = FileSource(log, max_line_bytes=10, dead_letter_topic="dead")
    text = b"one\n" + b"x" * length + b"\n\ntwo\n"
    for piece in range(pieces):
        append(log, text[piece * len(text) // pieces : (piece + 1) * len(text) // pieces])
        source.drain()
        source.kill()
    assert [record.value for record in source.committed if record.topic == "lines"] == [b"one", b"", b"two"]
    (letter,) = [record for record in source.committed if record.topic == "dead"]
    assert letter.value == b"x" * 10
    assert json.loads(dict(letter.headers or ())["dlq.position"] or b"") == {"path": str(log), "offset": 4}


def test_without_a_dead_letter_topic_a_line_that_is_too_long_stops_the_source(log: Path) -> None:
    append(log, b"one\n" + b"x" * 20 + b"\n")
    source = FileSource(log, max_line_bytes=10)
    with pytest.raises(Fatal, match=r"app.log: the line at byte 4 has more than 10 bytes; raise target.max_line_bytes"):
        source.drain()
    assert source.lines == [b"one"]


def test_a_line_without_end_needs_bounded_memory(log: Path) -> None:
    with log.open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
    source = FileSource(log, dead_letter_topic="dead")
    tracemalloc.start()
    source.drain()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000
    assert len(source.committed) == 1


def test_lines_that_are_not_of_the_encoding_keep_their_bytes(log: Path) -> None:
    append(log, "시험\n".encode() + b"\xff\xfe\xc3\n")
    source = FileSource(log)
    source.drain()
    assert source.lines == ["시험".encode(), b"\xff\xfe\xc3"]


def test_another_encoding_becomes_utf_8(log: Path) -> None:
    append(log, "시험\n".encode("cp949") + b"\xff\xff\n")
    source = FileSource(log, encoding="cp949")
    source.drain()
    assert source.lines == ["시험".encode(), b"\xff\xff"]


def test_json_has_the_line_its_file_its_place_and_the_bytes_that_are_no_text(log: Path) -> None:
    append(log, b'"one"\r\n\xff\n')
    source = FileSource(log, format="json", key="name")
    source.drain()
    assert [json.loads(line) for line in source.lines] == [
        {"line": '"one"', "path": str(log), "offset": 0},
        {"line": "�", "bytes": "/w==", "path": str(log), "offset": 7},
    ]
    assert {record.key for record in source.committed} == {b"app.log"}


def test_headers_and_key_tell_the_file_also_after_it_was_renamed(log: Path, tmp_path: Path) -> None:
    source = FileSource(tmp_path / "app.log*", headers=True, key="path")
    append(log, b"one\n")
    source.drain()
    log.rename(tmp_path / "app.log.1")
    append(tmp_path / "app.log.1", b"two\n")
    source.drain()
    path = str(log).encode()
    assert [(record.key, record.headers) for record in source.committed] == [
        (path, [("file.path", path), ("file.offset", b"0")]),
        (path, [("file.path", path), ("file.offset", b"4")]),
    ]


def test_a_read_gives_at_most_a_batch(log: Path) -> None:
    append(log, b"".join(b"%d\n" % number for number in range(100)) + b"x" * 3000 + b"\n")
    source = FileSource(log, options={"batch_records": 7, "batch_bytes": 1024})
    sizes = []
    for number in source.readers:
        before = len(source.lines)
        while source.read(number) or len(source.lines) > before:
            sizes.append(len(source.lines) - before)
            before = len(source.lines)
    assert max(sizes) == 7 and len(source.lines) == 101


def test_a_thousand_files_are_read_with_few_handles(tmp_path: Path) -> None:
    for number in range(1000):
        append(tmp_path / f"{number}.log", b"header\n%d\n" % number)
    source = FileSource(tmp_path / "*.log", open_files=10)
    source.drain()
    source.kill()
    for number in range(0, 1000, 3):
        append(tmp_path / f"{number}.log", b"more of %d\n" % number)
    source.drain()
    assert len(source.handles) <= 10
    assert source.counts[b"header"] == 1000
    assert len(set(source.lines)) == 1 + 1000 + 334
    assert len(source.lines) == 2000 + 334


def test_files_that_are_gone_for_long_are_forgotten(log: Path) -> None:
    source = FileSource(log, forget_days=1e-9)
    append(log, b"one\n")
    source.drain()
    log.unlink()
    source.settle()
    source.settle()
    assert [position for position in source.positions.values() if b"app.log" in position] == []


def test_a_file_that_is_away_for_a_time_goes_on_where_it_was(log: Path, tmp_path: Path) -> None:
    source = FileSource(log)
    append(log, b"one\n")
    source.drain()
    (tmp_path / "away").mkdir()
    log.rename(tmp_path / "away" / "app.log")
    source.kill()
    source.settle()
    (tmp_path / "away" / "app.log").rename(log)
    append(log, b"two\n")
    source.settle()
    assert source.lines == [b"one", b"two"]


def test_what_is_no_file_and_what_can_not_be_read_does_not_keep_others_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    os.symlink(tmp_path, tmp_path / "folder" / "loop")
    os.symlink(tmp_path / "folder" / "loop", tmp_path / "folder" / "second_loop")
    os.symlink("itself", tmp_path / "itself")
    os.symlink("nothing", tmp_path / "dangling")
    append(tmp_path / "secret", b"secret\n")
    append(tmp_path / "folder" / "file", b"one\n")
    real_open = os.open

    def refusing(path, *args, **kwargs):
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refusing)  # who runs the tests may be root, whom the system lets read all files
    source = FileSource(tmp_path / "**", tmp_path / "*" / "*", tmp_path / "nothing*" / "*")
    source.drain()
    assert source.lines == [b"one"]
    assert "secret can't be read: Permission denied" in caplog.text
    monkeypatch.undo()
    source.drain()
    assert source.lines == [b"one", b"secret"]


def test_a_fifo_that_takes_the_place_of_a_file_is_not_waited_for(log: Path) -> None:
    source = FileSource(log)
    append(log, b"one\n")
    source.finder.look()
    log.unlink()
    os.mkfifo(log)
    source.kill()
    source.settle()
    assert source.lines == []


def test_a_name_that_is_no_utf_8_is_followed_like_any_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.log")
    append(Path(name), b"one\n" + b"x" * 11 + b"\n")
    source = FileSource(tmp_path / "*.log", format="json", headers=True, max_line_bytes=10, dead_letter_topic="dead")
    source.drain()
    source.kill()
    append(Path(name), b"two\n")
    source.drain()
    lines = [json.loads(record.value or b"") for record in source.committed if record.topic == "lines"]
    assert [line["line"] for line in lines] == ["one", "two"]
    assert len(source.committed) == 3
    assert "\ufffd.log: the line at byte 4" in caplog.text.encode().decode()  # what is logged can be written anywhere


def test_files_that_are_gone_make_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.file.group.MOST_FILES", 3)
    source = FileSource(tmp_path / "*.log")
    for number in range(5):
        append(tmp_path / f"{number}.log", b"header\n%d\n" % number)
    source.drain()
    assert source.counts[b"header"] == 3
    for path in [tmp_path / f"{number}.log" for number in range(5)]:
        source.settle()
        path.unlink()
    source.settle()
    source.settle()
    assert source.counts[b"header"] == len(source.lines) / 2 == 5


@pytest.mark.parametrize("position", [{"offset": 1}, {"files": [{}]}, {"files": 1}])
def test_a_position_of_another_kind_stops_the_source_and_can_not_be_given(log: Path, position: dict[str, Any]) -> None:
    source = FileSource(log)
    with pytest.raises(Fatal, match="position of files-00 can't be understood"):
        source.readers[0].open(position)
    with pytest.raises(ValueError, match=r"files|missing required field"):
        FileKind().position(source.config, "files-00", json.dumps(position))


def test_the_files_of_settings_that_were_changed_are_closed(log: Path) -> None:
    append(log, b"one\n")
    source, kind = FileSource(log), FileKind()
    reader = kind.reader(source.config, "files-00")
    reader.open(None)
    reader.read()
    handles = kind._finder(source.config).handles
    assert len(handles) == 1
    kind.reader(msgspec.structs.replace(source.config, poll_seconds=5.0), "files-00")
    assert len(handles) == 0


def test_a_file_on_a_device_that_has_another_number_after_a_restart_is_not_read_again(log: Path) -> None:
    source = FileSource(log)
    append(log, b"one\n")
    source.drain()
    for number, position in source.positions.items():
        place = json.loads(position)
        for file in place["files"]:
            file["device"] += 1
        source.positions[number] = json.dumps(place).encode()
    source.kill()
    append(log, b"two\n")
    source.drain()
    assert source.lines == [b"one", b"two"]
