"""WebHDFS by the hdfs package: every answer looked at, every call with a timeout, errors in this project's words."""

import http
import re
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import hdfs
import hdfs.client
import msgspec
import requests
from hdfs.client import _Request
from msgspec import Meta
from requests.adapters import HTTPAdapter

from kafka_client.structs import ready
from sinks.files.store import Leased, NoPath, NotEmpty, NotFound
from worker.errors import Fatal, Retriable
from worker.urls import without_password

P = ParamSpec("P")
R = TypeVar("R")

_MEANINGS: dict[str | None, type[Exception]] = {
    "FileNotFoundException": NotFound,
    "PathIsNotEmptyDirectoryException": NotEmpty,
    "AlreadyBeingCreatedException": Leased,
    "IllegalArgumentException": NoPath,
    "InvalidPathException": NoPath,
    "PathComponentTooLongException": NoPath,
    "ParentNotDirectoryException": NoPath,
    "AccessControlException": Fatal,
    "SecurityException": Fatal,
    "UnsupportedOperationException": Fatal,
    "HadoopIllegalArgumentException": Fatal,
}
"""What exceptions of the NameNode mean. After all others trying again may help."""

_NEWEST = re.compile(r"#LATEST(\{\d+\})?(?=/|$)")

NO_CONCAT = {"HadoopIllegalArgumentException", "SnapshotException", "UnsupportedOperationException"}
"""Exceptions of the NameNode where files can't be joined: in snapshots, encryption zones, erasure coding."""


def translated(method: Callable[P, R]) -> Callable[P, R]:
    """Lets a method raise the exceptions of sinks.files.store and worker.errors instead of the package's."""

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except hdfs.HdfsError as error:
            kind, text = error.exception, f"HDFS: {error}".strip().splitlines()[0]
            meaning = Fatal if "Authentication failure" in text else _MEANINGS.get(kind)
            raise (meaning(text) if meaning else Retriable(text, reason=kind or "other")) from error
        except (requests.RequestException, http.client.HTTPException, OSError) as error:
            raise Retriable(f"HDFS: {_short(error)}", reason="unreachable") from error

    return call


def _short(error: BaseException) -> str:
    """The innermost reason of a requests exception, without its object addresses."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return without_password(f"{type(error).__name__}: {str(error).split('>: ')[-1]}")


@ready
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
    """The operations that the package lacks, or gives to its own methods alone. Each returns the HTTP answer."""

    truncate = _Request("POST").to_method("TRUNCATE")
    concat = _Request("POST").to_method("CONCAT")
    list_batch = _Request("GET").to_method("LISTSTATUS_BATCH")
    rename_at_once = _Request("PUT").to_method("RENAME")  # the package's own looks at the destination before
    open_response = _Request("GET", stream=True).to_method("OPEN")

    def resolve(self, hdfs_path: str) -> str:
        """The path unchanged. Raises NoPath where the package would replace it by the newest entry of a folder."""
        if _NEWEST.search(hdfs_path):
            raise NoPath(f"HDFS: {hdfs_path!r} can't be a path here")
        return str(super().resolve(hdfs_path))


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
    if cluster.auth == "insecure":
        base, options["user"] = hdfs.InsecureClient, cluster.user
    elif cluster.auth == "token":
        if not cluster.token:
            raise ValueError("auth is token, but no token is given")
        base, options["token"] = hdfs.TokenClient, cluster.token
    else:
        try:
            from hdfs.ext.kerberos import KerberosClient
        except ImportError as error:
            raise ValueError(f"auth is kerberos, which needs the package requests-kerberos ({error})") from error
        base, options["max_concurrency"] = KerberosClient, connections

    class Client(_Operations, base):  # type: ignore[misc, valid-type]
        """The package's client for this `auth`, with the operations that it lacks."""

    return Client(cluster.url, **options), session
