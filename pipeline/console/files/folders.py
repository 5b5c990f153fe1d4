"""The folders that the console may look into: those of the sinks that store files, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.utils.translation import gettext as _

from pipeline.conf import console_settings
from pipeline.console.files.lookup import Listing, LookUp, look_up, newest
from pipeline.console.pages import NotThere
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import guard
from sinks.config import SinkConfig
from sinks.files.naming import FileNames
from sinks.files.store import FileBrowser, FileStatus, NoPath, NotFound
from sinks.kind import BrowsedFiles
from sinks.records import Partition
from sinks.registry import kind_of, sinks
from worker.errors import Fatal, Retriable


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


def find_files(sink: SinkConfig, folder: str, partition: Partition, offset: int, *, after: str = "") -> LookUp:
    """Looks in a folder for the file that holds an offset; see `look_up`. Raises as `browsing`."""
    with _listing(sink, folder) as (listing, names):
        return look_up(listing, names, partition, offset, after=after)


def newest_files(sink: SinkConfig, folder: str, partition: Partition, count: int) -> list[str]:
    """The names of a partition's newest files in a folder; see `newest`. Raises as `browsing`."""
    with _listing(sink, folder) as (listing, names):
        return newest(listing, names, partition, count)


@contextmanager
def _listing(sink: SinkConfig, folder: str) -> Iterator[tuple[Listing, FileNames]]:
    files = file_sinks()[sink.name][1]
    with browsing(sink) as browser:
        yield lambda after: browser.listing(inside(files, folder), after=after), files.layout.names


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
