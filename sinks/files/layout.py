"""Where a sink that stores files keeps what."""

import re
from dataclasses import dataclass

from sinks.records import Partition

OPEN = ".open"
"""How the names of files that are still written end."""


class Layout:
    """The folders of one sink and partition.

    data: the folder that readers see; everything else lies below `<data>/_sink`, which Hive, Spark and Hadoop's own
    input formats leave out for its underscore.

    The same for all partitions of the topic are topic, which holds one folder for each of them, and the topic's
    identity; and compaction, which holds what is being merged (see sinks.files.merges).

    committed: holds one folder for each owner (epoch) that is not fenced, and in it the commit records; pending: holds
    one folder for each owner, and in it what is being uploaded; rewinds: holds one folder for each time that an
    operator moved the offset at which reading goes on; replaced: holds the files that a rewind took away; agreed: is
    there once each offset committed to Kafka is in a commit record, of which versions before 0.2 left some out.
    """

    def __init__(self, data: str, sink: str, partition: Partition) -> None:
        self.data = data
        self.sink = sink
        self.partition = partition
        self.topic = f"{data}/_sink/{sink}/{partition.topic}"
        self.compaction = f"{self.topic}/compaction"
        own = f"{self.topic}/{partition.number}"
        self.committed = f"{own}/committed"
        self.pending = f"{own}/pending"
        self.rewinds = f"{own}/rewinds"
        self.replaced = f"{own}/replaced"
        self.agreed = f"{own}/agrees-with-kafka"


@dataclass(frozen=True)
class OpenFile:
    """A file that grows, as a commit record describes it.

    path: where it lies while it grows; final: where it lies once it is closed (both below the data folder); length: of
    what is committed, in bytes.
    """

    path: str
    final: str
    length: int

    @property
    def mark(self) -> str:
        """The folder in a commit record that stands for this file."""
        return f"{flat(self.path)}.{self.length}/{flat(self.final)}"

    @staticmethod
    def is_mark(name: str) -> bool:
        """Whether a name in a commit record is that of a folder for an open file; all others are files."""
        return re.fullmatch(rf".+{re.escape(OPEN)}\.\d+", name) is not None

    @classmethod
    def of_mark(cls, name: str, final: str) -> "OpenFile":
        """The open file of such a folder, given the folder's name and the name in it."""
        path, _, length = name.rpartition(".")
        return cls(unflat(path), unflat(final), int(length))


def flat(path: str) -> str:
    """A path below the data folder as one name, so that a commit record is one folder of files."""
    return path.replace("%", "%25").replace("/", "%2F")


def unflat(name: str) -> str:
    """The path that `flat` made a name of."""
    return name.replace("%2F", "/").replace("%25", "%")


def record_name(first_offset: int, last_offset: int, generation: int = 0) -> str:
    """The name of a commit record; the newest one has the greatest name.

    generation: how often an operator has moved the offset at which to go on.
    """
    name = f"{first_offset:020d}-{last_offset:020d}"
    return f"r{generation:06d}-{name}" if generation else name


def record_end(name: str) -> int:
    """The last offset of a commit record; -1 for one that says to go on at 0."""
    return int(name[-20:])


def record_generation(name: str) -> int:
    """The generation of a commit record."""
    return int(name[1:7]) if name.startswith("r") else 0
