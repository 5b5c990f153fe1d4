"""The one place that talks to HDFS: WebHDFS by the hdfs package, every answer looked at, every call with a timeout."""

import http
import posixpath
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, Literal, NamedTuple, ParamSpec, TypeVar

import hdfs
import hdfs.client
import msgspec
import requests
from msgspec import Meta
from requests.adapters import HTTPAdapter

from sinks.errors import Fatal, Retriable
from sinks.files.store import Content, FileStatus, Leased, ListedFile, NoPath, NotAllowed, NotEmpty, NotFound
from sinks.reporting.metrics import SinkMetrics

P = ParamSpec("P")
R = TypeVar("R")

_NO_PATH = {
    "IllegalArgumentException",
    "InvalidPathException",
    "PathComponentTooLongException",
    "ParentNotDirectoryException",
}
"""Exceptions of the NameNode about what can be no path."""

_NEVER_BETTER = {
    *_NO_PATH,
    "AccessControlException",
    "SecurityException",
    "UnsupportedOperationException",
    "HadoopIllegalArgumentException",
}
"""Exceptions of the NameNode after which trying again does not help."""

_LEASED = "AlreadyBeingCreatedException"

_NO_CONCAT = {"HadoopIllegalArgumentException", "SnapshotException", "UnsupportedOperationException"}
"""Exceptions of the NameNode where files can't be joined: in snapshots, encryption zones, erasure coding."""

# The package has no such operations; this is how it makes the ones that it has.
_truncate = hdfs.client._Request("POST").to_method("TRUNCATE")
_concat = hdfs.client._Request("POST").to_method("CONCAT")
_list_batch = hdfs.client._Request("GET").to_method("LISTSTATUS_BATCH")


def _translated(method: Callable[P, R]) -> Callable[P, R]:
    """Lets the method raise this module's and sinks.errors' exceptions instead of the package's."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except hdfs.HdfsError as error:
            kind, text = error.exception, f"HDFS: {error}".strip().splitlines()[0]
            if kind == "FileNotFoundException":
                raise NotFound(text) from error
            if kind == "PathIsNotEmptyDirectoryException":
                raise NotEmpty(text) from error
            if kind == _LEASED:
                raise Leased(text) from error
            if kind in _NEVER_BETTER or "Authentication failure" in text:
                raise (NoPath if kind in _NO_PATH else Fatal)(text) from error
            raise Retriable(text, reason=kind or "other") from error
        except (requests.RequestException, http.client.HTTPException, OSError) as error:
            raise Retriable(f"HDFS: {_short(error)}", reason="unreachable") from error

    return call


def _short(error: BaseException) -> str:
    """The innermost reason of a requests exception, without its object addresses."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return f"{type(error).__name__}: {str(error).split('>: ')[-1]}"


class HdfsCluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of settings.HDFS."""

    url: Annotated[
        str,
        Meta(
            pattern=r"^https?://[^;]+(;https?://[^;]+)*$",
            description="WebHDFS of the NameNode; several, for high availability, are separated by semicolons.",
        ),
    ]
    user: Annotated[str, Meta(min_length=1, description="The user that writes, where nobody checks.")] = "hdfs"
    timeout_seconds: Annotated[
        float, Meta(gt=0, description="For connecting, and for each wait for an answer, in seconds.")
    ] = 30.0
    auth: Annotated[
        Literal["insecure", "token", "kerberos"],
        Meta(description="By user name, by `token`, or by Kerberos (needs the package requests-kerberos)."),
    ] = "insecure"
    token: Annotated[str | None, Meta(description="A delegation token of Hadoop.")] = None
    ca_certs: Annotated[str | None, Meta(description="Path of the CA for https.")] = None


_JOINED_BYTES = 1024 * 1024
"""Up to so many bytes are sent at once: parts would only be more system calls."""

_COPIED_BYTES = 1024 * 1024
"""So many bytes of a file that is copied are held at a time."""


def _sent(data: Content) -> Content:
    return data if len(data) > _JOINED_BYTES else bytes(data)


class NameNode(NamedTuple):
    """What a NameNode says of itself. data_nodes: how many live."""

    version: str
    data_nodes: int
    is_in_safe_mode: bool


class HdfsClient:
    """The file operations that the sink needs. Every method may raise Retriable and Fatal.

    client: of the hdfs package, on `session`.
    """

    def __init__(self, client: Any, session: requests.Session, metrics: SinkMetrics) -> None:
        self._client = client
        self._session = session
        self._metrics = metrics

    @_translated
    def create(self, path: str, data: Content) -> None:
        """Writes a new file, and its parent folders where missing."""
        with self._metrics.upload(len(data)):
            self._client.write(path, data=_sent(data), overwrite=False)

    @_translated
    def append(self, path: str, data: Content) -> None:
        """Adds to a file. Raises NotFound.

        After any other exception all of it, a part or nothing may have been added, or may be added later.
        """
        with self._metrics.upload(len(data)):
            self._client.write(path, data=_sent(data), append=True)

    @_translated
    def truncate(self, path: str, length: int) -> bool:
        """Cuts a file to a length in bytes; False while HDFS is still at it, and when it has to be asked again.

        True says that nobody writes it, too. Raises NotFound, Leased while someone does, Fatal when it is shorter.
        """
        cut: bool = _truncate(self._client, path, newlength=length).json()["boolean"]
        return cut

    @_translated
    def copy(self, source: str, length: int, destination: str) -> None:
        """Writes the first bytes of a file, which may be one that is being written, into a new one. Raises NotFound."""
        with self._metrics.upload(length), self._client.read(source, length=length, chunk_size=_COPIED_BYTES) as parts:
            self._client.write(destination, data=parts, overwrite=False)

    @_translated
    def length(self, path: str) -> int:
        """The length of a file in bytes. Raises NotFound."""
        length: int = self._client.status(path)["length"]
        return length

    @_translated
    def checksum(self, path: str) -> dict[str, Any]:
        """HDFS's checksum of a file's content (GETFILECHECKSUM). Raises NotFound."""
        checksum: dict[str, Any] = self._client.checksum(path)
        return checksum

    @_translated
    def rename(self, source: str, destination: str) -> bool:
        """Renames, atomically; False when the NameNode refused: no source, no parent folder, or destination present."""
        renamed: bool = self._client._rename(source, destination=destination).json()["boolean"]
        return renamed

    @_translated
    def replace(self, source: str, destination: str) -> None:
        """Renames a file, atomically taking the place of one that may be there. Raises NotFound without a source."""
        self._client._rename(source, destination=destination, renameoptions="OVERWRITE")

    @_translated
    def concat(self, target: str, sources: Sequence[str]) -> None:
        """Appends files to another one of their folder, atomically; they are gone then.

        Raises NotFound when one of them is not there, NotAllowed where HDFS does not do that.
        """
        if any("," in source for source in sources):
            raise NotAllowed("WebHDFS can't take a name with a comma")
        try:
            _concat(self._client, target, sources=",".join(sources))
        except hdfs.HdfsError as error:
            if error.exception in _NO_CONCAT:
                raise NotAllowed(f"HDFS: {error}".splitlines()[0]) from error
            raise

    @_translated
    def exists(self, path: str) -> bool:
        """Whether a file or folder of that name is there."""
        return self._client.status(path, strict=False) is not None

    @_translated
    def make_folders(self, path: str) -> None:
        """Makes a folder and its parents, where missing."""
        self._client.makedirs(path)

    @_translated
    def names(self, path: str) -> list[str]:
        """The names in a folder; none when there is no such folder."""
        try:
            names: list[str] = self._client.list(path)
        except hdfs.HdfsError as error:
            if error.exception == "FileNotFoundException":
                return []
            raise
        return names

    @_translated
    def lengths(self, path: str) -> dict[str, int]:
        """The files in a folder with their lengths in bytes; none when there is no such folder."""
        try:
            listed = self._client.list(path, status=True)
        except hdfs.HdfsError as error:
            if error.exception == "FileNotFoundException":
                return {}
            raise
        return {name: status["length"] for name, status in listed if status["type"] == "FILE"}

    @_translated
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

    @_translated
    def read(self, path: str) -> bytes:
        """The content of a file. Raises NotFound."""
        with self._client.read(path) as reader:
            content: bytes = reader.read()
        return content

    @_translated
    def delete(self, path: str, *, recursive: bool = False) -> bool:
        """Deletes a file or folder; False when it was not there. Raises NotEmpty unless recursive."""
        deleted: bool = self._client.delete(path, recursive=recursive, skip_trash=True)
        return deleted

    @_translated
    def name_node(self, url: str) -> NameNode:
        """What the NameNode at `url` says of itself, by its JMX page, which WebHDFS's port serves, too."""
        query = {"qry": "Hadoop:service=NameNode,name=NameNodeInfo"}
        answer = self._session.get(f"{url}/jmx", params=query, timeout=self._client._timeout)
        answer.raise_for_status()
        beans = answer.json()["beans"]
        if not beans:
            raise Retriable("HDFS: the NameNode is starting", reason="unreachable")
        bean = beans[0]
        return NameNode(bean["SoftwareVersion"], len(msgspec.json.decode(bean["LiveNodes"])), bool(bean["Safemode"]))

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()


def connect(cluster: HdfsCluster, *, connections: int, metrics: SinkMetrics | None = None) -> HdfsClient:
    """The client of a cluster; connections: how many threads use it at a time.

    Raises ValueError when what the cluster's `auth` needs is not given or not installed.
    """
    metrics = metrics or SinkMetrics()
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=8, pool_maxsize=connections))
    if cluster.ca_certs:
        session.verify = cluster.ca_certs
    options: dict[str, Any] = {"timeout": cluster.timeout_seconds, "session": session}
    if cluster.auth == "token":
        if not cluster.token:
            raise ValueError("auth is token, but no token is given")
        return HdfsClient(hdfs.TokenClient(cluster.url, cluster.token, **options), session, metrics)
    if cluster.auth == "kerberos":
        try:
            from hdfs.ext.kerberos import KerberosClient
        except ImportError as error:
            raise ValueError(f"auth is kerberos, which needs the package requests-kerberos ({error})") from error
        return HdfsClient(KerberosClient(cluster.url, max_concurrency=connections, **options), session, metrics)
    return HdfsClient(hdfs.InsecureClient(cluster.url, user=cluster.user, **options), session, metrics)


class HdfsBrowser:
    """Reads for people, each bounded. Every method may raise NotFound, Retriable and Fatal."""

    def __init__(self, client: HdfsClient) -> None:
        self._client = client._client

    @_translated
    def status(self, path: str) -> FileStatus:
        """A file or folder."""
        return _file_status(posixpath.basename(path), self._client.status(path))

    @_translated
    def listing(self, path: str, *, after: str = "") -> tuple[list[FileStatus], int]:
        """The entries of a folder by name after `after`, as many as the NameNode gives at once, and how many follow."""
        options = {"startafter": after} if after else {}
        answer = _list_batch(self._client, path, **options).json()["DirectoryListing"]
        found = answer["partialListing"]["FileStatuses"]["FileStatus"]
        return [_file_status(one["pathSuffix"], one) for one in found], int(answer["remainingEntries"])

    @_translated
    def summary(self, path: str) -> tuple[int, int, int]:
        """Files, folders (itself is one) and bytes below a folder."""
        summary = self._client.content(path)
        return summary["fileCount"], summary["directoryCount"], summary["length"]

    @_translated
    def part(self, path: str, offset: int, length: int) -> bytes:
        """Up to `length` bytes of a file from `offset` on."""
        if not length:
            return b""
        with self._client.read(path, offset=offset, length=length) as reader:
            content: bytes = reader.read(length)
        return content

    @_translated
    def open(self, path: str) -> requests.Response:
        """A file as an HTTP answer whose content is read by `iter_content`; to be closed."""
        answer: requests.Response = self._client._open(path)
        return answer


def _file_status(name: str, status: dict[str, Any]) -> FileStatus:
    return FileStatus(
        name=name,
        is_folder=status["type"] == "DIRECTORY",
        length=status["length"],
        modified=status["modificationTime"],
        owner=status["owner"],
        replication=status["replication"],
    )
