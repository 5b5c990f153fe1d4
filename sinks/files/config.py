"""The settings of every kind of sink that stores files."""

import posixpath
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from sinks.files.append import RollLimits
from sinks.files.contents import FileLayout
from sinks.files.formats import FORMATS, make_format
from sinks.files.naming import FileNames, Folders


class FilesTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the targets of all sinks that store files have."""

    path: Annotated[
        str,
        Meta(
            pattern=r"^/.*[^/]$",
            description="The folder of its files; absolute, no slash at the end, not within another sink's.",
        ),
    ]
    mode: Annotated[
        Literal["flush", "append"],
        Meta(
            description="flush: what is stored together (see `options`) becomes a file; append: it is added to a "
            "growing file, whose name ends with `.open` until it is closed (see `roll_…`), JSON lines only."
        ),
    ] = "flush"
    roll_records: Annotated[int, Meta(ge=1, description="Append mode: records of a file.")] = 1_000_000
    roll_bytes: Annotated[int, Meta(ge=1024, description="Append mode: bytes of a file.")] = 128 * 1024 * 1024
    roll_seconds: Annotated[
        float, Meta(gt=0, description="Append mode: seconds that a file stays open, whether records come or not.")
    ] = 3600.0
    open_files: Annotated[
        int,
        Meta(
            ge=1,
            le=100,
            description="Append mode: open files of a partition, each in another folder; the one written longest ago "
            "is closed first.",
        ),
    ] = 4
    format: Annotated[
        str, Meta(description=f"{', '.join(FORMATS)}; gzip, zstd and snappy are JSON lines, compressed.")
    ] = "json"
    folders: Annotated[
        str,
        Meta(
            description="Folders below `path` by the record's time (strftime codes) and fields, for example "
            "`dt=%Y-%m-%d/hour=%H` or `color={colorName}`; none by default."
        ),
    ] = ""
    time: Annotated[
        str,
        Meta(
            description="The field with the time for `folders`, or `kafka` for the time of the Kafka record "
            "([notations](configuration.md#times))."
        ),
    ] = "timestamp"
    time_zone: Annotated[str, Meta(description="The IANA time zone of `folders`.")] = "UTC"
    file_name: Annotated[
        str, Meta(description="Names of files; `{topic}`, `{partition}`, `{start}` and `{end}` are needed.")
    ] = "{topic}-{partition}-{start}-{end}.{ext}"

    def __post_init__(self) -> None:
        # A store names one folder by several paths, or takes none of them; by one it is known whose folder it is.
        if self.path.startswith("//") or posixpath.normpath(self.path) != self.path:
            raise ValueError(f"path {self.path!r} must be written without //, /./ and /../")
        if re.search(r"[\x00-\x1f\x7f:]", self.path):
            raise ValueError(f"path {self.path!r} must be without colons and control characters")

    def layout(self, event: str) -> FileLayout:
        """What its files look like for a kind of event. Raises ValueError naming the key that is wrong."""
        if self.mode == "append" and self.format != "json":
            raise ValueError(f"mode append stores JSON lines only: format must be json, not {self.format}")
        format_ = make_format(self.format, event)
        folders = Folders(self.folders, time=self.time, zone=self.time_zone)
        return FileLayout(folders, FileNames(self.file_name, format_.extension), format_)

    @property
    def roll(self) -> RollLimits | None:
        """When growing files are closed; None in flush mode."""
        if self.mode == "flush":
            return None
        return RollLimits(self.roll_records, self.roll_bytes, self.roll_seconds, self.open_files)
