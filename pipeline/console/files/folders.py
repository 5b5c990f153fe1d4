"""The folders that the console may look into: those of the HDFS sinks, and nothing else."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import msgspec
from django.utils.translation import gettext as _

from pipeline.conf import console_settings
from pipeline.console.guard import guard
from pipeline.console.pages import NotThere
from pipeline.errors import ServerAway, ServerError
from sinks.clusters import hdfs_cluster
from sinks.config import SinkConfig, sinks
from sinks.errors import Fatal, Retriable
from sinks.files.naming import FileNames
from sinks.files.store import FileStatus, NoPath, NotFound
from sinks.hdfs.client import HdfsBrowser, connect
from sinks.hdfs.config import HdfsTarget
from sinks.records import Partition

_MARKER = re.compile(r"#LATEST(\{\d+\})?(?=/|$)")
"""What the hdfs package takes for the newest entry of a folder, and would look for."""

_LISTINGS = 50
"""Parts of a listing (the NameNode gives 1,000 names or so at once) that one look-up reads."""


def hdfs_sinks() -> dict[str, tuple[SinkConfig, HdfsTarget]]:
    """The sinks that store in HDFS, by name."""
    return {name: (sink, sink.target) for name, sink in sinks().items() if isinstance(sink.target, HdfsTarget)}


def inside(target: HdfsTarget, path: str) -> str:
    """The absolute path of a path below a sink's folder, which is refused (ValueError) when it would lead elsewhere."""
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts) or "\0" in path or _MARKER.search(path):
        raise ValueError(_("This path is not below the folder of the sink."))
    return "/".join([target.path, *parts])


def server_name(target: HdfsTarget) -> str:
    """A cluster's name for people."""
    return f"HDFS ({hdfs_cluster(target.cluster).url})"


@contextmanager
def browsing(target: HdfsTarget) -> Iterator[HdfsBrowser]:
    """HDFS for a bounded read. Raises ServerError when it does not answer, NotThere when a path is not there."""
    name = server_name(target)
    with guard().read(name):
        try:
            yield _browser(target.cluster)
        except (NotFound, NoPath) as error:
            raise NotThere(_("There is no such file or folder.")) from error
        except Retriable as error:
            raise (ServerAway if error.reason == "unreachable" else ServerError)(name, str(error)) from error
        except Fatal as error:
            raise ServerError(name, str(error)) from error


def file_names(sink: SinkConfig, target: HdfsTarget) -> FileNames:
    """Reads the names of a sink's files."""
    return target.layout(sink.event).names


def find_file(sink: SinkConfig, target: HdfsTarget, folder: str, partition: Partition, offset: int) -> str | None:
    """The path, below the sink's folder, of the file that holds an offset; None when it is not in that folder.

    Raises ServerError, and NotThere where there is no such folder.
    """
    names = file_names(sink, target)
    path, after = inside(target, folder), ""
    with browsing(target) as browser:
        for _part in range(_LISTINGS):
            entries, left = browser.listing(path, after=after)
            for entry in entries:
                if entry.is_folder or (read := names.read(entry.name)) is None:
                    continue
                if read[0] == partition and read[1] <= offset <= read[2]:
                    return f"{folder}/{entry.name}" if folder else entry.name
            if not left or not entries:
                return None
            after = entries[-1].name
    return None


def list_folder(target: HdfsTarget, path: str, *, after: str, count: int) -> tuple[list[FileStatus], bool]:
    """Up to `count` entries of a folder by name, after `after`, and whether there are more. Raises as `browsing`."""
    with browsing(target) as browser:
        entries, left = browser.listing(inside(target, path), after=after)
    return entries[:count], left > 0 or len(entries) > count


@cache
def _browser(cluster: str) -> HdfsBrowser:
    conf = console_settings()
    settings = msgspec.structs.replace(hdfs_cluster(cluster), timeout_seconds=conf.hdfs_timeout_seconds)
    return HdfsBrowser(connect(settings, connections=conf.reads_at_once + conf.downloads_at_once))


def forget_clients() -> None:
    """The next read connects anew, as the settings say then."""
    _browser.cache_clear()
