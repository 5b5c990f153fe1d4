"""The folders that the console may look into: those of the sinks that store files, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from django.utils.translation import gettext as _

from pipeline.conf import console_settings
from pipeline.console.guard import guard
from pipeline.console.pages import NotThere
from pipeline.errors import ServerAway, ServerError
from sinks.config import SinkConfig
from sinks.errors import Fatal, Retriable
from sinks.files.store import FileBrowser, FileStatus, NoPath, NotFound
from sinks.kind import BrowsedFiles
from sinks.records import Partition
from sinks.registry import kind_of, sinks

_LISTINGS = 50
"""Parts of a listing (a store gives 1,000 names or so at once) that one look-up reads; the next one goes on there."""


def file_sinks() -> dict[str, tuple[SinkConfig, BrowsedFiles]]:
    """The sinks that store files, by name."""
    return {name: (sink, files) for name, sink in sinks().items() if (files := kind_of(sink).files(sink)) is not None}


def inside(files: BrowsedFiles, path: str) -> str:
    """The absolute path of a path below a sink's folder, which is refused (ValueError) when it would lead elsewhere."""
    parts = path.split("/") if path else []
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise ValueError(_("This path is not below the folder of the sink."))
    return "/".join([files.path, *parts])


@contextmanager
def browsing(sink: SinkConfig) -> Iterator[FileBrowser]:
    """The store of a sink for a bounded read. Raises ServerError when it is away, NotThere for a missing path."""
    files = file_sinks()[sink.name][1]
    with guard().read(files.server):
        try:
            yield _browser(sink.name)
        except (NotFound, NoPath) as error:
            raise NotThere(_("There is no such file or folder.")) from error
        except Retriable as error:
            raise (ServerAway if error.reason == "unreachable" else ServerError)(files.server, str(error)) from error
        except Fatal as error:
            raise ServerError(files.server, str(error)) from error


@dataclass(frozen=True)
class LookUp:
    """What a look-up came to.

    path: of the file, below the sink's folder, None when it was not among the names; names: how many were looked at;
    after: the last of them where more follow, else None: then all were looked at.
    """

    path: str | None
    names: int
    after: str | None = None


def find_file(sink: SinkConfig, folder: str, partition: Partition, offset: int, *, after: str = "") -> LookUp:
    """Looks in a folder for the file that holds an offset, among the names after `after`.

    Raises ServerError, and NotThere where there is no such folder.
    """
    files = file_sinks()[sink.name][1]
    path, names = inside(files, folder), 0
    with browsing(sink) as browser:
        for _part in range(_LISTINGS):
            entries, left = browser.listing(path, after=after)
            names += len(entries)
            for entry in entries:
                if entry.is_folder or (read := files.layout.names.read(entry.name)) is None:
                    continue
                if read[0] == partition and read[1] <= offset <= read[2]:
                    return LookUp(f"{folder}/{entry.name}" if folder else entry.name, names)
            if not left or not entries:
                return LookUp(None, names)
            after = entries[-1].name
    return LookUp(None, names, after)


def list_folder(sink: SinkConfig, path: str, *, after: str, count: int) -> tuple[list[FileStatus], bool]:
    """Up to `count` entries of a folder by name, after `after`, and whether there are more. Raises as `browsing`.

    path: the absolute one.
    """
    with browsing(sink) as browser:
        entries, left = browser.listing(path, after=after)
    return entries[:count], left > 0 or len(entries) > count


@cache
def _browser(sink: str) -> FileBrowser:
    conf = console_settings()
    _sink, files = file_sinks()[sink]
    return files.browser(conf.store_timeout_seconds, conf.reads_at_once + conf.downloads_at_once)


def forget_clients() -> None:
    """The next read connects anew, as the settings say then."""
    _browser.cache_clear()
