"""The files of a sink, as their names tell: which records of which partition each of them holds."""

from collections.abc import Sequence
from dataclasses import dataclass

from sinks.hdfs.client import HdfsClient, HdfsFile
from sinks.hdfs.files import FileLayout
from sinks.hdfs.formats import EXTENSIONS
from sinks.hdfs.layout import Layout
from sinks.hdfs.merges import under_way
from sinks.hdfs.naming import FileNames
from sinks.records import Partition


@dataclass(frozen=True, order=True)
class StoredFile:
    """A file of the sink: the records of a partition from `first` to `last` (offsets) that belong in `folder`.

    length: in bytes; modified: seconds since 1970.
    """

    partition: Partition
    first: int
    last: int
    folder: str
    path: str
    length: int = 0
    modified: float = 0.0

    @property
    def name(self) -> str:
        """Its name in its folder."""
        return self.path.rpartition("/")[2]


def stored_files(client: HdfsClient, path: str, layout: FileLayout, *, below: str = "") -> list[StoredFile]:
    """The sink's files in the data folder `path`, by partition and offset. Raises Retriable, Fatal.

    below: only those in this folder of it.
    """
    found = (_stored(file, path, [layout.names]) for file in client.walk(f"{path}/{below}" if below else path))
    return sorted(file for file in found if file is not None)


def files_of_any_format(client: HdfsClient, path: str, layout: FileLayout) -> tuple[list[StoredFile], list[str]]:
    """The sink's files, also those from before its format was changed, and the paths of files with other names.

    Raises Retriable, Fatal.
    """
    names = [layout.names.of(extension) for extension in EXTENSIONS]
    found = {file.path: _stored(file, path, names) for file in client.walk(path)}
    known = sorted(file for file in found.values() if file is not None)
    return known, sorted(path for path, file in found.items() if file is None)


def _stored(file: HdfsFile, path: str, names: Sequence[FileNames]) -> StoredFile | None:
    folder, _, name = file.path.rpartition("/")
    for template in names:
        known = template.read(name)
        if known is not None:
            return StoredFile(*known, folder.removeprefix(path).strip("/"), *file)
    return None


def settled_files(client: HdfsClient, layout: Layout, files: FileLayout) -> list[StoredFile]:
    """The files of a topic as they are when each merge that is under way is finished: `path` tells where they lie now.

    layout: of any partition of the topic. Raises Retriable, Fatal.
    """
    merges = list(under_way(client, layout))
    found = stored_files(client, layout.data, files)
    while (now := list(under_way(client, layout))) != merges:  # one began or ended while the files were listed
        merges = now
        found = stored_files(client, layout.data, files)
    for merge, path in merges:
        known = files.names.read(merge.name)
        gone = {merge.path, *(f"{merge.folder}/{name}" for name in merge.originals)}
        found = [file for file in found if file.path not in gone]
        if known is not None:
            found.append(StoredFile(*known, merge.folder.removeprefix(layout.data).strip("/"), path))
    return sorted(file for file in found if file.partition.topic == layout.partition.topic)
