"""What the fault tests of sinks of files share: a topic, sinks that store it, and the count of what they stored."""

import contextlib
import random
import signal
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from devstack.stack import Stack
from sinks.files.store import FileStore
from sinks.folder.store import FolderStore
from sinks.hdfs.store import HdfsStore
from sinks.hdfs.webhdfs import HdfsCluster
from tests.proxy import Rule
from tests.sinks.counting import Store, Stream
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.stores import Files, FolderFiles, HdfsFiles, visible
from tests.support import event, produce, wait_until

Case = TypeVar("Case")
Result = TypeVar("Result")

KINDS = ("hdfs", "folder")
on_both = pytest.mark.parametrize("bench", KINDS, indirect=True)
"""A test that is run with the sinks of `bench` of either kind."""


class Bench:
    """A fresh topic, where a sink stores it, and the settings of that sink.

    kind: of its sinks, hdfs or folder; kafka: the stack whose brokers hold the topic, if not those of `stack`; target:
    what the targets of its sinks have besides the path.
    """

    def __init__(
        self,
        stack: Stack,
        nursery: Nursery,
        *,
        kind: str = "hdfs",
        partitions: int = 1,
        kafka: Stack | None = None,
        replication: int = 1,
        **target: Any,
    ) -> None:
        self.stack = stack
        self.nursery = nursery
        self.kind = kind
        self._files: Files = HdfsFiles(stack.webhdfs_url) if kind == "hdfs" else FolderFiles()
        self.target = target
        self.topic = f"f-{uuid.uuid4().hex[:8]}"
        self._kafka = (kafka or stack).bootstrap_servers
        self._topic = NewTopic(self.topic, partitions, replication)
        self._make_topic()
        self.stream = Stream(self._kafka, self.topic, partitions)

    def _make_topic(self) -> None:
        admin = AdminClient({"bootstrap.servers": self._kafka})
        admin.create_topics([self._topic])[self.topic].result(timeout=60)

    def make_topic_again(self, count: int) -> None:
        """Deletes the topic and makes one of the same name, with other records."""
        admin = AdminClient({"bootstrap.servers": self._kafka})
        admin.delete_topics([self.topic])[self.topic].result(timeout=60)
        wait_until(lambda: self.topic not in admin.list_topics(timeout=10).topics, what="the topic gone")
        self._make_topic()
        produce(self.stack, self.topic, [event(number, userName="new") for number in range(count)], partition=0)

    def store(self, case: object = "") -> Store:
        """Of one of its sinks; where it must be made, it is."""
        below = f"t/{self.topic}/{case}".rstrip("/")
        if self.kind == "hdfs":
            return Store(self._files, f"/{below}")
        path = f"{self.nursery.folder}/{below}"
        FolderStore(path).prepare()
        return Store(self._files, path)

    def files(self, path: str) -> dict[str, bytes]:
        """The visible files below any path."""
        return visible(self._files, path)

    @contextlib.contextmanager
    def client(self, store: Store) -> Iterator[FileStore]:
        """What its sinks use to read and write."""
        client = (
            HdfsStore(HdfsCluster(url=self.stack.webhdfs_url), connections=1)
            if self.kind == "hdfs"
            else FolderStore(store.path)
        )
        yield client
        client.close()

    def start(self, store: Store, *, group: str | None = None, **changes: Any) -> SinkProcess:
        """A sink with one task, in a group of its own unless told otherwise."""
        options = {"flush_records": 5, "flush_seconds": 0.3, "retry_seconds": 0.3, **changes.pop("options", {})}
        of_process = ("command", "fault", "files_per_commit", "old_records", "hdfs", "hdfs_timeout")
        of_process += ("s3", "environment")
        process = {key: changes.pop(key) for key in of_process if key in changes}
        entry = {
            "kind": self.kind,
            "topics": [self.topic],
            "group": group or f"g-{uuid.uuid4().hex}",
            "tasks": 1,
            "target": {"path": store.path, **self.target, **changes.pop("target", {})},
            "options": options,
            "consumer": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300},
            **changes,
        }
        return self.nursery.start(entry, kafka=self._kafka, **process)

    def finish(self, store: Store, sink: SinkProcess | None = None, **changes: Any) -> None:
        """A sink (a new one unless given) stores the rest and stops; then every record must be there once."""
        sink = sink or self.start(store, **changes)
        sink.wait_for(": reads ")
        store.wait_count(sum(self.stream.counts), sinks=[sink])
        assert sink.stop() == 0, sink.text[-4000:]
        store.check(self.stream)


def entry_of(kind: str, topic: str, path: str, **target: Any) -> dict[str, Any]:
    """An entry of SINKS for a command."""
    return {
        "kind": kind,
        "topics": [topic],
        "group": f"g-{path}",
        "target": {"path": path, **target},
        "options": {"flush_records": 5, "flush_seconds": 0.3},
    }


class Told(NamedTuple):
    """What a command told, and its exit code."""

    code: int
    text: str


def each(cases: Iterable[Case], run: Callable[[Case], Result], *, at_a_time: int = 3) -> list[Result]:
    """Runs cases side by side: they mostly wait for Kafka and HDFS."""
    with ThreadPoolExecutor(at_a_time) as pool:
        return list(pool.map(run, cases))


def killed_before(steps: Sequence[str], place: int) -> dict[str, Any]:
    """The fault that kills a sink before this step of another one's.

    Counted within its kind: how many commits there are, and how often HDFS must be asked, differs from run to run.
    """
    step = steps[place]
    return {"do": "kill", "step": step, "number": steps[:place].count(step)}


def some_places(steps: Sequence[str], *, begin: int = 0, stride: int = 3) -> list[int]:
    """The places of some steps from `begin` on: the first of each kind, and every third one (or `stride`).

    The models of the protocol are killed at each place (test_hdfs_model.py and its kin); the real stores take longer.
    """
    firsts = {steps.index(step, begin) for step in steps[begin:]}
    return sorted(firsts.union(range(begin, len(steps), stride)))


def spoiling(fate: str, share: float) -> Rule:
    """This fate for the first request of each operation of WebHDFS, so that none is left out by chance, and for a
    share of those that follow."""
    chance = random.Random(fate)
    met: set[str] = set()
    lock = threading.Lock()

    def spoil(number: int, line: str) -> str:
        operation = parse_qs(urlsplit(line.split(" ")[1]).query)["op"][0]
        with lock:
            is_first = operation not in met
            met.add(operation)
            return fate if is_first or chance.random() < share else "pass"

    return spoil


def wait_killed(sink: SinkProcess, store: Store, records: int) -> str | None:
    """Waits until the sink has died of its fault; the step at which it did, None when it has stored all before."""
    while sink.is_running:
        if "fault:" not in sink.text and store.count() >= records:
            with contextlib.suppress(AssertionError):
                sink.wait(1)  # there may be steps after the last record's
            sink.kill()
    assert sink.code == -signal.SIGKILL, sink.text[-4000:]
    return sink.text.rpartition("fault: kill: ")[2].strip() if "fault:" in sink.text else None
