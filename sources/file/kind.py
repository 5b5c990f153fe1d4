"""The kind of source that reads the lines of files."""

import os
import re
import threading
from collections.abc import Iterable, Mapping

from sources.config import SourceConfig
from sources.file.config import FileTarget
from sources.file.content import GROUPS
from sources.file.finding import Finder
from sources.file.followed import followed_in
from sources.file.handles import Handles
from sources.file.reader import GroupReader
from sources.file.verify import FileVerification
from sources.kind import SourceKind, Verification
from sources.reader import PartReader, Position
from worker.servers import Server

_PATTERN = re.compile(r"[*?\[]")

_PARTS = {f"files-{number:02}": number for number in range(GROUPS)}


class FileKind(SourceKind):
    """Lines of files, which are followed while they are written and rotated.

    A part is a group of files that begin alike: so a file and its copies have one reader, whatever they are called.
    """

    name = "file"
    title = "Files"
    target = FileTarget
    defaults = {"options": {"batch_records": 10_000}}
    local = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._finders: dict[str, tuple[SourceConfig, Finder]] = {}

    def check(self, source: SourceConfig) -> None:
        """Raises ValueError for relative paths and unknown encodings."""
        source.target.check()

    def topics(self, source: SourceConfig) -> list[str]:
        """The topic of the lines."""
        return [source.target.topic]

    def described(self, source: SourceConfig) -> str:
        """The paths."""
        return str(source.target)

    def host_paths(self, source: SourceConfig) -> Iterable[str]:
        """The files; of a pattern, the folder that all that fit have in common."""
        return [
            path if path == (fixed := _PATTERN.split(path)[0]) else os.path.dirname(fixed)
            for path in source.target.paths
        ]

    def parts(self, source: SourceConfig) -> Iterable[str]:
        """All groups, whether there are files for them or not."""
        return _PARTS

    def reader(self, source: SourceConfig, part: str) -> PartReader:
        """A reader of a group. The readers of a process share what they know of the files."""
        return GroupReader(source, part, _PARTS[part], self._finder(source))

    def servers(self, sources: Iterable[SourceConfig]) -> list[Server]:
        """None: files are read on the host of the source's process alone."""
        return []

    def position(self, source: SourceConfig, part: str, text: str) -> Position:
        """The files of a group, each with how far it was read, as `rewind_source` shows them."""
        found = super().position(source, part, text)
        followed_in(found)
        return found

    def verification(self, source: SourceConfig, positions: Mapping[str, Position]) -> Verification:
        """Compares the lines of the files that are there."""
        return FileVerification(source, positions, self._finder(source))

    def _finder(self, source: SourceConfig) -> Finder:
        with self._lock:
            known = self._finders.get(source.name)
            if known is None or known[0] != source:
                if known is not None:  # a connector that was changed: nobody reads by the old settings any more
                    known[1].handles.close_all()
                target: FileTarget = source.target
                finder = Finder(
                    target.paths,
                    Handles(target.open_files),
                    seconds=source.poll_seconds / 2,
                    last_line_seconds=target.last_line_seconds,
                )
                known = self._finders[source.name] = (source, finder)
            return known[1]
