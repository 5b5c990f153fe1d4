"""The kind of sink that stores files in a folder of a local disk or a mounted share."""

import os
from collections.abc import Iterable, Iterator
from functools import cache, partial

from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _

from sinks.config import SinkConfig
from sinks.file_kind import RenamingKind, layout_of
from sinks.files.store import FileStore
from sinks.folder.browser import FolderBrowser
from sinks.folder.config import FolderTarget
from sinks.folder.patience import SharedCall
from sinks.folder.root import Root
from sinks.folder.store import FolderStore
from sinks.kind import BrowsedFiles
from sinks.reporting.metrics import SinkMetrics
from worker.servers import Health, Server


class FolderKind(RenamingKind):
    """Files in a folder."""

    name = "folder"
    title = "Folder"
    target = FolderTarget

    def store(self, sink: SinkConfig, *, connections: int, metrics: SinkMetrics | None = None) -> FileStore:
        """The operating system's files."""
        return FolderStore(sink.target.path, metrics)

    def places(self, sink: SinkConfig) -> set[str]:
        """The machine's folders, which are one place."""
        return {"folders"}

    def host_paths(self, sink: SinkConfig) -> Iterable[str]:
        """The folder."""
        return [sink.target.path]

    def prepare(self, sink: SinkConfig) -> Iterator[str]:
        """Makes the folder. Nothing else ever makes it: a share that is not mounted must not be written beneath."""
        was_missing = FolderStore(sink.target.path).prepare()
        yield f"Folder {sink.target.path}: {'made' if was_missing else 'there already'}"

    def servers(self, sinks: Iterable[SinkConfig]) -> list[Server]:
        """A folder is asked like a server, for a share may be away."""
        paths = dict.fromkeys(sink.target.path for sink in sinks)
        return [Server(_server_name(path), partial(_health, path)) for path in paths]

    def files(self, sink: SinkConfig) -> BrowsedFiles:
        """The same folder."""
        path = sink.target.path

        def browser(timeout: float, connections: int) -> FolderBrowser:
            return FolderBrowser(path, timeout=timeout, at_once=connections)

        return BrowsedFiles(_server_name(path), path, layout_of(sink), browser)


def _server_name(path: str) -> str:
    return f"Folder ({path})"


def _health(path: str, timeout: float) -> Health:
    """How much room there is. Raises Retriable and Fatal."""
    free = _free_bytes(path).make(timeout=timeout)
    return Health(None, _("{size} free").format(size=filesizeformat(free)))


@cache
def _free_bytes(path: str) -> SharedCall[int]:
    def ask() -> int:
        with Root(path).opened(path) as (at, _below):
            found = os.statvfs(at)
        return found.f_bavail * found.f_frsize

    return SharedCall(path, ask)
