"""verify_hdfs proves that every record is stored once, and names what is not."""

from collections.abc import Callable
from typing import Any

import hdfs as hdfs_package
import msgspec
import pytest
from django.core.management import call_command
from django.test import override_settings

from devstack.stack import Stack
from events.schema import check_for
from sinks.files.formats import FORMATS, make_format
from sinks.files.layout import Layout, OpenFile
from sinks.files.merges import Merge
from sinks.files.stored import StoredFile, settled_files, stored_files
from sinks.files.verify import Verifier
from sinks.findings import Finding
from sinks.hdfs.config import HdfsTarget
from sinks.records import Partition, Record
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.support import Process, event, hdfs_files, produce, wait_until

PARTITION = Partition("t", 0)


def findings(
    files: dict[tuple[int, int], list[int]],
    offsets: list[int],
    first: int = 0,
    end: int = 100,
    *,
    is_compacted: bool = False,
) -> list[str]:
    """What is found when files hold the events of some offsets, and Kafka's log has the events of others."""
    client = MemoryHdfs()
    for (a, b), content in files.items():
        data = b"".join(event(offset) + b"\n" for offset in content)
        client.create(f"/data/t-0-{a:020d}-{b:020d}.log", data)
    records = [Record(offset, event(offset) if offset % 10 != 9 else b"bad", 0) for offset in offsets]
    records = [record for record in records if first <= record.offset < end]
    layout = HdfsTarget(path="/data").layout("select-color")
    check = check_for("select-color")
    verifier = Verifier(
        client,
        layout,
        "select-color",
        check,
        files=stored_files(client, "/data", layout),
        partition=PARTITION,
        first=first,
        end=end,
        is_compacted=lambda: is_compacted,
    )
    found = verifier.findings(records)
    return [f"{finding.kind} {finding.first}-{finding.last}" for finding in found]


def test_every_record_once_is_no_finding() -> None:
    assert findings({(0, 4): [0, 1, 2, 3, 4], (5, 8): [5, 6, 7, 8]}, list(range(9))) == []


def test_dead_letters_and_gaps_of_the_log_belong_in_no_file() -> None:
    assert findings({(0, 9): [0, 1, 4, 5]}, [0, 1, 4, 5, 9]) == []


def test_a_missing_file_is_a_gap() -> None:
    assert findings({(0, 1): [0, 1], (4, 5): [4, 5]}, list(range(8))) == ["gap 2-3", "gap 6-7"]


def test_records_that_follow_each_other_in_a_compacted_log_are_one_gap() -> None:
    assert findings({(0, 1): [0, 1], (50, 51): [50, 51]}, [0, 1, 11, 20, 40, 50, 51], is_compacted=True) == [
        "gap 11-40"
    ]


def test_a_file_may_hold_records_that_kafka_has_compacted_since() -> None:
    files = {(0, 8): list(range(9)), (10, 18): list(range(10, 19)), (20, 22): [20, 21, 22]}
    assert findings(files, [3, 7, 20, 21, 22], is_compacted=True) == []


def test_what_no_newer_record_has_replaced_is_not_taken_for_compacted() -> None:
    assert findings({(0, 8): list(range(9))}, [3, 7]) == ["difference 0-8"]


@pytest.mark.parametrize(
    ("held", "in_kafka"),
    [
        ([0, 1, 2, 2], [0, 1, 2]),  # without a gap nothing can have been removed
        ([0, 1, 1, 2], [0, 2, 3]),  # 3 is missing
        ([2, 0, 1], [0, 2]),  # in another order
        ([0, 1, 1, 1, 1, 2], [0, 2]),  # more than there are offsets
    ],
)
def test_a_wrong_file_of_a_compacted_topic_is_a_difference(held: list[int], in_kafka: list[int]) -> None:
    assert findings({(0, max(in_kafka)): held}, in_kafka, is_compacted=True) == [f"difference 0-{max(in_kafka)}"]


def test_an_overlap_is_a_repeat() -> None:
    assert findings({(0, 4): [0, 1, 2, 3, 4], (3, 5): [3, 4, 5]}, list(range(5))) == ["repeat 3-4"]


def test_another_content_is_a_difference() -> None:
    assert findings({(0, 2): [0, 1, 1], (3, 4): [3]}, list(range(5))) == ["difference 0-2", "difference 3-4"]


def test_a_range_looks_at_nothing_else() -> None:
    assert findings({(0, 4): [7], (5, 6): [5, 6]}, list(range(9)), first=5, end=7) == []


def open_file(client: MemoryHdfs, committed: int, last: int) -> None:
    """One that holds ten events, of which the newest record commits some bytes, up to an offset."""
    client.create(f"/data/t-0-{0:020d}.open", b"".join(event(offset) + b"\n" for offset in range(10)))
    record = f"/data/_sink/sink/t/0/committed/epoch/{5:020d}-{last:020d}"
    file = OpenFile(f"t-0-{0:020d}.open", f"t-0-{0:020d}-{last:020d}.log", committed)
    client.make_folders(f"{record}/{file.mark}")
    client.make_folders(f"/data/_sink/sink/t/0/committed/epoch/{0:020d}-{4:020d}")


def verify_open(client: MemoryHdfs, files: list[StoredFile]) -> list[str]:
    layout = HdfsTarget(path="/data", mode="append").layout("select-color")
    verifier = Verifier(
        client,
        layout,
        "select-color",
        check_for("select-color"),
        files=files,
        partition=PARTITION,
        first=0,
        end=8,
        is_compacted=lambda: False,
    )
    return [str(finding) for finding in verifier.findings([Record(n, event(n), 0) for n in range(8)])]


def test_of_an_open_file_what_is_committed_is_stored() -> None:
    client = MemoryHdfs()
    eight = sum(len(event(offset)) + 1 for offset in range(8))
    open_file(client, eight, 7)
    layout = HdfsTarget(path="/data", mode="append").layout("select-color")
    files = settled_files(client, Layout("/data", "sink", PARTITION), layout)
    assert files == [StoredFile(PARTITION, 0, 7, "", f"/data/t-0-{0:020d}.open", eight)]
    assert verify_open(client, files) == []
    client.rename(f"/data/t-0-{0:020d}.open", f"/data/t-0-{0:020d}-{9:020d}.log")  # it grows and is closed meanwhile
    assert verify_open(client, files) == []
    (closed,) = stored_files(client, "/data", layout)
    assert (closed.first, closed.last, closed.path) == (0, 9, f"/data/t-0-{0:020d}-{9:020d}.log")


def test_an_open_file_of_which_nothing_is_committed_stores_nothing() -> None:
    client = MemoryHdfs()
    client.create(f"/data/t-0-{0:020d}.open", event(0) + b"\n")
    layout = HdfsTarget(path="/data", mode="append").layout("select-color")
    files = settled_files(client, Layout("/data", "sink", PARTITION), layout)
    assert verify_open(client, files) == ["t-0: gap: offsets 0-7: 8 records are in no file"]


def test_files_of_earlier_formats_and_their_merges_are_read_as_what_they_are() -> None:
    client = MemoryHdfs()
    now = Layout("/data", "sink", PARTITION)
    name, last = "t-0-{:020d}-{:020d}.{}", 0
    for number, format_name in enumerate(FORMATS):
        format_ = make_format(format_name, "select-color")
        content = bytes(format_.encode([event(offset) + b"\n" for offset in (last, last + 1)]))
        merging = format_name == "gzip"
        made = name.format(last, last + 1, format_.extension)
        entry = f"{now.compaction}/committed/epoch/{number}"
        client.create(f"{entry}/merged" if merging else f"/data/{made}", content)
        if merging:
            merge = Merge(folder="/data", name=made, originals=("gone",), joins=True)
            client.create(f"{entry}/merge.json", msgspec.json.encode(merge))
        last += 2
    records = [Record(offset, event(offset), 0) for offset in range(last + 1)]
    check = check_for("select-color")
    for format_name in FORMATS:
        layout = HdfsTarget(path="/data", format=format_name).layout("select-color")
        verifier = Verifier(
            client,
            layout,
            "select-color",
            check,
            files=settled_files(client, now, layout),
            partition=PARTITION,
            first=0,
            end=100,
            is_compacted=lambda: False,
        )
        found = verifier.findings(records)
        assert [str(finding) for finding in found] == [f"t-0: gap: offsets {last}-{last}: 1 records are in no file"]


def test_a_finding_reads_as_a_sentence() -> None:
    assert str(Finding(PARTITION, "gap", 2, 3, "2 records are in no file")) == (
        "t-0: gap: offsets 2-3: 2 records are in no file"
    )


@pytest.mark.integration
def test_the_command_tells_a_whole_store_from_a_damaged_one(
    servers: Stack, topic: str, run_sink: Callable[..., Process], capsys: Any
) -> None:
    entry = {
        "kind": "hdfs",
        "topics": [topic],
        "group": f"g-{topic}",
        "target": {"path": f"/t/{topic}"},
        "options": {"flush_seconds": 0.3},
    }
    produce(servers, topic, [b"bad", *(event(n) for n in range(59))])
    sink = run_sink(entry)
    wait_until(lambda: sum(len(f.splitlines()) for f in hdfs_files(servers, f"/t/{topic}").values()) == 59)
    assert sink.stop() == 0
    with override_settings(SINKS={"hdfs": entry}):
        with pytest.raises(SystemExit) as ended:
            call_command("verify_hdfs")
        assert ended.value.code == 0
        assert capsys.readouterr().out.count("each is stored once") == 3
        victim = sorted(hdfs_files(servers, f"/t/{topic}"))[-1]
        hdfs_package.InsecureClient(servers.webhdfs_url, user="hdfs").delete(f"/t/{topic}/{victim}")
        with pytest.raises(SystemExit) as ended:
            call_command("verify_hdfs")
        assert ended.value.code == 1
        assert f"{topic}-2: gap: offsets" in capsys.readouterr().out
