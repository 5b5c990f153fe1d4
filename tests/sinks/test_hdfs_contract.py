"""What the commit protocol relies on, shown on the real HDFS and on the one in memory alike."""

import uuid
from collections.abc import Iterator

import pytest

from sinks.hdfs.client import HdfsClient, HdfsCluster, NotEmpty, NotFound, connect
from tests.sinks.memory_hdfs import MemoryHdfs


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.integration)])
def hdfs(request: pytest.FixtureRequest) -> Iterator[HdfsClient]:
    if request.param == "memory":
        yield MemoryHdfs()
        return
    stack = request.getfixturevalue("stack")
    client = connect(HdfsCluster(url=stack.webhdfs_url), connections=2)
    yield client
    client.close()


@pytest.fixture
def root(hdfs: HdfsClient) -> str:
    root = f"/contract/{uuid.uuid4().hex}"
    hdfs.make_folders(root)
    return root


def test_a_file_is_listed_with_its_length(hdfs: HdfsClient, root: str) -> None:
    hdfs.create(f"{root}/folder/a", b"12345")
    hdfs.create(f"{root}/folder/b%2Fc", b"")
    assert hdfs.names(root) == ["folder"]
    assert hdfs.lengths(root) == {}
    assert hdfs.lengths(f"{root}/folder") == {"a": 5, "b%2Fc": 0}
    assert hdfs.exists(f"{root}/folder/b%2Fc")


def test_a_folder_that_is_not_there_lists_nothing(hdfs: HdfsClient, root: str) -> None:
    assert hdfs.names(f"{root}/none") == []
    assert hdfs.lengths(f"{root}/none") == {}
    assert not hdfs.exists(f"{root}/none")


def test_rename_moves_a_whole_folder(hdfs: HdfsClient, root: str) -> None:
    hdfs.create(f"{root}/from/a", b"1")
    hdfs.make_folders(f"{root}/to")
    assert hdfs.rename(f"{root}/from", f"{root}/to/record") is True
    assert hdfs.lengths(f"{root}/to/record") == {"a": 1}
    assert not hdfs.exists(f"{root}/from")


def test_rename_is_refused_without_the_destinations_parent(hdfs: HdfsClient, root: str) -> None:
    hdfs.create(f"{root}/a", b"1")
    assert hdfs.rename(f"{root}/a", f"{root}/none/a") is False
    assert hdfs.exists(f"{root}/a")


def test_rename_is_refused_without_its_source(hdfs: HdfsClient, root: str) -> None:
    assert hdfs.rename(f"{root}/none", f"{root}/b") is False


def test_rename_never_overwrites_a_file(hdfs: HdfsClient, root: str) -> None:
    hdfs.create(f"{root}/a", b"1")
    hdfs.create(f"{root}/b", b"22")
    assert hdfs.rename(f"{root}/a", f"{root}/b") is False
    assert hdfs.lengths(root) == {"a": 1, "b": 2}


def test_rename_onto_a_folder_moves_into_it(hdfs: HdfsClient, root: str) -> None:
    hdfs.make_folders(f"{root}/a")
    hdfs.make_folders(f"{root}/b")
    assert hdfs.rename(f"{root}/a", f"{root}/b") is True
    assert hdfs.names(f"{root}/b") == ["a"]


def test_delete_refuses_a_folder_that_holds_something(hdfs: HdfsClient, root: str) -> None:
    hdfs.create(f"{root}/folder/a", b"1")
    with pytest.raises(NotEmpty):
        hdfs.delete(f"{root}/folder")
    assert hdfs.delete(f"{root}/folder/a") is True
    assert hdfs.delete(f"{root}/folder") is True
    assert hdfs.delete(f"{root}/folder") is False
    hdfs.create(f"{root}/other/a", b"1")
    assert hdfs.delete(f"{root}/other", recursive=True) is True


def test_a_walk_shows_what_readers_see(hdfs: HdfsClient, root: str) -> None:
    for path in ("a", "dt=2026-11-20/b", "_sink/c", "dt=2026-11-20/.hidden"):
        hdfs.create(f"{root}/{path}", path.encode())
    assert sorted(hdfs.walk(root)) == [f"{root}/a", f"{root}/dt=2026-11-20/b"]
    assert hdfs.read(f"{root}/dt=2026-11-20/b") == b"dt=2026-11-20/b"
    assert hdfs.walk(f"{root}/none") == []
    with pytest.raises(NotFound):
        hdfs.read(f"{root}/none")


def test_checksums_tell_the_same_content_from_another(hdfs: HdfsClient, root: str) -> None:
    for name, content in (("a", b"same"), ("b", b"same"), ("c", b"more")):
        hdfs.create(f"{root}/{name}", content)
    assert hdfs.checksum(f"{root}/a") == hdfs.checksum(f"{root}/b")
    assert hdfs.checksum(f"{root}/a") != hdfs.checksum(f"{root}/c")
    with pytest.raises(NotFound):
        hdfs.checksum(f"{root}/none")
