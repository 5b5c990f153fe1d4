"""Which files a file source reads, and what becomes of a line."""

import codecs
import os
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kafka_client.names import Topic
from kafka_client.structs import ready

_NOT_OF_FILES = ("utf-7", "raw-unicode-escape", "idna")
"""Python has these, too. The byte 0A may be within a character, or characters come out that no record can have."""

Path = Annotated[str, Meta(min_length=1)]


@ready
class FileTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of a file source."""

    paths: Annotated[tuple[Path, ...], Meta(min_length=1)]
    """Absolute paths of files, with `*`, `?` and `[…]` in any part and `**` for any number of folders. They should
    cover the names that the files get when they are rotated."""
    topic: Topic
    """The topic of the lines."""
    start: Literal["beginning", "end"] = "beginning"
    """Where the source begins with the files that are there when it runs for the first time: `end` leaves out the
    lines that they have by then. Files that come later are read from their beginning."""
    format: Literal["line", "json"] = "line"
    """The record's value: `line` is the line itself, `json` an object with the line, its file and its place there."""
    key: Literal["", "path", "name"] = ""
    """The record's key: the path or the name of the file, which keeps the lines of a file in order within one
    partition. Default: none, and the lines of a file are spread over the topic's partitions."""
    headers: bool = False
    """Whether each record has the headers `file.path` and `file.offset`, the place of the line's first byte."""
    encoding: str = "utf-8"
    """The encoding of the files. Records are UTF-8. A line that is not of this encoding comes byte for byte."""
    max_line_bytes: Annotated[int, Meta(ge=1, le=512 * 1024 * 1024)] = 1024 * 1024
    """A longer line becomes a dead letter; without a dead-letter topic the source stops there. More need more memory,
    and a topic that takes such records."""
    last_line_seconds: Annotated[float, Meta(ge=0)] | None = 30.0
    """The last line of a file that was renamed, deleted or compressed counts as a line even without an end, once the
    file was quiet for this many seconds. With null the source waits for the line's end."""
    quiet_seconds: Annotated[float, Meta(ge=0)] = 60.0
    """A file that was deleted, or renamed to a name outside `paths`, is closed when it was quiet for this many
    seconds. With more, the disk space of deleted files is free later."""
    open_files: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """So many files are held open at most. A file that is not open can be deleted before its last lines are seen."""
    forget_days: Annotated[float, Meta(gt=0)] = 30.0
    """How far a file was read is forgotten this many days after the file was seen last. A file that comes back later is
    read again."""

    def check(self) -> None:
        """Raises ValueError naming what is wrong."""
        for path in self.paths:
            if not os.path.isabs(path) or path.endswith("/") or "\0" in path or ".." in path.split("/"):
                raise ValueError(f"target.paths: {path!r} must be the absolute path of files, without ..")
        try:
            is_usable = "\r\n".encode(self.encoding).endswith(b"\r\n")
            is_usable = is_usable and codecs.lookup(self.encoding).name not in _NOT_OF_FILES
        except (LookupError, UnicodeError):
            raise ValueError(f"target.encoding: {self.encoding!r} is no encoding of text") from None
        if not is_usable:
            raise ValueError(f"target.encoding: in {self.encoding} a line does not end with the byte 0A")

    def __str__(self) -> str:
        return f"files {', '.join(self.paths)}"
