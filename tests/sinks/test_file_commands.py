"""compact and rewind on real servers, killed at every step, beside running sinks; every record is counted."""

import re
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.core.management.base import CommandError

from devstack.stack import Stack
from sinks.files.formats import FORMATS, as_line
from sinks.hdfs.config import HdfsTarget
from sinks.hdfs.store import HdfsStore
from sinks.hdfs.webhdfs import HdfsCluster
from sinks.records import Partition
from tests.sinks.counting import Store, numbered_event
from tests.sinks.file_bench import Bench, Told, each, entry_of, on_both, some_places
from tests.sinks.sink_processes import Nursery
from tests.support import hdfs_files, wait_until

pytestmark = pytest.mark.integration


# Compaction


def test_files_of_each_format_become_few_and_hold_every_record_once(
    stack: Stack, nursery: Nursery, bench: Bench, command: Callable[..., Told]
) -> None:
    bench.stream.produce(20)
    entries = {
        name: entry_of(bench.kind, bench.topic, bench.store(name).path, format=name, folders="dt=%Y-%m-%d/{colorName}")
        for name in FORMATS
    }
    client = HdfsStore(HdfsCluster(url=stack.webhdfs_url), connections=1)

    def is_stored(path: str) -> bool:
        return len(client.walk(path)) == 16  # 4 flushes in 4 folders

    for name, sink in {name: nursery.start(entry) for name, entry in entries.items()}.items():
        wait_until(partial(is_stored, bench.store(name).path), seconds=90, what=f"20 records as {name}")
        assert sink.stop() == 0, sink.text[-4000:]
    for name, entry in entries.items():
        path = bench.store(name).path
        before = hdfs_files(stack, path)
        assert command(entry, "compact_hdfs", "--folder", "dt=2026-11-20/blue").text.count(" files, ") == 1
        assert command(entry, "compact_hdfs", "--older-than", "0").text.count(" files, ") == 3
        after = hdfs_files(stack, path)
        assert len(after) == 4
        assert sum(map(len, after.values())) <= sum(map(len, before.values()))
        verified = command(entry, "verify_hdfs")
        assert (verified.code, verified.text.count("each is stored once")) == (0, 1), verified.text
        assert command(entry, "compact_hdfs", "--older-than", "0").text.count("nothing to merge") == 1
    client.close()


@pytest.mark.parametrize(
    ("bench", "format_"), [("hdfs", "gzip"), ("hdfs", "avro"), ("folder", "gzip")], indirect=["bench"]
)
def test_a_compaction_killed_at_a_step_is_finished_by_the_next(bench: Bench, format_: str) -> None:
    """gzip: HDFS can join files; it can't with avro, and a folder never."""
    topic, joins = bench.topic, (bench.kind, format_) == ("hdfs", "gzip")
    files = HdfsTarget(path="/x", format=format_).layout("select-color")

    def stored(store: Store) -> list[Any]:
        return [row["userName"] for _, data in sorted(store.files().items()) for row in files.format.decode(data)]

    def compact(store: Store, **options: Any) -> Any:
        return bench.start(store, command=["compact", "--older-than", "0"], target={"format": format_}, **options)

    def prepared(case: object) -> Store:
        store = bench.store(case)
        with bench.client(store) as client:
            for first in range(0, 12, 3):
                name = files.names.make(Partition(topic, 0), first, first + 2)
                content = files.format.encode([as_line(numbered_event(0, first + n)) for n in range(3)])
                client.create(f"{store.path}/{name}", bytes(content))
        return store

    expected = [f"0:{offset}" for offset in range(12)]
    whole = compact(prepared("whole"))
    assert whole.wait() == 0, whole.text

    def kill_before(number: int) -> None:
        store = prepared(number)
        killed = compact(store, fault={"do": "kill", "number": number})
        assert killed.wait() == -signal.SIGKILL
        if joins:
            assert stored(store) == expected, f"killed before {killed.steps[-1]}"
        again = compact(store)
        assert again.wait() == 0, again.text
        assert stored(store) == expected, f"killed before {killed.steps[-1]}"
        assert list(store.files()) == [files.names.make(Partition(topic, 0), 0, 11)]
        for area in ("committed", "pending"):
            assert store.names(f"under-test/{topic}/compaction/{area}") == []

    # Before the commit all are alike.
    first = 0 if joins else whole.steps.index("commit")
    each(some_places(whole.steps, begin=first), kill_before)
    assert {"upload", "commit", "replace", "concat" if joins else "set aside"} <= set(whole.steps)


@pytest.mark.parametrize(
    ("bench", "target"),
    [("hdfs", {}), ("hdfs", {"mode": "append", "roll_records": 8}), ("folder", {})],
    ids=["hdfs-flush", "hdfs-append", "folder-flush"],
    indirect=["bench"],
)
def test_compactions_beside_each_other_and_a_running_sink_lose_and_repeat_nothing(
    bench: Bench, command: Callable[..., Told], target: dict[str, Any]
) -> None:
    group, store = f"g-{bench.topic}", bench.store()
    bench.target = target
    sink = bench.start(store, group=group)
    sink.wait_for(": reads ")
    compact = ["compact", "--older-than", "0", "--target-bytes", "100000"]
    with bench.stream.load(5):
        for _ in range(3):
            count = store.count()
            pair = [bench.start(store, group=group, command=compact) for _ in range(2)]
            for compaction in pair:
                compaction.wait()  # one of them stops with an error, or both when they hinder each other
            store.wait_count(count + 20, sinks=[sink])
        alone = bench.start(store, group=group, command=compact)
        assert alone.wait() == 0, alone.text[-4000:]
    bench.finish(store, sink)
    entry = {**entry_of(bench.kind, bench.topic, store.path, **target), "group": group}
    command(entry, "compact", "--older-than", "0")
    assert store.ranges() == {0: [(0, bench.stream.counts[0] - 1)]}
    verified = command(entry, "verify")
    assert (verified.code, verified.text.count("each is stored once")) == (0, 1), verified.text


def test_a_merge_that_was_interrupted_is_known_to_verify(bench: Bench, command: Callable[..., Told]) -> None:
    group, store = f"g-{bench.topic}", bench.store()
    bench.stream.produce(20)
    bench.finish(store, group=group)
    compact = ["compact", "--older-than", "0"]
    killed = bench.start(store, group=group, command=compact, fault={"do": "kill", "step": "concat", "number": 0})
    assert killed.wait() == -signal.SIGKILL
    entry = {**entry_of(bench.kind, bench.topic, store.path), "group": group}
    assert command(entry, "verify").text.count("each is stored once") == 1
    assert "4 files" not in command(entry, *compact).text  # it was only to be finished
    assert command(entry, "verify").text.count("each is stored once") == 1
    store.check(bench.stream)


# Rewinding


@on_both
def test_a_rewind_beside_a_running_sink_lets_each_record_be_stored_again_once(
    bench: Bench, command: Callable[..., Told]
) -> None:
    group, store = f"g-{bench.topic}", bench.store()
    bench.stream.produce(30)
    sink = bench.start(store, group=group, options={"retry_seconds": 0.3})
    store.wait_count(30, sinks=[sink])
    entry = {**entry_of(bench.kind, bench.topic, store.path), "group": group}
    before = store.files()
    told = command(entry, "rewind", "--partition", f"{bench.topic}-0", "--to", "12")
    assert "up to now the sink goes on at offset 30" in told.text
    assert "offset 12 is in the middle of a file, which is replaced as a whole: from offset 10" in told.text
    assert "Nothing was changed; --yes does it." in told.text
    assert store.files() == before
    told = command(entry, "rewind", "--partition", f"{bench.topic}-0", "--to", "12", "--yes")
    assert store.count() == 10
    folder = re.search(r"files that were replaced lie in (.*)", told.text)
    assert folder
    assert len(bench.files(folder[1])) == 4
    bench.stream.produce(5)  # by which the sink finds itself fenced
    bench.finish(store, sink)
    assert "reads " + f"{bench.topic}-0 from offset 10" in sink.text
    assert command(entry, "verify").code == 0


def test_a_rewind_in_append_mode_replaces_the_file_that_was_open(bench: Bench, command: Callable[..., Told]) -> None:
    group, store, append = f"g-{bench.topic}", bench.store(), {"mode": "append"}
    bench.stream.produce(30)
    sink = bench.start(store, group=group, target=append)
    store.wait_count(30, sinks=[sink])
    rewind = ["rewind_hdfs", "--partition", f"{bench.topic}-0", "--to", "25", "--yes"]
    entry = entry_of(bench.kind, bench.topic, store.path, **append)
    with pytest.raises(CommandError, match="one holds offset 25 in its middle now; nothing was done"):
        command(entry, *rewind)  # it closes the file, whose offsets nobody knew before
    assert "goes on at offset 0; files" in command(entry, *rewind).text
    bench.stream.produce(5)
    bench.finish(store, sink)
    store.check(bench.stream)


def test_a_rewind_killed_at_a_step_is_finished_by_the_next(bench: Bench) -> None:
    bench.stream.produce(20)
    rewind = ["rewind", "--partition", f"{bench.topic}-0", "--to", "10", "--yes"]

    def stored(case: object) -> Store:
        store = bench.store(case)
        bench.finish(store)
        return store

    whole = bench.start(stored("whole"), command=rewind)
    assert whole.wait() == 0, whole.text

    def kill_before(number: int) -> None:
        store = stored(number)
        killed = bench.start(store, command=rewind, fault={"do": "kill", "number": number})
        # What the sink happened to store with fewer commits takes fewer steps.
        assert killed.wait() == (-signal.SIGKILL if len(killed.steps) > number else 0), killed.text
        again = bench.start(store, command=rewind)
        assert again.wait() == 0, again.text
        assert store.count() == 10, f"killed before {killed.steps[-1]}"
        bench.finish(store)

    each(some_places(whole.steps, begin=3, stride=6), kill_before)
    assert {"begin epoch", "set aside", "take record"} <= set(whole.steps)


def test_a_rewind_forward_leaves_out_what_it_says(bench: Bench, command: Callable[..., Told]) -> None:
    group, store = f"g-{bench.topic}", bench.store()
    bench.stream.produce(20)
    bench.finish(store, group=group)
    bench.stream.produce(30)
    entry = {**entry_of(bench.kind, bench.topic, store.path), "group": group}
    forward = ["rewind", "--partition", f"{bench.topic}-0", "--to", "40", "--yes"]
    with pytest.raises(CommandError, match="to leave records out is what --skip is for"):
        command(entry, *forward)
    told = command(entry, *forward, "--skip")
    assert "offsets 20 to 39 would be left out" in told.text
    sink = bench.start(store, group=group)
    store.wait_count(30, sinks=[sink])
    assert sink.stop() == 0
    assert store.ranges()[0][-2:] == [(40, 44), (45, 49)]
    verified = command(entry, "verify")
    assert verified.code == 1
    assert "gap: offsets 20-39: 20 records are in no file" in verified.text


def test_an_offset_that_kafka_does_not_have_is_refused(bench: Bench, command: Callable[..., Told]) -> None:
    bench.stream.produce(20)
    bench.finish(bench.store())
    entry = entry_of(bench.kind, bench.topic, bench.store().path)
    for partition, offset, reason in (
        (f"{bench.topic}-0", "21", "Kafka has offsets 0 to 20"),
        (f"{bench.topic}-7", "1", "reads no partition"),
    ):
        with pytest.raises(CommandError, match=reason):
            command(entry, "rewind", "--partition", partition, "--to", offset)
