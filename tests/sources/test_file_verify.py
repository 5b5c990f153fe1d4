"""`verify_source` for files: the lines are counted in the files and in Kafka."""

import gzip
from pathlib import Path

import msgspec
import pytest

from kafka_client.producer import Record
from sources.file.verify import FileVerification
from tests.sources.files import FileSource


def verify(source: FileSource, records: list[Record]) -> tuple[list[str], str]:
    positions = {str(number): msgspec.json.decode(position) for number, position in source.positions.items()}
    verification = FileVerification(source.config, positions, source.finder)
    for record in records:
        verification.take(record)
    return list(verification.findings()), verification.counted


@pytest.fixture
def source(tmp_path: Path) -> FileSource:
    (tmp_path / "app.log").write_bytes(b"one\r\ntwo\ntwo\n\nhalf a li")
    (tmp_path / "old.log.gz").write_bytes(gzip.compress(b"first\nlast"))
    source = FileSource(tmp_path / "*.log*", format="json")
    source.drain()
    return source


def test_all_lines_once_is_no_finding(source: FileSource) -> None:
    assert verify(source, source.committed) == ([], "6 lines of 2 files")


def test_a_line_that_kafka_does_not_have_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"one\ntwo\nthree\n")
    source = FileSource(tmp_path / "app.log")
    source.drain()
    findings, _ = verify(source, source.committed[::2])
    assert findings == [f"{tmp_path}/app.log: the line at byte 4 is not in Kafka: b'two'"]


def test_a_line_that_kafka_has_twice_is_named(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"one\ntwo\none\n")
    source = FileSource(tmp_path / "app.log")
    source.drain()
    findings, counted = verify(source, source.committed + source.committed[:2])
    assert findings == [
        f"{tmp_path}/app.log: the line at byte 0 is in Kafka 1 times too often: b'one'",
        f"{tmp_path}/app.log: the line at byte 4 is in Kafka 1 times too often: b'two'",
    ]
    assert counted == "3 lines of 1 files; Kafka has 2 records more"


def test_files_that_are_gone_are_counted(source: FileSource, tmp_path: Path) -> None:
    (tmp_path / "app.log").unlink()
    source.kill()
    assert verify(source, source.committed) == (
        [],
        "2 lines of 1 files, 1 files that are gone; Kafka has 4 records more",
    )


def test_lines_before_the_end_at_which_the_source_began_are_not_looked_for(tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"one\n")
    source = FileSource(tmp_path / "app.log", start="end")
    source.drain()
    with (tmp_path / "app.log").open("ab") as file:
        file.write(b"two\n")
    source.drain()
    assert verify(source, source.committed) == ([], "1 lines of 1 files")


@pytest.mark.parametrize("rest", [b"\nmore\n", b" of a line\nmore\n", b" of\n"])
def test_a_last_line_that_was_given_without_its_end_is_no_finding_whatever_follows(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "app.log").write_bytes(b"one\nhalf")
    source = FileSource(tmp_path / "app.log*")
    source.drain()
    (tmp_path / "app.log").rename(tmp_path / "app.log.1")
    source.settle()
    with (tmp_path / "app.log.1").open("ab") as file:
        file.write(rest)
    source.settle()
    assert verify(source, source.committed) == ([], f"{len(source.lines)} lines of 1 files")
