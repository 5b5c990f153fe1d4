"""The files of a sink. The name of a file says which records of which partition the file holds."""

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

from sinks.errors import Fenced
from sinks.files.contents import FileLayout
from sinks.files.formats import EXTENSIONS
from sinks.files.layout import OPEN, Layout, OpenFile
from sinks.files.merges import Merge, under_way
from sinks.files.naming import FileNames
from sinks.files.recovery import commit_records
from sinks.files.recovery import open_files as open_files_of
from sinks.files.store import FileStore, ListedFile
from sinks.records import Partition


@dataclass(frozen=True, order=True)
class StoredFile:
    """A file of the sink: the records of a partition from `first` to `last` (offsets) that belong in `folder`.

    length: bytes, of one that is still open (append mode) those that are committed; modified: seconds since 1970;
    extension: of its format, of an open one that of its final name.
    """

    partition: Partition
    first: int
    last: int
    folder: str
    path: str
    length: int = 0
    modified: float = 0.0
    extension: str = field(default="", compare=False)


def stored_files(
    client: FileStore,
    path: str,
    layout: FileLayout,
    *,
    below: str = "",
    open_files: Mapping[str, OpenFile] = MappingProxyType({}),
    any_format: bool = False,
) -> list[StoredFile]:
    """The sink's files in the data folder `path`, by partition and offset. Raises Retriable, Fatal.

    below: only those in this folder of it; open_files: those still open, as `committed_open_files` tells of them;
    any_format: those from before the sink's format was changed, too.
    """
    names = _names_of_any_format(layout) if any_format else {layout.format.extension: layout.names}
    found = []
    for file in client.walk(f"{path}/{below}" if below else path):
        growing = open_files.get(file.path.removeprefix(f"{path}/"))
        named = file._replace(path=f"{path}/{growing.final}", length=growing.length) if growing else file
        if (stored := _stored(named, path, names)) is not None:
            found.append(replace(stored, path=file.path))
    return sorted(found)


def committed_open_files(client: FileStore, path: str, sink: str, topics: Iterable[str]) -> dict[str, OpenFile]:
    """The open files that the newest commit records of a sink tell of, by path below the data folder `path`."""
    found: dict[str, OpenFile] = {}
    for topic in topics:
        for number in client.names(Layout(path, sink, Partition(topic, 0)).topic):
            if number.isdigit():
                layout = Layout(path, sink, Partition(topic, int(number)))
                found |= {file.path: file for file in newest_open_files(client, layout)}
    return found


def newest_open_files(client: FileStore, layout: Layout) -> list[OpenFile]:
    """The open files of a partition that its newest commit record tells of. Raises Retriable, Fatal."""
    while True:
        newest = max(commit_records(client, layout), key=posixpath.basename, default=None)
        if newest is None:
            return []
        with suppress(Fenced):
            found = open_files_of(client, newest)
            if client.exists(newest):  # else it was replaced or taken over while it was read
                return found


def files_of_any_format(
    client: FileStore, layout: Layout, files: FileLayout, others: Sequence[FileLayout] = ()
) -> tuple[list[StoredFile], list[str]]:
    """The files of a partition, also those from before the sink's format was changed, and the paths of files unknown.

    others: of other sinks in the data folder, whose files of other topics are not unknown. Files that are still open
    are in neither. Raises Retriable, Fatal.
    """
    names, names_of_others = _names_of_any_format(files), [_names_of_any_format(other) for other in others]
    of_partition, unknown = [], []
    for file in client.walk(layout.data):
        known = _stored(file, layout.data, names)
        if known is not None:
            of_partition += [known] if known.partition == layout.partition else []
        elif not file.path.endswith(OPEN):
            told = [_stored(file, layout.data, each) for each in names_of_others]
            if not any(other and other.partition.topic != layout.partition.topic for other in told):
                unknown.append(file.path)
    return sorted(of_partition), sorted(unknown)


def _names_of_any_format(layout: FileLayout) -> dict[str, FileNames]:
    """By extension; the present format is first, for names may be without one."""
    return {extension: layout.names.of(extension) for extension in (layout.format.extension, *EXTENSIONS)}


def _stored(file: ListedFile, path: str, names: Mapping[str, FileNames]) -> StoredFile | None:
    folder, _, name = file.path.rpartition("/")
    for extension, template in names.items():
        known = template.read(name)
        if known is not None:
            return StoredFile(*known, folder.removeprefix(path).strip("/"), *file, extension)
    return None


def settled_files(
    client: FileStore, layout: Layout, files: FileLayout, open_files: Mapping[str, OpenFile] = MappingProxyType({})
) -> list[StoredFile]:
    """The files of a topic as they are when each merge that is under way is finished: `path` tells where they lie now.

    Those from before the sink's format was changed are among them. open_files: as for stored_files.
    """
    list_files = partial(stored_files, client, layout.data, files, open_files=open_files, any_format=True)
    merges: list[tuple[Merge, str]] | None = None
    while (now := list(under_way(client, layout))) != merges:  # one began or ended while the files were listed
        merges, found = now, list_files()
    for merge, path in now:
        known = _stored(ListedFile(merge.path, 0, 0.0), layout.data, _names_of_any_format(files))
        gone = {merge.path, *(f"{merge.folder}/{name}" for name in merge.originals)}
        found = [file for file in found if file.path not in gone]
        if known is not None:
            found.append(replace(known, path=path))
    return sorted(file for file in found if file.partition.topic == layout.partition.topic)
