"""The files of a sink. The name of a file says which records of which partition the file holds."""

import posixpath
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from sinks.files.contents import FileLayout
from sinks.files.formats import EXTENSIONS
from sinks.files.layout import OPEN, Layout, OpenFile
from sinks.files.merges import Merge, under_way
from sinks.files.naming import FileNames
from sinks.files.recovery import commit_records
from sinks.files.recovery import open_files as open_files_of
from sinks.files.store import FileReads, FileStore, ListedFile
from sinks.records import Partition
from worker.errors import Fenced


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


def stored_files(client: FileReads, path: str, layout: FileLayout, *, below: str = "") -> list[StoredFile]:
    """The closed files of the sink's format in the data folder `path`, by partition and offset.

    below: only those in this folder of it. Raises Retriable, Fatal.
    """
    names = {layout.format.extension: layout.names}
    files = client.walk(f"{path}/{below}" if below else path)
    return sorted(known for file in files if (known := _stored(file, path, names)) is not None)


def _committed_open_files(client: FileStore, layout: Layout) -> dict[str, OpenFile]:
    """The open files that the newest commit records of a topic tell of, by path."""
    numbers = [int(name) for name in client.names(layout.topic) if name.isdigit()]
    layouts = [Layout(layout.data, layout.sink, Partition(layout.partition.topic, number)) for number in numbers]
    return {f"{layout.data}/{file.path}": file for each in layouts for file in newest_open_files(client, each)}


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
    client: FileReads, layout: Layout, files: FileLayout, others: Sequence[FileLayout] = ()
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


def files_of_topic(client: FileReads, layout: Layout, files: FileLayout) -> list[StoredFile]:
    """The closed files of a topic, also those from before the sink's format was changed. Raises Retriable, Fatal."""
    names = _names_of_any_format(files)
    found = (_stored(file, layout.data, names) for file in client.walk(layout.data))
    return sorted(file for file in found if file is not None and file.partition.topic == layout.partition.topic)


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


def settled_files(client: FileStore, layout: Layout, files: FileLayout) -> list[StoredFile]:
    """The files of a topic as they are when each merge that is under way is finished: `path` tells where they lie now.

    Those from before the sink's format was changed are among them, and those that are still open.
    """
    names = _names_of_any_format(files)
    open_files = _committed_open_files(client, layout)

    def known(file: ListedFile, path: str) -> StoredFile | None:
        stored = _stored(file, layout.data, names)
        if stored is None or stored.partition.topic != layout.partition.topic:
            return None
        return replace(stored, path=path)

    merges: list[tuple[Merge, str]] | None = None
    while (now := list(under_way(client, layout))) != merges:  # one began or ended while the files were listed
        merges, listed = now, client.walk(layout.data)
    found = []
    for file in listed:
        growing = open_files.get(file.path)
        named = file._replace(path=f"{layout.data}/{growing.final}", length=growing.length) if growing else file
        found.append(known(named, file.path))
    for merge, path in now:
        gone = {merge.path, *(f"{merge.folder}/{name}" for name in merge.originals)}
        found = [file for file in found if file is not None and file.path not in gone]
        found.append(known(ListedFile(merge.path, 0, 0.0), path))
    return sorted(filter(None, found))
