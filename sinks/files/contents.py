"""What the files of a sink look like: which records go into which, under which name."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from sinks.files.formats import Format, as_line
from sinks.files.layout import OpenFile
from sinks.files.naming import FileNames, Folders
from sinks.files.store import Content
from sinks.records import Batch, Partition, Record, Run

MAX_NAME = 255
"""The longest name that the stores take, in bytes (Linux: NAME_MAX; HDFS: max-component-length)."""

_MANY = 99_999
"""A number longer than those of partitions and generations in the names of files, to find the longest name."""


class Part(NamedTuple):
    """Records of a batch that go into one folder.

    folder: below the data folder, with a slash at its end, empty for the data folder itself; first, last: offsets;
    records: how many; lines: texts of one or more lines.
    """

    folder: str
    first: int
    last: int
    records: int
    lines: list[bytes]


@dataclass(frozen=True)
class FileLayout:
    """What the files of a sink look like. unread: called with the times of records that can't be read."""

    folders: Folders
    names: FileNames
    format: Format
    unread: Callable[[Partition, Sequence[Any]], None] = lambda partition, values: None

    def check_length(self, topic: str) -> None:
        """Raises ValueError when a store might not take the names of the topic's files."""
        partition = Partition(topic, _MANY)
        final = f"{self.folders.longest}/{self.names.make(partition, 0, 0)}"
        growing = f"{self.folders.longest}/{self.names.make_open(partition, 0, _MANY)}"
        mark, _, inside = OpenFile(growing, final, 10 * _MANY**2).mark.partition("/")
        if (longest := max(len(mark.encode()), len(inside.encode()))) > MAX_NAME:
            what = f"folders and file_name make names of up to {longest} bytes for the topic {topic}"
            raise ValueError(f"{what}; stores take {MAX_NAME}")

    def warnings(self) -> Iterator[str]:
        """What readers may see otherwise than it is meant."""
        columns = {column.lower() for column in self.format.columns}
        for key in self.folders.keys:
            if key.lower() in columns:  # readers do not tell capitals from small letters
                yield (
                    f"folders has the key {key}, which is a column of the files, too: readers such as DuckDB and Spark "
                    "show the folder's name in place of the field, and that is shortened and escaped; give the key "
                    f"another name, for example {key}_folder"
                )

    def parts(self, batch: Batch) -> Iterator[Part]:
        """The records of a batch that can be stored, by folder."""
        if self.folders.is_flat:
            if batch.runs:
                lines = [line for run in batch.runs for line in _lines(run)]
                count = sum(len(run.offsets) for run in batch.runs)
                yield Part("", batch.runs[0].offsets[0], batch.runs[-1].offsets[-1], count, lines)
            return
        by_folder: dict[str, list[Record]] = {}
        unread: list[Any] = []
        for record in batch.records:
            by_folder.setdefault(self.folders.of(record, unread.append), []).append(record)
        self.unread(batch.partition, unread)
        for folder, records in by_folder.items():
            lines = [as_line(record.value or b"") for record in records]
            yield Part(f"{folder}/", records[0].offset, records[-1].offset, len(records), lines)

    def of(self, batch: Batch) -> Iterator[tuple[str, Callable[[], Content]]]:
        """The files of a batch: path below the data folder, and what gives the content."""
        for part in self.parts(batch):
            path = part.folder + self.names.make(batch.partition, part.first, part.last)
            yield path, partial(self.format.encode, part.lines)


def _lines(run: Run) -> Sequence[bytes]:
    """Its values as lines, several in one text where they are packed so."""
    if run.lines is not None and b"\r" not in run.lines:
        return [run.lines]
    return [as_line(value or b"") for value in run.values]
