"""HDFS for people: bounded reads of folders and files."""

import posixpath
from typing import Any

from sinks.files.store import Download, FileBrowser, FileStatus
from sinks.hdfs.webhdfs import HdfsCluster, translated, web_client
from worker.errors import public_methods

_CHUNK = 256 * 1024
"""Bytes of a download that are held at a time."""


@public_methods(translated)
class HdfsBrowser(FileBrowser):
    """The files of an HDFS cluster for people. Takes and raises what `web_client` does."""

    def __init__(self, cluster: HdfsCluster, *, connections: int) -> None:
        self._client, _session = web_client(cluster, connections=connections)

    def status(self, path: str) -> FileStatus:
        return _file_status(posixpath.basename(path), self._client.status(path))

    def listing(self, path: str, *, after: str = "") -> tuple[list[FileStatus], int]:
        options = {"startafter": after} if after else {}
        answer = self._client.list_batch(path, **options).json()["DirectoryListing"]
        found = answer["partialListing"]["FileStatuses"]["FileStatus"]
        return [_file_status(one["pathSuffix"], one) for one in found], int(answer["remainingEntries"])

    def summary(self, path: str) -> tuple[int, int, int]:
        summary = self._client.content(path)
        return summary["fileCount"], summary["directoryCount"], summary["length"]

    def part(self, path: str, offset: int, length: int) -> bytes:
        if not length:
            return b""
        with self._client.read(path, offset=offset, length=length) as reader:
            return bytes(reader.read(length))

    def open(self, path: str) -> Download:
        answer = self._client.open_response(path)
        # A gateway may compress on the way, then its length is another one.
        length = None if "Content-Encoding" in answer.headers else answer.headers.get("Content-Length")
        return Download(answer.iter_content(_CHUNK), answer.close, None if length is None else int(length))


def _file_status(name: str, status: dict[str, Any]) -> FileStatus:
    further = (status[key] for key in ("length", "modificationTime", "owner", "replication"))
    return FileStatus(name, status["type"] == "DIRECTORY", *further)
