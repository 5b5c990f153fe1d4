"""Two processes that believe to own one partition of a folder, one of them asleep in the middle of an append."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sinks.folder.store import FolderStore
from tests.sinks.folder_owner import RECORDS
from tests.support import PROJECT, wait_until


@contextmanager
def owner(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.sinks.folder_owner", str(root), *arguments]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def stops(process: subprocess.Popen[str]) -> bool:
    _, status = os.waitpid(process.pid, os.WUNTRACED | os.WNOHANG)
    return os.WIFSTOPPED(status)


@pytest.mark.parametrize("append", ["1", "5"])
def test_a_process_that_wakes_in_mid_append_writes_into_nothing(tmp_path: Path, append: str) -> None:
    store = FolderStore(str(tmp_path))
    store.prepare()
    with owner(tmp_path, append) as sleeper:
        wait_until(lambda: stops(sleeper), what="the sleep in mid-append")
        [growing] = tmp_path.glob("*.open")
        assert len(growing.read_bytes().split()) == 5 * int(append)
        with owner(tmp_path) as other:
            assert other.communicate()[0] == "stored\n"
        sleeper.send_signal(signal.SIGCONT)
        assert sleeper.communicate()[0] == "fenced\n"
    files = sorted(file.path for file in store.walk(str(tmp_path)))
    assert all(path.endswith(".log") for path in files)
    assert [int(line) for path in files for line in store.read(path).split()] == list(range(RECORDS))
