"""The folder sink as an operator runs it, with Kafka alone; and the disk below it that is full, read-only or away."""

import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from devstack.stack import Stack
from sinks import registry as sinks_registry
from sinks.checks import check_sinks
from sinks.folder.store import FolderStore
from sinks.registry import KINDS
from tests.sinks.counting import Store
from tests.sinks.file_bench import Bench, Told, entry_of
from tests.sinks.monitor import Monitor
from tests.stores import FolderFiles
from tests.support import Process, committed_offsets, event, produce, wait_until
from worker.errors import Retriable
from worker.servers import Health

RunSink = Callable[..., Process]


def mount(*arguments: str) -> None:
    """Mounts something; skips the test, loudly, where that is not allowed."""
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here, so this is NOT tested: {done.stderr.strip()}")


@pytest.fixture
def bench(stack: Stack, nursery: Any) -> Bench:
    """Its sinks store in folders."""
    return Bench(stack, nursery, kind="folder")


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A folder on which tests mount something."""
    path = tmp_path / "share"
    path.mkdir()
    yield path
    while os.path.ismount(path):
        subprocess.run(["umount", "--lazy", path], check=True)


def health_of(path: Path) -> Health:
    """What the console's service strip asks."""
    with override_settings(SINKS={"under-test": entry_of("folder", "t", str(path))}):
        sinks_registry.sinks.cache_clear()
        [server] = KINDS["folder"].servers(sinks_registry.sinks().values())
    return server.ask(10.0)


@pytest.mark.integration
@pytest.mark.parametrize("mode", ["flush", "append"])
def test_it_is_set_up_run_verified_compacted_and_stored_again_by_commands_alone(
    stack: Stack, tmp_path: Path, run_sink: RunSink, command: Callable[..., Told], mode: str
) -> None:
    topic, path = f"t-{uuid.uuid4().hex[:8]}", tmp_path / "clicks"
    entry = entry_of("folder", topic, str(path), mode=mode)
    with override_settings(SINKS={"under-test": entry}):
        sinks_registry.sinks.cache_clear()
        call_command("setup_pipeline")
    events = [event(number) for number in range(60)]
    produce(stack, topic, events)
    sink = run_sink(entry)
    wait_until(lambda: committed_offsets(stack, entry["group"], topic) == [20, 20, 20], what="60 records")
    assert sink.stop() == 0
    lines = [line for file in path.glob("*.log") for line in file.read_bytes().splitlines()]
    assert sorted(lines) == sorted(events)
    assert command(entry, "verify").text.count("each is stored once") == 3
    command(entry, "compact", "--older-than", "0")
    assert len(list(path.glob("*.log"))) == 3
    assert command(entry, "rewind", "--partition", f"{topic}-0", "--to", "0", "--yes").code == 0
    assert len(list(path.glob("*.log"))) == 2
    verified = command(entry, "verify")
    assert (verified.code, verified.text.count("each is stored once")) == (1, 2)
    sink = run_sink(entry)
    wait_until(lambda: sum(len(file.read_bytes().splitlines()) for file in path.glob("*.*")) == 60, what="60 lines")
    assert sink.stop() == 0
    assert command(entry, "verify").code == 0


@pytest.mark.integration
def test_a_folder_that_was_never_made_is_waited_for(bench: Bench) -> None:
    store = bench.store()
    shutil.rmtree(store.path)
    bench.stream.produce(5)
    sink = bench.start(store)
    sink.wait_for("`manage.py setup_pipeline` makes it")
    assert not os.path.exists(store.path)
    FolderStore(store.path).prepare()
    bench.finish(store, sink)


@pytest.mark.integration
@pytest.mark.parametrize("mode", ["flush", "append"])
def test_while_its_share_is_not_mounted_a_sink_backs_off_and_writes_nothing_beneath(bench: Bench, mode: str) -> None:
    store, monitor = bench.store(), Monitor()
    root, away = Path(store.path), Path(f"{store.path}-away")
    sink = bench.start(store, target={"mode": mode}, metrics_port=monitor.port)
    bench.stream.produce(20)
    store.wait_count(20, sinks=[sink])
    root.rename(away)
    root.mkdir()  # the empty mount point
    bench.stream.produce(20)
    sink.wait_for("is the share mounted?")
    _, health = wait_until(lambda: answer if (answer := monitor.health())[0] == 503 else None, what="an unhealthy sink")
    [partition] = health["partitions"]
    assert partition["state"] == "backing off"
    assert "is the share mounted?" in partition["reason"]
    assert monitor.total("sink_retries_total", reason="unmounted") > 1
    assert list(root.iterdir()) == []
    root.rmdir()
    away.rename(root)
    bench.finish(store, sink)


@pytest.mark.integration
def test_a_disk_that_is_full_or_read_only_is_waited_for(bench: Bench, mounted: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mounted))
    FolderStore(str(mounted)).prepare()
    store = Store(FolderFiles(), str(mounted))
    sink = bench.start(store)
    bench.stream.produce(20)
    store.wait_count(20, sinks=[sink])

    filler = mounted / ".filler"
    filler.write_bytes(bytes(shutil.disk_usage(mounted).free))
    bench.stream.produce(20)
    sink.wait_for("No space left on device")
    filler.unlink()
    store.wait_count(40, sinks=[sink])

    # A mount that somebody is just writing into can't be made read-only.
    wait_until(lambda: _remounted(mounted, "ro"), what="a read-only folder")
    bench.stream.produce(20)
    sink.wait_for("Read-only file system")
    assert _remounted(mounted, "rw")
    bench.finish(store, sink)


def _remounted(path: Path, how: str) -> bool:
    return subprocess.run(["mount", "-o", f"remount,{how}", path], check=False).returncode == 0


def test_the_service_strip_tells_a_share_that_is_not_mounted_from_one_that_is(tmp_path: Path) -> None:
    FolderStore(str(tmp_path / "there")).prepare()
    assert health_of(tmp_path / "there").detail.endswith(" free")
    (tmp_path / "beneath").mkdir()
    for missing in ("beneath", "nothing"):
        with pytest.raises(Retriable, match=r"is the share mounted\?"):
            health_of(tmp_path / missing)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("relative/folder", "$.target.path"),
        ("/data/clicks/", "$.target.path"),
        ("/data/../etc", "must be written without"),
        ("/data/a/x", "target.path /data/a/x of SINKS['b'] lies in /data/a, the one of SINKS['a']"),
        ("/data", "target.path /data/a of SINKS['a'] lies in /data, the one of SINKS['b']"),
        ("/data/a", "both store"),
    ],
)
def test_a_path_that_can_not_be_a_sinks_own_is_an_error_of_check(path: str, reason: str) -> None:
    one, other = entry_of("folder", "t", "/data/a"), {**entry_of("folder", "t", path), "group": "other"}
    with override_settings(SINKS={"a": one, "b": other}):
        sinks_registry.sinks.cache_clear()
        (told,) = check_sinks()
    assert reason in told.msg
