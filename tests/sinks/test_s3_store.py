"""What the commit protocol of the S3 sink asks of a store: the same tests for one in memory and for a real server."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.stub import Stubber

from devstack.seaweedfs import ACCESS_KEY, SECRET_KEY
from sinks.files.store import Chunks, NotFound
from sinks.s3.browser import S3Browser
from sinks.s3.config import S3Store, S3Target
from sinks.s3.objects import PART_BYTES, ObjectStore
from sinks.s3.store import S3ObjectStore
from sinks.s3.writer import check_server
from tests.sinks.memory_s3 import MemoryS3
from tests.sinks.s3_bench import BUCKET
from worker.errors import Fatal, Retriable


def settings_of(url: str) -> S3Store:
    return S3Store(
        endpoint_url=url,
        path_style=True,
        timeout_seconds=20.0,
        access_key_id=ACCESS_KEY,
        secret_access_key=SECRET_KEY,
    )


@pytest.fixture(params=["memory", pytest.param("server", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    if request.param == "memory":
        yield MemoryS3()
        return
    server = request.getfixturevalue("seaweedfs")
    real = S3ObjectStore(settings_of(server.address), S3Target(bucket=BUCKET, path="/any"), connections=8)
    yield real
    real.close()


@pytest.fixture
def folder(request: pytest.FixtureRequest) -> str:
    """One of this test alone."""
    return f"/store/{abs(hash(request.node.name))}"


def test_one_of_several_writers_makes_an_object(store: ObjectStore, folder: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for number in range(5):
            path = f"{folder}/{number}"
            made = list(pool.map(lambda writer, path=path: store.put_new(path, b"%d" % writer), range(4)))
            assert made.count(True) == 1
            assert store.read(path) == b"%d" % made.index(True)


def test_an_upload_is_seen_by_nobody_before_it_is_published(store: ObjectStore, folder: str) -> None:
    upload = store.upload(f"{folder}/a", Chunks([b"one ", b"two"]))
    assert upload.size == 7
    assert (store.exists(f"{folder}/a"), store.names(folder), store.walk(folder)) == (False, [], [])
    assert store.publish(upload)
    assert store.read(f"{folder}/a") == b"one two"
    [file] = store.walk(folder)
    assert (file.path, file.length) == (f"{folder}/a", 7)


def test_an_upload_that_was_published_is_never_published_again_once_its_object_is_deleted(
    store: ObjectStore, folder: str
) -> None:
    upload = store.upload(f"{folder}/a", b"1")
    store.publish(upload)
    store.delete(f"{folder}/a")
    assert not store.publish(upload)
    assert not store.exists(f"{folder}/a")


def test_several_who_publish_an_upload_at_a_time_leave_it_whole(store: ObjectStore, folder: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            upload = store.upload(f"{folder}/{number}", b"%d" % number * 1000)
            list(pool.map(store.publish, [upload] * 4))
            assert store.read(f"{folder}/{number}") == b"%d" % number * 1000


def test_an_upload_that_was_abandoned_is_gone(store: ObjectStore, folder: str) -> None:
    upload = store.upload(f"{folder}/a", b"1")
    store.abandon(upload)
    store.abandon(upload)
    assert not store.publish(upload)
    assert not store.exists(f"{folder}/a")


def test_a_large_object_is_sent_in_parts_of_one_size(store: ObjectStore, folder: str) -> None:
    pieces = [b"a" * (PART_BYTES - 1), b"b" * (PART_BYTES + 1), b"c" * 5]
    upload = store.upload(f"{folder}/a", Chunks(pieces))
    assert len(upload.parts) in (0, 3)
    store.publish(upload)
    assert store.read(f"{folder}/a") == b"".join(pieces)


def test_names_in_a_folder_are_those_of_objects_and_folders_after_another_name(store: ObjectStore, folder: str) -> None:
    for name in ("a", "b/1", "b/2", "c-d", "c/1", "e"):
        store.put_new(f"{folder}/{name}", b"")
    assert store.names(folder) == ["a", "b", "c", "c-d", "e"]
    assert store.names(folder, after="b") == ["c", "c-d", "e"]
    assert store.names(f"{folder}/nothing") == []


def test_readers_do_not_see_what_begins_with_an_underscore_or_a_dot(store: ObjectStore, folder: str) -> None:
    for name in ("a", "_sink/x", "d/.b", "d/c"):
        store.put_new(f"{folder}/{name}", b"1")
    assert [file.path for file in store.walk(folder)] == [f"{folder}/a", f"{folder}/d/c"]


def test_copies_and_reads_of_what_is_not_there_say_so(store: ObjectStore, folder: str) -> None:
    with pytest.raises(NotFound):
        store.copy(f"{folder}/a", f"{folder}/b")
    with pytest.raises(NotFound):
        store.read(f"{folder}/a")
    store.delete(f"{folder}/a")
    store.put_new(f"{folder}/a", b"1")
    store.copy(f"{folder}/a", f"{folder}/b")
    assert store.read(f"{folder}/b") == b"1"


def test_a_store_that_honours_the_condition_is_accepted_again_and_again(store: ObjectStore, folder: str) -> None:
    for _ in range(2):
        check_server(store, "the server", folder)


class Overwriting(MemoryS3):
    """Ignores If-None-Match."""

    def put_new(self, path: str, data: bytes) -> bool:
        self.objects[path] = data
        return True


class WithoutBucket(MemoryS3):
    """Its bucket is not there."""

    def has_bucket(self) -> bool:
        return False


def test_a_store_that_ignores_the_condition_is_refused_by_name() -> None:
    with pytest.raises(Fatal, match="the server ignores If-None-Match"):
        check_server(Overwriting(), "the server", "/data")


def test_a_bucket_that_is_not_there_is_waited_for() -> None:
    with pytest.raises(Retriable, match="the server: there is no such bucket"):
        check_server(WithoutBucket(), "the server", "/data")


def test_an_upload_that_the_server_forgets_midway_is_begun_again() -> None:
    store = S3ObjectStore(settings_of("http://127.0.0.1:1"), S3Target(bucket=BUCKET, path="/any"), connections=1)
    with Stubber(store._client) as server:
        server.add_response("create_multipart_upload", {"UploadId": "1"})
        server.add_client_error("upload_part", "NoSuchUpload", http_status_code=404)
        server.add_client_error("abort_multipart_upload", "NoSuchUpload", http_status_code=404)
        with pytest.raises(Retriable, match="NoSuchUpload"):
            store.upload("/any/a", b"1")


@pytest.mark.integration
def test_people_see_folders_and_files_page_by_page(
    seaweedfs: object, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = seaweedfs.address  # type: ignore[attr-defined]
    store = S3ObjectStore(settings_of(url), S3Target(bucket=BUCKET, path="/any"), connections=1)
    for name in ("a", "b/1", "b/2/3", "b-c", "d"):
        store.put_new(f"{folder}/{name}", b"12")
    browser = S3Browser(settings_of(url), BUCKET, connections=1)
    found, left = browser.listing(folder)
    assert ([(entry.name, entry.is_folder, entry.length) for entry in found], left) == (
        [("a", False, 2), ("b", True, 0), ("b-c", False, 2), ("d", False, 2)],
        0,
    )
    monkeypatch.setattr("sinks.s3.browser._LISTED", 2)
    pages, after = [], ""
    while True:
        entries, left = browser.listing(folder, after=after)
        pages += [entry.name for entry in entries]
        after = pages[-1]
        if not left:
            break
    assert pages == ["a", "b", "b-c", "d"]
    assert browser.summary(folder) == (5, 3, 10)
    assert browser.part(f"{folder}/a", 1, 5) == b"2"
    assert browser.status(f"{folder}/b").is_folder
    with pytest.raises(NotFound):
        browser.status(f"{folder}/nothing")
    download = browser.open(f"{folder}/a")
    assert (download.length, b"".join(download.parts)) == (2, b"12")
    download.close()
