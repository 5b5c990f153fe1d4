"""What HDFS does otherwise than other stores of files, shown on the real one and on the one in memory alike."""

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from urllib.parse import urlsplit

import hdfs as hdfs_package
import pytest

from sinks.files.store import Leased, NotAllowed, NotFound
from sinks.hdfs.store import HdfsStore
from sinks.hdfs.webhdfs import HdfsCluster
from tests.sinks.memory_hdfs import MemoryHdfs
from tests.support import wait_until


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.integration)])
def hdfs(request: pytest.FixtureRequest) -> Iterator[HdfsStore]:
    if request.param == "memory":
        yield MemoryHdfs()
        return
    stack = request.getfixturevalue("stack")
    client = HdfsStore(HdfsCluster(url=stack.webhdfs_url), connections=2)
    yield client
    client.close()


@pytest.fixture
def root(hdfs: HdfsStore) -> str:
    root = f"/contract/{uuid.uuid4().hex}"
    hdfs.make_folders(root)
    return root


def test_rename_onto_a_folder_moves_into_it(hdfs: HdfsStore, root: str) -> None:
    hdfs.make_folders(f"{root}/a")
    hdfs.make_folders(f"{root}/b")
    assert hdfs.rename(f"{root}/a", f"{root}/b") is True
    assert hdfs.names(f"{root}/b") == ["a"]


def test_concat_lets_a_file_take_in_others_of_its_folder(hdfs: HdfsStore, root: str) -> None:
    for name, content in (("empty", b""), ("b k%2F", b"22"), ("김", b"333")):
        hdfs.create(f"{root}/{name}", content)
    hdfs.concat(f"{root}/empty", [f"{root}/b k%2F", f"{root}/김"])
    assert hdfs.lengths(root) == {"empty": 5}
    assert hdfs.read(f"{root}/empty") == b"22333"


def test_concat_without_one_of_the_files_does_nothing(hdfs: HdfsStore, root: str) -> None:
    hdfs.create(f"{root}/a", b"1")
    hdfs.create(f"{root}/b", b"22")
    for target, sources in (("a", ["b", "none"]), ("none", ["a", "b"])):
        with pytest.raises(NotFound):
            hdfs.concat(f"{root}/{target}", [f"{root}/{source}" for source in sources])
    assert hdfs.lengths(root) == {"a": 1, "b": 2}


def test_concat_is_not_for_files_of_another_folder(hdfs: HdfsStore, root: str) -> None:
    hdfs.create(f"{root}/a", b"1")
    hdfs.create(f"{root}/folder/b", b"22")
    with pytest.raises(NotAllowed):
        hdfs.concat(f"{root}/a", [f"{root}/folder/b"])
    assert hdfs.lengths(f"{root}/folder") == {"b": 2}


def cut(hdfs: HdfsStore, path: str, length: int) -> bool:
    """Whether it is cut; someone whose connection was closed may have the file for a moment more."""
    try:
        return hdfs.truncate(path, length)
    except Leased:
        return False


def test_a_file_is_cut_after_a_while_and_can_then_be_added_to(hdfs: HdfsStore, root: str) -> None:
    hdfs.create(f"{root}/a", b"12345")
    assert hdfs.truncate(f"{root}/a", 5) is True
    assert hdfs.truncate(f"{root}/a", 3) is False
    wait_until(lambda: cut(hdfs, f"{root}/a", 3), what="the cut")
    hdfs.append(f"{root}/a", b"6")
    assert hdfs.read(f"{root}/a") == b"1236"


HalfAppended = Callable[[str, bytes], AbstractContextManager[None]]


@pytest.fixture
def half_appended(request: pytest.FixtureRequest, hdfs: HdfsStore) -> HalfAppended:
    """Someone who has sent the first half of an append, and closes the connection at the end."""

    @contextmanager
    def in_memory(path: str, data: bytes) -> Iterator[None]:
        file = hdfs.files[path]  # type: ignore[attr-defined]
        file.data += data[: len(data) // 2]
        file.leased = True
        yield
        file.leased = False

    @contextmanager
    def really(path: str, data: bytes) -> Iterator[None]:
        client = hdfs_package.InsecureClient(request.getfixturevalue("stack").webhdfs_url, user="hdfs")
        place = urlsplit(client._append(path).headers["location"])
        with socket.create_connection((place.hostname, place.port)) as connection:
            head = f"POST {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\n"
            head += f"Content-Type: application/octet-stream\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data[: len(data) // 2])

            def is_leased() -> bool:
                try:
                    hdfs.truncate(path, hdfs.length(path))
                except Leased:
                    return True
                return False

            wait_until(is_leased, what="the append")
            yield

    return in_memory if isinstance(hdfs, MemoryHdfs) else really


def test_a_file_that_is_being_written_can_be_moved_and_read_but_not_cut(
    hdfs: HdfsStore, root: str, half_appended: HalfAppended
) -> None:
    hdfs.create(f"{root}/a", b"12345")
    with half_appended(f"{root}/a", b"6" * 1000):
        assert hdfs.rename(f"{root}/a", f"{root}/b") is True
        with pytest.raises(Leased):
            hdfs.truncate(f"{root}/b", 5)
        with pytest.raises(Leased):
            hdfs.append(f"{root}/b", b"7")
        with pytest.raises(NotFound):
            hdfs.append(f"{root}/a", b"7")
        hdfs.copy(f"{root}/b", 5, f"{root}/copy")
    assert hdfs.read(f"{root}/copy") == b"12345"
    wait_until(lambda: cut(hdfs, f"{root}/b", 5), what="the cut")
    assert hdfs.read(f"{root}/b") == b"12345"


def test_a_file_that_is_being_written_can_be_deleted(hdfs: HdfsStore, root: str, half_appended: HalfAppended) -> None:
    hdfs.create(f"{root}/a", b"12345")
    with half_appended(f"{root}/a", b"6" * 1000):
        assert hdfs.delete(f"{root}/a") is True
    assert not hdfs.exists(f"{root}/a")
