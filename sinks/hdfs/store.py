"""HDFS as a store of files."""

from collections.abc import Sequence
from typing import Any

import hdfs

from sinks.files.store import Content, FileStore, ListedFile, NotAllowed
from sinks.hdfs.webhdfs import NO_CONCAT, HdfsCluster, translated, web_client
from sinks.reporting.metrics import SinkMetrics

_JOINED_BYTES = 1024 * 1024
"""Up to so many bytes are sent at once: parts would only be more system calls."""

_COPIED_BYTES = 1024 * 1024
"""So many bytes of a file that is copied are held at a time."""


def _sent(data: Content) -> Content:
    return data if len(data) > _JOINED_BYTES else bytes(data)


class HdfsStore(FileStore):
    """The files of an HDFS cluster.

    connections: how many threads use it at a time; metrics: counts what is sent. Raises ValueError when what the
    cluster's `auth` needs is not given or not installed.
    """

    def __init__(self, cluster: HdfsCluster, *, connections: int, metrics: SinkMetrics | None = None) -> None:
        self._client, self._session = web_client(cluster, connections=connections)
        self._metrics = metrics or SinkMetrics()

    @translated
    def create(self, path: str, data: Content) -> None:
        """Writes a new file, and its parent folders where missing."""
        with self._metrics.upload(len(data)):
            self._client.write(path, data=_sent(data), overwrite=False)

    @translated
    def append(self, path: str, data: Content) -> None:
        """Adds to a file. Raises NotFound.

        After any other exception all of it, a part or nothing may have been added, or may be added later.
        """
        with self._metrics.upload(len(data)):
            self._client.write(path, data=_sent(data), append=True)

    @translated
    def truncate(self, path: str, length: int) -> bool:
        """Cuts a file to a length in bytes; False while HDFS is still at it, and when it has to be asked again.

        True says that nobody writes it, too. Raises NotFound, Leased while someone does, Fatal when it is shorter.
        """
        return self._client.truncate(path, length)

    @translated
    def copy(self, source: str, length: int, destination: str) -> None:
        """Writes the first bytes of a file, which may be one that is being written, into a new one. Raises NotFound."""
        with self._metrics.upload(length), self._client.read(source, length=length, chunk_size=_COPIED_BYTES) as parts:
            self._client.write(destination, data=parts, overwrite=False)

    @translated
    def length(self, path: str) -> int:
        """The length of a file in bytes. Raises NotFound."""
        length: int = self._client.status(path)["length"]
        return length

    @translated
    def checksum(self, path: str) -> dict[str, Any]:
        """HDFS's checksum of a file's content (GETFILECHECKSUM). Raises NotFound."""
        checksum: dict[str, Any] = self._client.checksum(path)
        return checksum

    @translated
    def rename(self, source: str, destination: str) -> bool:
        """Renames, atomically; False when the NameNode refused: no source, no parent folder, or destination present."""
        return self._client.rename_at_once(source, destination)

    @translated
    def replace(self, source: str, destination: str) -> None:
        """Renames a file, atomically taking the place of one that may be there. Raises NotFound without a source."""
        self._client.replace(source, destination)

    @translated
    def concat(self, target: str, sources: Sequence[str]) -> None:
        """Appends files to another one of their folder, atomically; they are gone then.

        Raises NotFound when one of them is not there, NotAllowed where HDFS does not do that.
        """
        if any("," in source for source in sources):
            raise NotAllowed("WebHDFS can't take a name with a comma")
        try:
            self._client.concat(target, sources)
        except hdfs.HdfsError as error:
            if error.exception in NO_CONCAT:
                raise NotAllowed(f"HDFS: {error}".splitlines()[0]) from error
            raise

    @translated
    def exists(self, path: str) -> bool:
        """Whether a file or folder of that name is there."""
        return self._client.status(path, strict=False) is not None

    @translated
    def make_folders(self, path: str) -> None:
        """Makes a folder and its parents, where missing."""
        self._client.makedirs(path)

    @translated
    def names(self, path: str) -> list[str]:
        """The names in a folder; none when there is no such folder."""
        try:
            names: list[str] = self._client.list(path)
        except hdfs.HdfsError as error:
            if error.exception == "FileNotFoundException":
                return []
            raise
        return names

    @translated
    def lengths(self, path: str) -> dict[str, int]:
        """The files in a folder with their lengths in bytes; none when there is no such folder."""
        try:
            listed = self._client.list(path, status=True)
        except hdfs.HdfsError as error:
            if error.exception == "FileNotFoundException":
                return {}
            raise
        return {name: status["length"] for name, status in listed if status["type"] == "FILE"}

    @translated
    def walk(self, path: str) -> list[ListedFile]:
        """The files below a folder, as readers see them: what begins with an underscore or a dot is left out."""
        files: list[ListedFile] = []
        for name, status in self._client.list(path, status=True) if self._client.status(path, strict=False) else ():
            if name.startswith(("_", ".")):
                continue
            if status["type"] == "DIRECTORY":
                files += self.walk(f"{path}/{name}")
            else:
                files.append(ListedFile(f"{path}/{name}", status["length"], status["modificationTime"] / 1000))
        return files

    @translated
    def read(self, path: str) -> bytes:
        """The content of a file. Raises NotFound."""
        with self._client.read(path) as reader:
            content: bytes = reader.read()
        return content

    @translated
    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Deletes a file or folder; False when it was not there. Raises NotEmpty unless recursive."""
        deleted: bool = self._client.delete(path, recursive=recursive, skip_trash=True)
        return deleted

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()
