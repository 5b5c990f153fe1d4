"""The settings of every kind of sink that stores files."""

import posixpath
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from events.schema import ANY_TEXT
from kafka_client.structs import ready
from sinks.files.contents import FileLayout
from sinks.files.formats import make_format
from sinks.files.naming import FileNames, Folders


class FilesTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the targets of all sinks that store files have."""

    path: Annotated[str, Meta(pattern=r"^/.*[^/]$")]
    """The folder of the files: absolute, without a slash at its end, and not below the folder of another sink."""
    format: str = "json"
    """json, gzip, zstd, snappy, parquet or avro; gzip, zstd and snappy are JSON lines, compressed."""
    folders: str = ""
    """Folders below `path` by the record's time (strftime codes) and fields, for example `dt=%Y-%m-%d/hour=%H` or
    `color={colorName}`; none by default."""
    time: str = "timestamp"
    """The field with the time for `folders`, or `kafka` for the time of the Kafka record
    ([notations](configuration.md#times))."""
    time_zone: str = "UTC"
    """The IANA time zone of `folders`."""
    file_name: str = "{topic}-{partition}-{start}-{end}.{ext}"
    """The names of files. `{topic}`, `{partition}`, `{start}` and `{end}` (offsets) are needed."""

    def __post_init__(self) -> None:
        # Two paths for one folder, such as /a/b and /a//b, would hide that two sinks share it.
        if self.path.startswith("//") or posixpath.normpath(self.path) != self.path:
            raise ValueError(f"path {self.path!r} must be written without //, /./ and /../")
        if re.search(r"[\x00-\x1f\x7f:]", self.path):
            raise ValueError(f"path {self.path!r} must be without colons and control characters")

    def layout(self, event: str) -> FileLayout:
        """What its files look like for a kind of event. Raises ValueError naming the key that is wrong."""
        if event == ANY_TEXT and self.folders:
            raise ValueError("folders need fields and times of JSON, which the event text has not")
        format_ = make_format(self.format, event)
        folders = Folders(self.folders, time=self.time, zone=self.time_zone)
        return FileLayout(folders, FileNames(self.file_name, format_.extension), format_)


@ready
class GrowingFilesTarget(FilesTarget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the targets have of sinks in whose store files can grow."""

    mode: Literal["flush", "append"] = "flush"
    """flush: each batch (see `options`) becomes one file in each folder. append: batches are added to a growing file,
    whose name ends with `.open` until the file is closed (see `roll_…`); JSON lines only."""
    roll_records: Annotated[int, Meta(ge=1)] = 1_000_000
    """Append mode: a file is closed when it has this many records."""
    roll_bytes: Annotated[int, Meta(ge=1024)] = 128 * 1024 * 1024
    """Append mode: a file is closed when it has this many bytes."""
    roll_seconds: Annotated[float, Meta(gt=0)] = 3600.0
    """Append mode: a file is closed this many seconds after its first record, whether more records come or not."""
    open_files: Annotated[int, Meta(ge=1, le=100)] = 4
    """Append mode: the most open files of a partition, each in another folder. With more, the file that was written
    longest ago is closed. Raise it where records go into many folders at the same time."""

    def layout(self, event: str) -> FileLayout:
        """What its files look like for a kind of event. Raises ValueError naming the key that is wrong."""
        if self.mode == "append" and self.format != "json":
            raise ValueError(f"mode append stores JSON lines only: format must be json, not {self.format}")
        return super().layout(event)
