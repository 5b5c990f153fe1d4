"""How people look into a folder, and what they are not shown."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sinks.files.store import NoPath, NotFound
from sinks.folder import browser as browser_module
from sinks.folder.browser import FolderBrowser
from sinks.folder.kind import FolderKind
from sinks.folder.store import FolderStore
from sinks.registry import sinks
from tests.support import wait_until
from worker.errors import Retriable


@pytest.fixture
def root(tmp_path: Path) -> str:
    root = f"{tmp_path}/root"
    store = FolderStore(root)
    store.prepare()
    store.create(f"{root}/a", b"12345")
    store.create(f"{root}/folder/b", b"678")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_bytes(b"secret")
    return root


def browser_of(root: str, *, timeout: float = 30.0) -> FolderBrowser:
    return FolderBrowser(root, timeout=timeout, at_once=2)


@pytest.fixture
def browser(root: str) -> FolderBrowser:
    return browser_of(root)


def test_files_and_folders_are_shown(browser: FolderBrowser, root: str) -> None:
    file, folder = browser.status(f"{root}/a"), browser.status(f"{root}/folder")
    assert (file.name, file.is_folder, file.length) == ("a", False, 5)
    assert (folder.name, folder.is_folder, folder.length) == ("folder", True, 0)
    assert file.modified == os.stat(f"{root}/a").st_mtime_ns // 1_000_000
    assert file.owner
    entries, left = browser.listing(root)
    assert ([entry.name for entry in entries], left) == (["_sink", "a", "folder"], 0)
    assert browser.summary(f"{root}/folder") == (1, 1, 3)
    assert browser.summary(root)[0] == 2


def test_a_large_folder_is_listed_in_parts_by_name(browser: FolderBrowser, root: str) -> None:
    os.mkdir(f"{root}/many")
    for number in range(2500):
        os.close(os.open(f"{root}/many/{number:04d}", os.O_CREAT))
    seen, after, lefts = [], "", []
    while not lefts or lefts[-1]:
        entries, left = browser.listing(f"{root}/many", after=after)
        lefts.append(left)
        seen += [entry.name for entry in entries]
        after = seen[-1]
    assert seen == [f"{number:04d}" for number in range(2500)]
    assert lefts == [1500, 500, 0]


def test_files_are_read_in_parts(browser: FolderBrowser, root: str) -> None:
    assert browser.part(f"{root}/a", 1, 3) == b"234"
    assert browser.part(f"{root}/a", 4, 100) == b"5"
    download = browser.open(f"{root}/a")
    assert (b"".join(download.parts), download.length) == (b"12345", 5)
    download.close()


def test_a_folder_can_not_be_read_and_holds_no_file_descriptor(browser: FolderBrowser, root: str) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(NoPath):
        browser.open(f"{root}/folder")
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("path", ["none", "folder/none", "none/b"])
def test_what_is_not_there_is_not_found(browser: FolderBrowser, root: str, path: str) -> None:
    with pytest.raises(NotFound):
        browser.status(f"{root}/{path}")
    with pytest.raises(NotFound):
        browser.listing(f"{root}/{path}")
    with pytest.raises(NotFound):
        browser.open(f"{root}/{path}")


@pytest.mark.parametrize("path", ["../secret/key", "folder/../../secret/key", "a/b", "a\0"])
def test_a_path_that_leads_elsewhere_is_refused(browser: FolderBrowser, root: str, path: str) -> None:
    with pytest.raises((NoPath, NotFound)):
        browser.part(f"{root}/{path}", 0, 10)


@pytest.mark.parametrize("target", ["{above}/secret/key", "../secret/key", "key"])
def test_links_that_lead_out_are_not_followed(browser: FolderBrowser, root: str, target: str) -> None:
    above = os.path.dirname(root)
    os.symlink(f"{above}/secret", f"{root}/secret")
    os.symlink(target.format(above=above) if target != "key" else "secret/key", f"{root}/link")
    for path in ("link", "secret/key", "secret"):
        with pytest.raises(NotFound):
            browser.status(f"{root}/{path}")
    assert [entry.is_folder for entry in browser.listing(root)[0] if entry.name == "secret"] == [False]


def test_links_within_are_followed(browser: FolderBrowser, root: str) -> None:
    os.symlink("folder", f"{root}/latest")
    assert browser.part(f"{root}/latest/b", 0, 10) == b"678"


def test_a_pipe_is_not_waited_for(browser: FolderBrowser, root: str) -> None:
    os.mkfifo(f"{root}/pipe")
    download = browser.open(f"{root}/pipe")
    assert list(download.parts) == []
    download.close()


def test_a_folder_that_is_a_link_itself_can_be_browsed(root: str, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(root)
    assert browser_of(f"{tmp_path}/data").part(f"{tmp_path}/data/a", 0, 10) == b"12345"


def test_a_share_that_is_not_mounted_is_away(tmp_path: Path) -> None:
    with pytest.raises(Retriable, match=r"is the share mounted\?"):
        browser_of(f"{tmp_path}/none").listing(f"{tmp_path}/none")


class Share:
    """A share whose calls of one kind hang until it is back."""

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.calls = 0

    def hangs(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """os.<name> hangs from now on."""
        real = getattr(os, name)

        def hang(*arguments: Any) -> Any:
            self.calls += 1
            assert self.is_back.wait(30)
            return real(*arguments)

        monkeypatch.setattr(os, name, hang)


@pytest.fixture
def share() -> Iterator[Share]:
    share = Share()
    yield share
    share.is_back.set()


def test_reads_of_a_share_that_hangs_end_in_time_and_hold_few_threads(
    root: str, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = browser_of(root, timeout=0.05)
    share.hangs(monkeypatch, "listdir")
    for words in ("no answer within", "no answer within", "too many reads", "too many reads"):
        with pytest.raises(Retriable, match=words):
            browser.listing(root)
    assert share.calls == 2
    share.is_back.set()
    wait_until(lambda: listed(browser, root) == ["_sink", "a", "folder"])


def listed(browser: FolderBrowser, root: str) -> list[str] | None:
    """The names in a folder, None while the share does not answer."""
    try:
        return [entry.name for entry in browser.listing(root)[0]]
    except Retriable:
        return None


def test_a_download_of_a_share_that_hangs_ends_in_time(
    root: str, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    download = browser_of(root, timeout=0.05).open(f"{root}/a")

    class Hanging:
        def read(self, _count: int) -> bytes:
            assert share.is_back.wait(30)
            return b""

    parts = browser_of(root, timeout=0.05)._parts(Hanging(), f"{root}/a")  # type: ignore[arg-type]
    with pytest.raises(Retriable, match="no answer within"):
        next(parts)
    assert list(download.parts) == [b"12345"]
    download.close()


def test_who_asks_again_and_again_whether_a_share_is_well_waits_for_one_answer(
    root: str, share: Share, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.SINKS = {"files": {"kind": "folder", "topics": ["t"], "target": {"path": root}}}
    [server] = FolderKind().servers(sinks().values())
    share.hangs(monkeypatch, "statvfs")
    for _ in range(5):
        with pytest.raises(Retriable, match="no answer within"):
            server.ask(0.05)
    assert share.calls == 1
    share.is_back.set()
    assert server.ask(30).detail.endswith("free")


def test_a_folder_with_too_many_files_to_be_counted_is_slow_and_not_away(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browser_module, "_SUMMARY_SHARE", 0.0)
    browser = browser_of(root)
    for _ in range(5):
        with pytest.raises(Retriable) as error:
            browser.summary(root)
        assert error.value.reason == "slow"
    assert browser.listing(root)


def test_a_read_for_which_the_system_has_no_thread_gives_its_place_back(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = browser_of(root)

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                browser.status(root)
    assert browser.status(root).is_folder
