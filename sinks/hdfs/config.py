"""Where an HDFS sink stores, and how."""

from typing import Annotated

import msgspec
from msgspec import Meta

from sinks.hdfs.formats import FORMATS, make_format
from sinks.hdfs.naming import FileNames, Folders
from sinks.hdfs.writer import FileLayout


class HdfsTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="hdfs"):
    """The `target` of an HDFS sink."""

    path: Annotated[
        str, Meta(pattern=r"^/.*[^/]$", description="The folder of its files; absolute, no slash at the end.")
    ]
    cluster: Annotated[str, Meta(description="The cluster of settings.HDFS.")] = "default"
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
        str, Meta(description="The field with the time for `folders`, or `kafka` for the time of the Kafka record.")
    ] = "timestamp"
    time_zone: Annotated[str, Meta(description="The IANA time zone of `folders`.")] = "UTC"
    file_name: Annotated[
        str, Meta(description="Names of files; `{topic}`, `{partition}`, `{start}` and `{end}` are needed.")
    ] = "{topic}-{partition}-{start}-{end}.{ext}"

    def layout(self, event: str) -> FileLayout:
        """What its files look like for a kind of event. Raises ValueError naming the key that is wrong."""
        format_ = make_format(self.format, event)
        folders = Folders(self.folders, time=self.time, zone=self.time_zone)
        return FileLayout(folders, FileNames(self.file_name, format_.extension), format_)

    def __str__(self) -> str:
        return f"HDFS ({self.cluster}) {self.path}"
