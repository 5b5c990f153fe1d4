"""What HDFS files look like: formats that other tools read, folders by time and field, names that are unique."""

import gzip
import io
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import fastavro
import pyarrow
import pyarrow.parquet
import pytest

from sinks.files.contents import MAX_NAME
from sinks.files.formats import FORMATS, as_line, make_format
from sinks.files.layout import Layout, OpenFile
from sinks.files.naming import NO_VALUE, FileNames, Folders
from sinks.files.partitions import FlushPartition
from sinks.files.writer import check_not_renamed
from sinks.hdfs.config import HdfsTarget
from sinks.records import Batch, Columns, Partition, Record
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.sinks.schedules import hasty_retry
from tests.support import event
from worker.errors import Fatal

VALUES = [event(n, userName=name) for n, name in enumerate(["kim", "김하늘", 'a "b"\\', "x" * 200])]
OBJECTS = [json.loads(value) for value in VALUES]
TYPED = [{**o, "timestamp": datetime.fromisoformat(o["timestamp"]).astimezone(UTC)} for o in OBJECTS]


def encoded(format_: str) -> bytes:
    return bytes(make_format(format_, "select-color").encode([as_line(value) for value in VALUES]))


def lines(values: Sequence[bytes]) -> bytes:
    return b"".join(value + b"\n" for value in values)


@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_written_is_read_again(format_: str) -> None:
    objects = make_format(format_, "select-color").decode(encoded(format_))
    assert objects == (TYPED if format_ in ("parquet", "avro") else OBJECTS)


def test_gzip_and_zstd_are_read_by_other_implementations() -> None:
    assert gzip.decompress(encoded("gzip")) == lines(VALUES)
    assert pyarrow.input_stream(io.BytesIO(encoded("zstd")), compression="zstd").read() == lines(VALUES)


def test_snappy_is_in_the_framing_format() -> None:
    # https://github.com/google/snappy/blob/main/framing_format.txt, its blocks decompressed by another implementation
    data, content = encoded("snappy"), b""
    assert data[:10] == b"\xff\x06\x00\x00sNaPpY"
    position = 10
    while position < len(data):
        kind, size = data[position], int.from_bytes(data[position + 1 : position + 4], "little")
        block = data[position + 8 : position + 4 + size]
        length, shift, used = 0, 0, 0
        while kind == 0:  # the block begins with its length, in groups of 7 bits
            byte = block[used]
            length |= (byte & 0x7F) << shift
            shift, used = shift + 7, used + 1
            if byte < 0x80:
                break
        content += pyarrow.Codec("snappy").decompress(block, length).to_pybytes() if kind == 0 else block
        position += 4 + size
    assert content == lines(VALUES)


def test_parquet_is_read_by_duckdb_with_typed_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(encoded("parquet"))
    query = f"select epoch_ms(timestamp), userAgent, colorName, userName from '{path}'"
    rows = duckdb.sql(query).fetchall()
    assert rows == [
        (round(o["timestamp"].timestamp() * 1000), o["userAgent"], o["colorName"], o["userName"]) for o in TYPED
    ]
    assert str(pyarrow.parquet.read_schema(path).field("timestamp").type) == "timestamp[ms, tz=UTC]"


def test_avro_carries_its_schema() -> None:
    reader: Any = fastavro.reader(io.BytesIO(encoded("avro")))
    fields = {f["name"]: f["type"] for f in reader.writer_schema["fields"]}
    assert fields["timestamp"] == {"type": "long", "logicalType": "timestamp-millis"}
    assert fields["userName"] == "string"


@pytest.mark.parametrize(("key", "is_hidden"), [("colorName", True), ("colorName_folder", False)])
def test_a_folder_with_a_columns_name_hides_that_column_from_duckdb(tmp_path: Path, key: str, is_hidden: bool) -> None:
    color = "a long name of a colour " * 5
    layout = HdfsTarget(path="/data", format="parquet", folders=f"{key}={{colorName}}").layout("select-color")
    assert bool(list(layout.warnings())) == is_hidden
    batch = Batch(Partition("t", 0), 0, 0, opened_at=0.0)
    batch.add(Columns([0], [event(0, colorName=color)], [0]), {})
    ((path, content),) = layout.of(batch)
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_bytes(bytes(content()))
    ((read,),) = duckdb.sql(f"select colorName from read_parquet('{tmp_path}/*/*', hive_partitioning=true)").fetchall()
    assert (read == color) != is_hidden


def test_json_files_are_read_by_duckdb(tmp_path: Path) -> None:
    for format_, suffix in (("json", "json"), ("gzip", "json.gz"), ("zstd", "json.zst")):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(encoded(format_))
        assert duckdb.sql(f"select userName from read_json('{path}', format='newline_delimited')").fetchall() == [
            (o["userName"],) for o in OBJECTS
        ]


def record(value: bytes, kafka_time: datetime = datetime(2026, 11, 21, 3, 4, tzinfo=UTC)) -> Record:
    return Record(7, value, round(kafka_time.timestamp() * 1000))


@pytest.mark.parametrize(
    ("template", "options", "folder"),
    [
        ("", {}, ""),
        ("%Y/%m/%d", {}, "2026/11/20"),
        ("dt=%Y-%m-%d/hour=%H", {}, "dt=2026-11-20/hour=01"),
        ("dt=%Y-%m-%d/hour=%H", {"zone": "Asia/Seoul"}, "dt=2026-11-20/hour=10"),
        ("dt=%Y-%m-%d/hour=%H", {"time": "kafka"}, "dt=2026-11-21/hour=03"),
        ("dt=%Y-%m-%d", {"time": "no-such-field"}, "dt=2026-11-21"),
        ("color={colorName}/dt=%d", {}, "color=yellow/dt=20"),
        ("nothing={nothing}", {}, f"nothing={NO_VALUE}"),
        ("{nothing}", {}, "%5F" + NO_VALUE[1:]),  # readers do not see what begins with an underscore
    ],
)
def test_folders_by_time_and_field(template: str, options: dict[str, str], folder: str) -> None:
    folders = Folders(template, **{"time": "timestamp", "zone": "UTC", **options})
    assert folders.of(record(event(1))) == folder


def test_a_number_that_python_can_not_hold_is_a_folder_as_it_is_written() -> None:
    folders = Folders("n={n}", time="kafka", zone="UTC")
    assert folders.of(record(b'{"n":1e999}')) == "n=1e999"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("_sink", "%5Fsink"),
        (".hidden", "%2Ehidden"),
        ("a/b", "a%2Fb"),
        ("a=b%", "a%3Db%25"),
        ("김하늘", "김하늘"),
        ("e\u0301", "\xe9"),  # as HDFS stores it
    ],
)
def test_a_field_never_leaves_its_folder(name: str, folder: str) -> None:
    folders = Folders("user={userName}/{userName}", time="timestamp", zone="UTC")
    assert folders.of(record(event(1, userName=name))) == f"user={folder}/{folder}"


@pytest.mark.parametrize("character", ["x", "/", "日", "%", "."])
def test_long_values_become_names_that_hdfs_takes_and_that_differ(character: str) -> None:
    target = HdfsTarget(path="/data", folders="{userName}/of={colorName}", mode="append")
    layout = target.layout("select-color")
    layout.check_length("t")
    folders = {layout.folders.of(record(event(1, userName=character * n, colorName=character * n))) for n in (200, 201)}
    assert len(folders) == 2
    for folder in folders:
        file = OpenFile(f"{folder}/{layout.names.make_open(Partition('t', 0), 1)}", folder, 10**12)
        assert len(file.mark.partition("/")[0].encode()) <= MAX_NAME


def test_a_time_that_no_calendar_has_is_as_good_as_none() -> None:
    folders = Folders("%Y", time="kafka", zone="UTC")
    assert folders.of(Record(1, b"{}", -62135596800001)) == "1970"


def test_batches_whose_files_would_have_one_name_are_not_stored() -> None:
    layout = HdfsTarget(path="/data").layout("select-color")
    layout.names.make = lambda *_: "same.log"  # type: ignore[method-assign]
    batches = []
    for first in (0, 1):
        batches.append(Batch(Partition("t", 2), first, 0, opened_at=0.0))
        batches[-1].add(Columns([first], [event(first)], [0]), {})
    partition = FlushPartition(
        None,  # type: ignore[arg-type]
        0,
        layout,
        check_identity=lambda: None,
        published=lambda count: None,
    )
    with pytest.raises(Fatal, match=r"same\.log"):
        hasty_retry().run(partition.store(batches))


def test_a_flush_writes_one_file_for_each_folder() -> None:
    layout = HdfsTarget(path="/data", folders="{colorName}").layout("select-color")
    batch = Batch(Partition("t", 2), 10, 0, opened_at=0.0)
    batch.add(Columns(range(10, 16), [event(0), event(1)] * 3, [0] * 6), {})
    files = {path: bytes(content()) for path, content in layout.of(batch)}
    assert files == {
        f"red/t-2-{10:020d}-{14:020d}.log": lines([event(0)] * 3),
        f"yellow/t-2-{11:020d}-{15:020d}.log": lines([event(1)] * 3),
    }


def test_a_name_is_made_and_read_by_its_template() -> None:
    names = FileNames("{topic}-{partition}-{start}-{end}.{ext}", "log")
    made = names.make(Partition("select-color", 0), 10, 19)
    assert made == "select-color-0-00000000000000000010-00000000000000000019.log"
    assert names.read(made) == (Partition("select-color", 0), 10, 19)
    assert names.read("something else.log") is None
    assert names.read(made + ".tmp") is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"format": "xml"}, "format is 'xml'"),
        ({"file_name": "{topic}.log"}, "not unique without end, partition, start"),
        ({"file_name": "{topic}{partition}{start}{end}{host}"}, "unknown keys: host"),
        ({"file_name": "{topic}-{topic}-{partition}-{start}-{end}"}, "key twice: topic"),
        ({"file_name": "x/{topic}-{partition}-{start}-{end}"}, "slash"),
        ({"file_name": "{topic"}, "file_name"),
        ({"file_name": "{topic}-{partition}-{start:x}-{end}"}, "nothing else"),
        ({"file_name": "{topic}-{partition}-{start!r}-{end}"}, "nothing else"),
        ({"file_name": "{topic}{partition}-{start}-{end}"}, "between topic and partition"),
        ({"file_name": "{topic}:{partition}-{start}-{end}"}, "colon"),
        ({"folders": "{colorName"}, "folders"),
        ({"folders": "{}"}, "nothing else"),
        ({"folders": "%H:%M"}, "colon"),
        ({"folders": "_x/{colorName}"}, "leading _"),
        ({"folders": "e\u0301"}, "NFC"),
        ({"time_zone": "America"}, "America"),
        ({"folders": "/abs"}, "relative path"),
        ({"folders": "a//b"}, "relative path"),
        ({"folders": "../b"}, "relative path"),
        ({"time_zone": "Mars/Base"}, "Mars/Base"),
        ({"mode": "append", "format": "gzip"}, "mode append stores JSON lines only: format must be json, not gzip"),
        ({"file_name": "{topic}-{partition}-{start}-{end}.open"}, "still written"),
    ],
)
def test_a_mistake_in_the_target_is_named(options: dict[str, str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        HdfsTarget(path="/data", **options).layout("select-color")


def test_parquet_and_avro_need_a_schema() -> None:
    for format_ in ("parquet", "avro"):
        with pytest.raises(ValueError, match="known fields"):
            HdfsTarget(path="/data", format=format_).layout("json")


def test_a_sink_with_a_new_name_stores_nothing_beside_what_it_stored_by_the_first() -> None:
    hdfs = MemoryHdfs()
    hdfs.make_folders("/data/_sink/old/t/0/committed")
    with pytest.raises(Fatal, match=r"SINKS\['new'\]: a sink named 'old' has stored t in /data"):
        check_not_renamed(hdfs, Layout("/data", "new", Partition("t", 0)))
    check_not_renamed(hdfs, Layout("/data", "old", Partition("t", 0)))
    check_not_renamed(hdfs, Layout("/data", "new", Partition("another", 0)))
