"""WebHDFS by the hdfs package: every answer looked at, every call with a timeout, errors in this project's words."""

import http
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import hdfs
import hdfs.client
import msgspec
import requests
from hdfs.client import _Request
from msgspec import Meta
from requests.adapters import HTTPAdapter

from sinks.errors import Fatal, Retriable
from sinks.files.store import Leased, NoPath, NotEmpty, NotFound
from sinks.urls import without_password

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

_NEWEST = re.compile(r"#LATEST(\{\d+\})?(?=/|$)")

_LEASED = "AlreadyBeingCreatedException"

NO_CONCAT = {"HadoopIllegalArgumentException", "SnapshotException", "UnsupportedOperationException"}
"""Exceptions of the NameNode where files can't be joined: in snapshots, encryption zones, erasure coding."""


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Lets a method raise the exceptions of sinks.files.store and sinks.errors instead of the package's."""

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
    return without_password(f"{type(error).__name__}: {str(error).split('>: ')[-1]}")


class HdfsCluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry of settings.HDFS."""

    url: Annotated[str, Meta(pattern=r"^https?://[^;]+(;https?://[^;]+)*$")]
    """WebHDFS of the NameNode; several, for high availability, are separated by semicolons."""
    user: Annotated[str, Meta(min_length=1)] = "hdfs"
    """The user that writes, with `auth` insecure."""
    timeout_seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Seconds that the sink waits for a connection, and for each answer, before it tries again. Raise it for a slow
    network."""
    auth: Literal["insecure", "token", "kerberos"] = "insecure"
    """How HDFS knows the user: by the name `user`, by `token`, or by Kerberos (needs the package requests-kerberos)."""
    token: str | None = None
    """A delegation token of Hadoop."""
    ca_certs: str | None = None
    """The path of the CA certificates for https."""

    @property
    def urls(self) -> list[str]:
        """Those of all NameNodes."""
        return self.url.split(";")


class _Operations(hdfs.Client):  # type: ignore[misc]
    """The operations that the package lacks, or gives to its own methods alone, declared as it declares them."""

    _truncate = _Request("POST")
    _concat = _Request("POST")
    _list_batch = _Request("GET").to_method("LISTSTATUS_BATCH")  # the package would leave the underscore out

    def resolve(self, hdfs_path: str) -> str:
        """The path unchanged. Raises NoPath where the package would replace it by the newest entry of a folder."""
        if _NEWEST.search(hdfs_path):
            raise NoPath(f"HDFS: {hdfs_path!r} can't be a path here")
        path: str = super().resolve(hdfs_path)
        return path

    def truncate(self, path: str, length: int) -> bool:
        """TRUNCATE: False while HDFS is still at it."""
        return bool(self._truncate(path, newlength=length).json()["boolean"])

    def concat(self, target: str, sources: Sequence[str]) -> None:
        """CONCAT."""
        self._concat(target, sources=",".join(sources))

    def rename_at_once(self, source: str, destination: str) -> bool:
        """RENAME without a look at the destination before: False when the NameNode refuses."""
        return bool(self._rename(source, destination=destination).json()["boolean"])

    def replace(self, source: str, destination: str) -> None:
        """RENAME that takes the place of a file."""
        self._rename(source, destination=destination, renameoptions="OVERWRITE")

    def list_batch(self, path: str, after: str) -> dict[str, Any]:
        """LISTSTATUS_BATCH: a part of a listing, after a name."""
        options = {"startafter": after} if after else {}
        listing: dict[str, Any] = self._list_batch(path, **options).json()["DirectoryListing"]
        return listing

    def open_response(self, path: str) -> requests.Response:
        """OPEN: the HTTP answer."""
        answer: requests.Response = self._open(path)
        return answer


class _Insecure(_Operations, hdfs.InsecureClient):  # type: ignore[misc]
    """By user name."""


class _Token(_Operations, hdfs.TokenClient):  # type: ignore[misc]
    """By a delegation token."""


def web_client(cluster: HdfsCluster, *, connections: int) -> tuple[_Operations, requests.Session]:
    """The package's client of a cluster, and its HTTP session; connections: how many threads use it at a time.

    Raises ValueError when what the cluster's `auth` needs is not given or not installed.
    """
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=8, pool_maxsize=connections))
    if cluster.ca_certs:
        session.verify = cluster.ca_certs
    options: dict[str, Any] = {"timeout": cluster.timeout_seconds, "session": session}
    if cluster.auth == "token":
        if not cluster.token:
            raise ValueError("auth is token, but no token is given")
        return _Token(cluster.url, cluster.token, **options), session
    if cluster.auth == "kerberos":
        try:
            from hdfs.ext.kerberos import KerberosClient
        except ImportError as error:
            raise ValueError(f"auth is kerberos, which needs the package requests-kerberos ({error})") from error

        class Kerberos(_Operations, KerberosClient):  # type: ignore[misc]
            """By Kerberos."""

        return Kerberos(cluster.url, max_concurrency=connections, **options), session
    return _Insecure(cluster.url, user=cluster.user, **options), session
