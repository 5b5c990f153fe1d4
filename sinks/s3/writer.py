"""Stores each batch as files, one a folder, that appear when they are whole; exactly once."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from sinks.files.contents import FileLayout
from sinks.files.identity import check_not_renamed, check_same_topic, left_out
from sinks.files.layout import Layout
from sinks.files.partitions import FlushPartition
from sinks.files.store import NotFound
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics, UnreadTimes
from sinks.s3.config import S3Target
from sinks.s3.objects import ObjectStore
from sinks.s3.ownership import Ownership
from worker.errors import Fatal, Retriable
from worker.retry import attempt

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class S3Writer:
    """Files of a bucket, below the path of `target`.

    server: its name for people; sink, consumer_group: their names; files: into which folders, under which names and in
    which format; topic_id: gives Kafka's own id of a topic, raises Retriable.
    """

    ordered = True
    group = 32

    store: ObjectStore
    server: str
    target: S3Target
    sink: str
    consumer_group: str
    files: FileLayout
    topic_id: Callable[[str], str]
    metrics: SinkMetrics
    _is_probed: bool = False
    _probing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.files = replace(self.files, unread=UnreadTimes(self.files.folders.time, self.metrics).note)

    async def open(self, partition: Partition, committed: int | None) -> "S3Partition":
        """Finishes what others have committed. Reading goes on after that; without any, where Kafka says."""
        await attempt("probing the store", self._probe)
        layout = Layout(self.target.path, self.sink, partition)
        topic_id = await attempt("checking the topic's identity", lambda: self._identify(layout))
        ownership = Ownership(self.store, layout, self.files)
        stored = await ownership.take_over()
        generation = ownership.end.generation
        if stored is not None and committed != stored:
            logger.info("%s: the store holds everything below offset %d, Kafka says %s", partition, stored, committed)
        # After a rewind Kafka's offset says nothing.
        if stored is not None and committed is not None and committed > stored and not generation:
            raise left_out(layout, self.consumer_group, stored=stored, committed=committed)
        files = replace(self.files, names=self.files.names.of_generation(generation))
        check_identity = partial(self._check_identity, layout, topic_id)
        published = partial(self.metrics.published, partition)
        return S3Partition(ownership, committed if stored is None else stored, files, check_identity, published)

    def close(self) -> None:
        """Closes the store's connections."""
        self.store.close()

    def _probe(self) -> None:
        with self._probing:
            if not self._is_probed:
                check_server(self.store, self.server, self.target.path)
                self._is_probed = True

    def _identify(self, layout: Layout) -> str:
        """The topic's id; noted beside what is stored of it, and compared with what was noted there first."""
        topic_id = self.topic_id(layout.partition.topic)
        path = f"{layout.topic}/topic-id"
        try:
            known = self.store.read(path).decode()
        except NotFound:
            check_not_renamed(self.store, layout)
            known = topic_id if self.store.put_new(path, topic_id.encode()) else self.store.read(path).decode()
        check_same_topic(layout, known=known, now=topic_id)
        return topic_id

    def _check_identity(self, layout: Layout, known: str) -> None:
        check_same_topic(layout, known=known, now=self.topic_id(layout.partition.topic))


class S3Partition(FlushPartition):
    """A partition that this process owns, each batch of which is stored in files of its own."""

    ownership: Ownership

    async def rest(self, *, leaving: bool) -> None:
        """Lets the next owner begin at the end."""
        await self.ownership.check_point()


def check_server(store: ObjectStore, server: str, path: str) -> None:
    """Raises Retriable when the bucket is not there.

    Raises Fatal when the server does not honour If-None-Match, for it would let two owners commit.
    """
    if not store.has_bucket():
        raise Retriable(f"{server}: there is no such bucket", reason="NoSuchBucket")
    # It stays: a probe that is removed could be removed between the two requests of another process.
    probe = f"{path}/_sink/.probe"
    if store.put_new(probe, b"") and store.put_new(probe, b""):
        raise Fatal(
            f"{server} ignores If-None-Match: it has put an object in the place of another one. Without that condition "
            "the sink can't store each record once; use a server that has it (docs/s3-sink.md)"
        )
