"""What differs between the kinds of sinks under random faults: the store, its servers, the step that stores."""

from contextlib import suppress
from typing import Any, Protocol

import hdfs
import requests

from devstack.server import Server
from devstack.stack import Stack
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.setup import prepare
from tests.sinks.counting import Documents, Store, Stream
from tests.sinks.sink_processes import SinkProcess


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

    server_names: what can be killed besides sinks; busy: the step that stores; torn: the fault in the middle of it.
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


class HdfsGround:
    """Files."""

    kind = "hdfs"
    server_names = ("namenode", "datanode", "broker")
    busy = "upload"
    torn = {"do": "cut", "step": "upload"}

    def __init__(self, stack: Stack, topic: str) -> None:
        self.store = Store(stack, f"/chaos/{topic}")
        self.target: dict[str, Any] = {"path": self.store.path}
        self.servers = {"namenode": stack.namenode, "datanode": stack.datanodes[0], "broker": stack.kafka[0]}

    def look(self) -> None:
        """By the names of the files."""
        with suppress(requests.RequestException, hdfs.HdfsError):  # HDFS may not be back yet
            self.store.ranges()


class HdfsAppendGround(HdfsGround):
    """Files that grow."""

    busy = "append"
    torn = {"do": "cut", "step": "append"}

    def __init__(self, stack: Stack, topic: str) -> None:
        super().__init__(stack, topic)
        self.target |= {"mode": "append", "roll_records": 200, "roll_seconds": 3.0}


class ElasticsearchGround:
    """Documents; their ids make sure that none is there twice."""

    kind = "elasticsearch"
    server_names = ("elasticsearch", "broker")
    busy = "bulk"
    torn = {"do": "kill_after", "step": "bulk"}

    def __init__(self, stack: Stack, topic: str) -> None:
        self.store = Documents(stack, topic)
        self.target = {"index": topic, "replicas": 0}
        self.servers = {"elasticsearch": stack.elasticsearch, "broker": stack.kafka[0]}
        prepare(self.store.client, ElasticsearchTarget(**self.target), event="select-color")

    def look(self) -> None:
        """Nothing can be seen before the end."""


GROUNDS: dict[tuple[str, str], type[HdfsGround] | type[ElasticsearchGround]] = {
    ("hdfs", "flush"): HdfsGround,
    ("hdfs", "append"): HdfsAppendGround,
    ("elasticsearch", ""): ElasticsearchGround,
}
"""By the kind of sink and its mode."""
