"""How people look into a folder, and what they are not shown."""

import os
from pathlib import Path

import pytest

from sinks.errors import Retriable
from sinks.files.store import NoPath, NotFound
from sinks.folder.browser import FolderBrowser
from sinks.folder.store import FolderStore


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


@pytest.fixture
def browser(root: str) -> FolderBrowser:
    return FolderBrowser(root)


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
    assert FolderBrowser(f"{tmp_path}/data").part(f"{tmp_path}/data/a", 0, 10) == b"12345"


def test_a_share_that_is_not_mounted_is_away(tmp_path: Path) -> None:
    with pytest.raises(Retriable, match=r"is the share mounted\?"):
        FolderBrowser(f"{tmp_path}/none").listing(f"{tmp_path}/none")
