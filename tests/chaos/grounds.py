"""What differs between the kinds of sinks under random faults: the store, its servers, the step that stores."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Protocol

from devstack.server import Server
from devstack.stack import Stack
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.setup import prepare
from sinks.folder.store import FolderStore
from tests.sinks.counting import Documents, Store, Stream
from tests.sinks.sink_processes import SinkProcess
from tests.stores import Files, FolderFiles, HdfsFiles


def named_servers(stack: Stack, names: Sequence[str]) -> dict[str, Server]:
    """Servers of a stack by name."""
    servers = {
        "broker": stack.kafka[0],
        "namenode": stack.namenode,
        "datanode": stack.datanodes[0],
        "elasticsearch": stack.elasticsearch,
    }
    return {name: servers[name] for name in names}


class Counted(Protocol):
    """A store whose records can be counted."""

    def count(self) -> int:
        """How many records are visible."""

    def wait_count(self, count: int, *, sinks: list[SinkProcess], seconds: float) -> None:
        """Waits until so many are."""

    def check(self, stream: Stream) -> None:
        """Every record is there once, as it came; nothing else."""


class Ground(Protocol):
    """One kind of sink, made for a stack and a topic.

    server_names: what it needs, and what can be killed besides sinks; busy: the step that stores; torn: the fault in
    the middle of it.
    """

    server_names: tuple[str, ...]
    busy: str
    torn: dict[str, Any]
    kind: str
    target: dict[str, Any]
    store: Counted
    servers: dict[str, Server]

    def look(self) -> None:
        """Fails when a record is visible twice."""


class FileGround:
    """Files of a store below a path."""

    busy = "upload"
    torn: ClassVar[dict[str, Any]] = {"do": "cut", "step": "upload"}
    growing: ClassVar[dict[str, Any]] = {}

    def __init__(self, files: Files, path: str) -> None:
        self._files = files
        self.store = Store(files, path)
        self.target = {"path": path, **self.growing}

    def look(self) -> None:
        """By the names of the files."""
        with suppress(*self._files.away):  # the store may not be back yet
            self.store.ranges()


class Growing:
    """Of files that grow."""

    busy = "append"
    torn: ClassVar[dict[str, Any]] = {"do": "cut", "step": "append"}
    growing: ClassVar[dict[str, Any]] = {"mode": "append", "roll_records": 200, "roll_seconds": 3.0}


class HdfsGround(FileGround):
    """Files in HDFS."""

    kind = "hdfs"
    server_names = ("namenode", "datanode", "broker")

    def __init__(self, stack: Stack, topic: str) -> None:
        super().__init__(HdfsFiles(stack.webhdfs_url), f"/chaos/{topic}")
        self.servers = named_servers(stack, self.server_names)


class HdfsAppendGround(Growing, HdfsGround):
    """Files in HDFS that grow."""


class FolderGround(FileGround):
    """Files in a folder, beside the servers' data."""

    kind = "folder"
    server_names = ("broker",)

    def __init__(self, stack: Stack, topic: str) -> None:
        super().__init__(FolderFiles(), f"{stack.config.data}/chaos/{topic}")
        FolderStore(self.store.path).prepare()
        self.servers = named_servers(stack, self.server_names)


class FolderAppendGround(Growing, FolderGround):
    """Files in a folder that grow."""


class ElasticsearchGround:
    """Documents; their ids make sure that none is there twice."""

    kind = "elasticsearch"
    server_names = ("elasticsearch", "broker")
    busy = "bulk"
    torn = {"do": "kill_after", "step": "bulk"}

    def __init__(self, stack: Stack, topic: str) -> None:
        self.store = Documents(stack, topic)
        self.target = {"index": topic, "replicas": 0}
        self.servers = named_servers(stack, self.server_names)
        prepare(self.store.client, ElasticsearchTarget(**self.target), event="select-color")

    def look(self) -> None:
        """Nothing can be seen before the end."""


GROUNDS: dict[tuple[str, str], type[HdfsGround] | type[FolderGround] | type[ElasticsearchGround]] = {
    ("hdfs", "flush"): HdfsGround,
    ("hdfs", "append"): HdfsAppendGround,
    ("folder", "flush"): FolderGround,
    ("folder", "append"): FolderAppendGround,
    ("elasticsearch", ""): ElasticsearchGround,
}
"""By the kind of sink and its mode."""
