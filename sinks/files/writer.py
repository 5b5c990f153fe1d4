"""Stores each batch as files, one a folder, that appear when they are whole, or in growing files; exactly once."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from sinks.files.config import GrowingFilesTarget
from sinks.files.contents import FileLayout
from sinks.files.identity import check_not_renamed, check_same_topic, left_out
from sinks.files.layout import Layout, flat, unflat
from sinks.files.ownership import Ownership
from sinks.files.partitions import AppendPartition, FlushPartition
from sinks.files.rewind_marks import RewindMarks
from sinks.files.store import FileStore
from sinks.loop.writer import PartitionWriter
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics, UnreadTimes
from worker.retry import attempt

logger = logging.getLogger(__name__)

_TOPIC_ID = "topic-id="


@dataclass(eq=False)
class FilesWriter:
    """Files below the path of `target`.

    sink, consumer_group: their names; files: into which folders, under which names and in which format; topic_id: gives
    Kafka's own id of a topic, which another topic of the same name, made later, does not have; raises Retriable while
    Kafka is away.
    """

    ordered = True
    group = 32

    client: FileStore
    target: GrowingFilesTarget
    sink: str
    consumer_group: str
    files: FileLayout
    topic_id: Callable[[str], str]
    metrics: SinkMetrics

    def __post_init__(self) -> None:
        self.files = replace(self.files, unread=UnreadTimes(self.files.folders.time, self.metrics).note)

    async def open(self, partition: Partition, committed: int | None) -> PartitionWriter:
        """Fences earlier owners. Reading goes on after what the store holds; if that is nothing, where Kafka says."""
        layout = Layout(self.target.path, self.sink, partition)
        topic_id = await attempt("checking the topic's identity", lambda: self._identify(layout))
        marks = RewindMarks(self.client, layout)
        while True:
            ownership = Ownership(self.client, layout)
            stored = await ownership.take_over()
            # Looked for after the take-over: a rewind that begins later fences this owner.
            if not await attempt("looking for rewinds", marks.under_way):
                break
            await attempt("reading on", marks.wait)
        resume_at = await self._resume_offset(ownership, layout, stored, committed)

        check_identity = partial(self._check_identity, layout, topic_id)
        published = partial(self.metrics.published, partition)
        owned = ownership, resume_at, self.files, check_identity, published
        if self.target.mode == "flush":
            return FlushPartition(*owned)
        return AppendPartition(*owned, partition, self.target)

    async def _resume_offset(
        self, ownership: Ownership, layout: Layout, stored: int | None, committed: int | None
    ) -> int | None:
        """The offset at which reading goes on: `stored`, after the newest commit record, else the one that Kafka holds.

        Raises Fatal when `committed`, which Kafka holds for the group, is further.
        """
        partition = layout.partition
        if stored is not None and committed != stored:
            logger.info("%s: the store holds everything below offset %d, Kafka says %s", partition, stored, committed)
        is_agreed = await attempt("looking for the agreement with Kafka", lambda: self.client.exists(layout.agreed))
        if stored is not None and committed is not None and committed > stored and not ownership.generation:
            if is_agreed:
                raise left_out(layout, self.consumer_group, stored=stored, committed=committed)
            # Versions before this one left no record of dead letters and ends of transactions.
            await ownership.store({}, stored, committed - 1)
            stored = committed
        if not is_agreed:
            await attempt("noting the agreement with Kafka", lambda: self.client.make_folders(layout.agreed))
        return committed if stored is None else stored

    def close(self) -> None:
        self.client.close()

    def _identify(self, layout: Layout) -> str:
        """The topic's id; noted beside what is stored of it, and compared with what was noted there first."""
        topic_id = self.topic_id(layout.partition.topic)
        noted = [name for name in self.client.names(layout.topic) if name.startswith(_TOPIC_ID)]
        for name in noted:
            self._check_identity(layout, unflat(name).removeprefix(_TOPIC_ID))
        if not noted:
            check_not_renamed(self.client, layout)
            self.client.make_folders(f"{layout.topic}/{flat(_TOPIC_ID + topic_id)}")  # it may hold a slash
        return topic_id

    def _check_identity(self, layout: Layout, known: str) -> None:
        check_same_topic(layout, known=known, now=self.topic_id(layout.partition.topic))
