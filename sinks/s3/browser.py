"""A bucket for people: bounded reads of folders and files. A folder is what the keys of several objects begin with."""

import posixpath
import time
from typing import TYPE_CHECKING, Any

from sinks.files.store import Download, FileBrowser, FileStatus, NoPath, NotFound
from sinks.s3.client import connect, translated
from sinks.s3.config import S3Store
from worker.errors import Retriable, public_methods

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

_CHUNK = 256 * 1024
"""Bytes of a download that are held at a time."""

_LISTED = 1000
"""So many entries a listing has at most."""

_SUMMARY_SHARE = 0.8
"""The part of a read's time in which files are counted: a large folder is not taken for a store that is away."""


@public_methods(translated)
class S3Browser(FileBrowser):
    """The objects of a bucket. Takes and raises what `connect` does."""

    def __init__(self, store: S3Store, bucket: str, *, connections: int) -> None:
        self._bucket = bucket
        self._timeout = store.timeout_seconds
        self._client: S3Client = connect(store, connections=connections)

    def status(self, path: str) -> FileStatus:
        name = posixpath.basename(path)
        try:
            found = translated(self._client.head_object)(Bucket=self._bucket, Key=_key(path))
        except NotFound:
            if not self._is_folder(path):
                raise
            return _folder(name)
        return _file(name, found["ContentLength"], found["LastModified"])

    def listing(self, path: str, *, after: str = "") -> tuple[list[FileStatus], int]:
        prefix = f"{_key(path)}/"
        page = self._page(prefix, delimiter="/", after=prefix + after if after else "", count=_LISTED)
        entries = [_file(each["Key"], each["Size"], each["LastModified"]) for each in page.get("Contents", ())]
        entries += [_folder(each["Prefix"].rstrip("/")) for each in page.get("CommonPrefixes", ())]
        named = (entry._replace(name=entry.name.removeprefix(prefix)) for entry in entries)
        # A folder's key has a slash more than its name, so that the server may list one again, and in another order.
        return sorted(entry for entry in named if entry.name > after), int(bool(page.get("IsTruncated")))

    def summary(self, path: str) -> tuple[int, int, int]:
        deadline = time.monotonic() + _SUMMARY_SHARE * self._timeout
        prefix = f"{_key(path)}/"
        files, size, folders, after = 0, 0, {""}, ""
        while True:
            page = self._page(prefix, after=after, count=_LISTED)
            for each in page.get("Contents", ()):
                files += 1
                size += each["Size"]
                folder = posixpath.dirname(each["Key"].removeprefix(prefix))
                while folder and folder not in folders:
                    folders.add(folder)
                    folder = posixpath.dirname(folder)
                after = each["Key"]
            if not page.get("IsTruncated"):
                return files, len(folders), size
            if time.monotonic() > deadline:
                raise Retriable("too many files to be counted in time", reason="slow")

    def part(self, path: str, offset: int, length: int) -> bytes:
        if not length:
            return b""
        last = offset + length - 1
        answer = self._client.get_object(Bucket=self._bucket, Key=_key(path), Range=f"bytes={offset}-{last}")
        return answer["Body"].read()

    def open(self, path: str) -> Download:
        answer = self._client.get_object(Bucket=self._bucket, Key=_key(path))
        body = answer["Body"]
        return Download(body.iter_chunks(_CHUNK), body.close, answer["ContentLength"])

    def _is_folder(self, path: str) -> bool:
        return bool(self._page(f"{_key(path)}/", count=1).get("KeyCount"))

    def _page(self, prefix: str, *, delimiter: str = "", after: str = "", count: int) -> Any:
        options: Any = {key: value for key, value in (("Delimiter", delimiter), ("StartAfter", after)) if value}
        return translated(self._client.list_objects_v2)(Bucket=self._bucket, Prefix=prefix, MaxKeys=count, **options)


def _key(path: str) -> str:
    key = path.removeprefix("/")
    if len(key.encode()) > 1024:
        raise NoPath(f"{path} is too long for a key")
    return key


def _file(name: str, size: int, modified: Any) -> FileStatus:
    return FileStatus(name, False, size, int(modified.timestamp() * 1000), owner="", replication=0)


def _folder(name: str) -> FileStatus:
    return FileStatus(name, True, 0, 0, owner="", replication=0)
