"""A file source without Kafka: its readers, and what a core would have committed."""

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec

from kafka_client.producer import Record
from sources.config import SourceConfig, SourceOptions
from sources.file.config import FileTarget
from sources.file.content import GROUPS
from sources.file.finding import Finder
from sources.file.handles import Handles
from sources.file.reader import GroupReader


class Clock:
    """A time that only the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class FileSource:
    """All readers of a source, read in turn; each chunk is committed at once, with its position."""

    def __init__(
        self,
        *paths: Path | str,
        dead_letter_topic: str = "",
        options: dict[str, Any] | None = None,
        look_seconds: float = 0,
        **target: Any,
    ) -> None:
        self.look_seconds = look_seconds
        self.config = SourceConfig(
            name="files",
            kind="file",
            target=msgspec.convert({"paths": [str(path) for path in paths], "topic": "lines", **target}, FileTarget),
            dead_letter_topic=dead_letter_topic,
            options=SourceOptions(**(options or {})),
        )
        self.clock = Clock()
        self.committed: list[Record] = []
        self.positions: dict[int, bytes] = {}
        self.start()

    def start(self) -> None:
        """A new process: nothing is open."""
        self.handles = Handles(self.config.target.open_files, self.clock)
        target = self.config.target
        self.finder = Finder(
            target.paths,
            self.handles,
            seconds=self.look_seconds,
            last_line_seconds=target.last_line_seconds,
            clock=self.clock,
        )
        self.readers = {number: self._reader(number) for number in range(GROUPS)}

    def kill(self) -> None:
        """The process ends at once."""
        for reader in self.readers.values():
            reader.close()
        for file in list(self.handles._handles):
            self.handles.close(file)
        self.start()

    def _reader(self, number: int) -> GroupReader:
        reader = GroupReader(self.config, f"files-{number:02}", number, self.finder, self.clock)
        reader.open(msgspec.json.decode(self.positions[number]) if number in self.positions else None)
        return reader

    def read(self, number: int, *, aborts: bool = False) -> bool:
        """One read of a group. aborts: what was read is not committed. Returns whether there is more."""
        reader = self.readers[number]
        chunk = reader.read()
        if aborts:
            reader.close()
            self.readers[number] = self._reader(number)
            return True
        if chunk is None:
            return False
        self.committed += chunk.records
        self.positions[number] = msgspec.json.encode(chunk.position)
        return chunk.more

    def drain(self) -> None:
        """Reads until nothing is new."""
        for _ in range(3):
            self.clock.now += self.look_seconds
            for number in self.readers:
                while self.read(number):
                    pass

    def look(self) -> None:
        """Finds the files that there are at this moment."""
        self.clock.now += self.look_seconds
        self.finder.look()

    def settle(self) -> None:
        """Reads what is there after all files were quiet for long."""
        self.drain()
        self.clock.now += 1000
        self.drain()
        self.drain()

    @property
    def lines(self) -> list[bytes]:
        """The values that were committed."""
        return [record.value or b"" for record in self.committed]

    @property
    def counts(self) -> Counter[bytes]:
        """How often each value was committed."""
        return Counter(self.lines)
