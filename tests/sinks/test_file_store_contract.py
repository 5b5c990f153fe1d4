"""What the commit protocol relies on, shown on every store of files: HDFS in memory, the real one, and a folder."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.files.store import FileStore, NotEmpty, NotFound
from sinks.folder.store import FolderStore
from sinks.hdfs.store import HdfsStore
from sinks.hdfs.webhdfs import HdfsCluster
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.sinks.watched_folder import without_exclusive_renames
from worker.errors import Fatal


@pytest.fixture(params=["memory", pytest.param("hdfs", marks=pytest.mark.integration), "folder", "share"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore]:
    """share: a folder whose file system has no rename that never overwrites, as NFS."""
    if request.param == "memory":
        yield MemoryHdfs()
    elif request.param == "hdfs":
        client = HdfsStore(HdfsCluster(url=request.getfixturevalue("stack").webhdfs_url), connections=2)
        yield client
        client.close()
    else:
        if request.param == "share":
            without_exclusive_renames(request.getfixturevalue("monkeypatch"))
        folder = FolderStore(str(tmp_path))
        folder.prepare()
        yield folder


@pytest.fixture
def root(store: FileStore, tmp_path: Path) -> str:
    root = f"{tmp_path if isinstance(store, FolderStore) else '/contract'}/{uuid.uuid4().hex}"
    store.make_folders(root)
    return root


def test_a_file_is_listed_with_its_length(store: FileStore, root: str) -> None:
    store.create(f"{root}/folder/a", b"12345")
    store.create(f"{root}/folder/b%2Fc", b"")
    assert store.names(root) == ["folder"]
    assert store.lengths(root) == {}
    assert store.lengths(f"{root}/folder") == {"a": 5, "b%2Fc": 0}
    assert store.exists(f"{root}/folder/b%2Fc")


def test_a_folder_that_is_not_there_lists_nothing(store: FileStore, root: str) -> None:
    assert store.names(f"{root}/none") == []
    assert store.lengths(f"{root}/none") == {}
    assert not store.exists(f"{root}/none")


def test_rename_moves_a_whole_folder(store: FileStore, root: str) -> None:
    store.create(f"{root}/from/a", b"1")
    store.make_folders(f"{root}/to")
    assert store.rename(f"{root}/from", f"{root}/to/record") is True
    assert store.lengths(f"{root}/to/record") == {"a": 1}
    assert not store.exists(f"{root}/from")


def test_rename_is_refused_without_the_destinations_parent(store: FileStore, root: str) -> None:
    store.create(f"{root}/a", b"1")
    assert store.rename(f"{root}/a", f"{root}/none/a") is False
    assert store.exists(f"{root}/a")


def test_rename_is_refused_without_its_source(store: FileStore, root: str) -> None:
    assert store.rename(f"{root}/none", f"{root}/b") is False


def test_rename_never_overwrites_a_file(store: FileStore, root: str) -> None:
    store.create(f"{root}/a", b"1")
    store.create(f"{root}/b", b"22")
    assert store.rename(f"{root}/a", f"{root}/b") is False
    assert store.lengths(root) == {"a": 1, "b": 2}


def test_replace_takes_the_place_of_a_file(store: FileStore, root: str) -> None:
    store.create(f"{root}/a", b"1")
    store.create(f"{root}/b", b"22")
    store.replace(f"{root}/a", f"{root}/b")
    assert store.lengths(root) == {"b": 1}
    store.replace(f"{root}/b", f"{root}/c")
    assert store.lengths(root) == {"c": 1}
    with pytest.raises(NotFound):
        store.replace(f"{root}/b", f"{root}/c")
    with pytest.raises(NotFound):
        store.replace(f"{root}/c", f"{root}/none/c")
    assert store.lengths(root) == {"c": 1}


def test_delete_refuses_a_folder_that_holds_something(store: FileStore, root: str) -> None:
    store.create(f"{root}/folder/a", b"1")
    with pytest.raises(NotEmpty):
        store.delete(f"{root}/folder")
    assert store.delete(f"{root}/folder/a") is True
    assert store.delete(f"{root}/folder") is True
    assert store.delete(f"{root}/folder") is False
    store.create(f"{root}/other/a", b"1")
    assert store.delete(f"{root}/other", recursive=True) is True


def test_a_walk_shows_what_readers_see(store: FileStore, root: str) -> None:
    for path in ("a", "dt=2026-11-20/b", "_sink/c", "dt=2026-11-20/.hidden"):
        store.create(f"{root}/{path}", path.encode())
    found = [(path, length) for path, length, _ in sorted(store.walk(root))]
    assert found == [(f"{root}/a", 1), (f"{root}/dt=2026-11-20/b", 15)]
    assert store.read(f"{root}/dt=2026-11-20/b") == b"dt=2026-11-20/b"
    assert store.walk(f"{root}/none") == []
    with pytest.raises(NotFound):
        store.read(f"{root}/none")


def test_checksums_tell_the_same_content_from_another(store: FileStore, root: str) -> None:
    for name, content in (("a", b"same"), ("b", b"same"), ("c", b"more")):
        store.create(f"{root}/{name}", content)
    assert store.checksum(f"{root}/a") == store.checksum(f"{root}/b")
    assert store.checksum(f"{root}/a") != store.checksum(f"{root}/c")
    with pytest.raises(NotFound):
        store.checksum(f"{root}/none")


def test_an_append_adds_to_the_end_and_needs_the_file(store: FileStore, root: str) -> None:
    store.create(f"{root}/a", b"123")
    store.append(f"{root}/a", b"45")
    assert (store.length(f"{root}/a"), store.read(f"{root}/a")) == (5, b"12345")
    with pytest.raises(NotFound):
        store.append(f"{root}/none", b"1")
    with pytest.raises(NotFound):
        store.length(f"{root}/none")


def test_nothing_is_cut_to_more_than_there_is(store: FileStore, root: str) -> None:
    store.create(f"{root}/a", b"12345")
    with pytest.raises(Fatal):
        store.truncate(f"{root}/a", 6)
    with pytest.raises(NotFound):
        store.truncate(f"{root}/none", 0)


def test_the_first_bytes_of_a_file_can_be_copied(store: FileStore, root: str) -> None:
    store.create(f"{root}/a", b"12345")
    store.copy(f"{root}/a", 3, f"{root}/folder/b")
    assert store.read(f"{root}/folder/b") == b"123"
    with pytest.raises(NotFound):
        store.copy(f"{root}/none", 3, f"{root}/c")
