"""HDFS as a store of files."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import hdfs

from sinks.files.store import Content, FileStore, ListedFile, NotAllowed
from sinks.hdfs.webhdfs import NO_CONCAT, HdfsCluster, translated, web_client
from sinks.reporting.metrics import SinkMetrics
from worker.errors import public_methods

_JOINED_BYTES = 1024 * 1024
"""Content up to this size is joined and sent at once: sending it in parts would take more system calls."""

_COPIED_BYTES = 1024 * 1024
"""A file is copied in parts of this size, of which one is in memory at a time."""


def _sent(data: Content) -> Content:
    return data if len(data) > _JOINED_BYTES else bytes(data)


@public_methods(translated)
class HdfsStore(FileStore):
    """The files of an HDFS cluster. metrics: counts what is sent. Takes and raises what `web_client` does."""

    def __init__(self, cluster: HdfsCluster, *, connections: int, metrics: SinkMetrics | None = None) -> None:
        self._client, self._session = web_client(cluster, connections=connections)
        self._upload = nullcontext if metrics is None else metrics.upload

    def create(self, path: str, data: Content) -> None:
        with self._upload(len(data)):
            self._client.write(path, data=_sent(data), overwrite=False)

    def append(self, path: str, data: Content) -> None:
        with self._upload(len(data)):
            self._client.write(path, data=_sent(data), append=True)

    def truncate(self, path: str, length: int) -> bool:
        return bool(self._client.truncate(path, newlength=length).json()["boolean"])

    def copy(self, source: str, length: int, destination: str) -> None:
        with self._upload(length), self._client.read(source, length=length, chunk_size=_COPIED_BYTES) as parts:
            self._client.write(destination, data=parts, overwrite=False)

    def length(self, path: str) -> int:
        return int(self._client.status(path)["length"])

    def checksum(self, path: str) -> object:
        return self._client.checksum(path)

    def rename(self, source: str, destination: str) -> bool:
        return bool(self._client.rename_at_once(source, destination=destination).json()["boolean"])

    def replace(self, source: str, destination: str) -> None:
        self._client.rename_at_once(source, destination=destination, renameoptions="OVERWRITE")

    def concat(self, target: str, sources: Sequence[str]) -> None:
        if any("," in source for source in sources):
            raise NotAllowed("WebHDFS can't take a name with a comma")
        try:
            self._client.concat(target, sources=",".join(sources))
        except hdfs.HdfsError as error:
            if error.exception in NO_CONCAT:
                raise NotAllowed(f"HDFS: {error}".splitlines()[0]) from error
            raise

    def exists(self, path: str) -> bool:
        return self._client.status(path, strict=False) is not None

    def make_folders(self, path: str) -> None:
        self._client.makedirs(path)

    def names(self, path: str) -> list[str]:
        return [name for name, _ in self._entries(path)]

    def lengths(self, path: str) -> dict[str, int]:
        return {name: status["length"] for name, status in self._entries(path) if status["type"] == "FILE"}

    def walk(self, path: str) -> list[ListedFile]:
        files: list[ListedFile] = []
        for name, status in self._entries(path):
            if name.startswith(("_", ".")):
                continue
            if status["type"] == "DIRECTORY":
                files += self.walk(f"{path}/{name}")
            else:
                files.append(ListedFile(f"{path}/{name}", status["length"], status["modificationTime"] / 1000))
        return files

    def read(self, path: str) -> bytes:
        with self._client.read(path) as reader:
            return bytes(reader.read())

    def delete(self, path: str, *, recursive: bool = False) -> bool:
        return bool(self._client.delete(path, recursive=recursive, skip_trash=True))

    def close(self) -> None:
        self._session.close()

    def _entries(self, path: str) -> list[tuple[str, dict[str, Any]]]:
        """The names in a folder, each with its status; none when there is no such folder."""
        try:
            return list(self._client.list(path, status=True))
        except hdfs.HdfsError as error:
            if error.exception == "FileNotFoundException":
                return []
            raise
