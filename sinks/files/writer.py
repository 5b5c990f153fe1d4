"""Stores each batch as files, one a folder, that appear when they are whole, or in growing files; exactly once."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from sinks.errors import Fatal
from sinks.files.append import AppendPartition, RollLimits
from sinks.files.contents import FileLayout
from sinks.files.layout import Layout, flat, unflat
from sinks.files.ownership import Ownership
from sinks.files.renaming import check_not_renamed
from sinks.files.rewind_marks import RewindMarks
from sinks.files.store import Content, FileStore
from sinks.loop.retry import attempt
from sinks.loop.writer import PartitionWriter
from sinks.records import Batch, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.unread_times import UnreadTimes

logger = logging.getLogger(__name__)

_TOPIC_ID = "topic-id="


class FilesWriter:
    """Files below `path`.

    sink, group: its name and its consumer group; files: into which folders, under which names and in which format;
    topic_id: gives Kafka's own identity of a topic, by which one that was deleted and made again is told from the
    first; raises Retriable while Kafka is away; roll: when growing files are closed (append mode), None for files that
    are written at once (flush mode).
    """

    ordered = True
    group = 32

    def __init__(
        self,
        client: FileStore,
        *,
        path: str,
        sink: str,
        group: str,
        files: FileLayout,
        topic_id: Callable[[str], str],
        metrics: SinkMetrics | None = None,
        roll: RollLimits | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._sink = sink
        self._group = group
        self._metrics = metrics or SinkMetrics()
        self._files = replace(files, unread=UnreadTimes(files.folders.time, self._metrics).note)
        self._topic_id = topic_id
        self._roll = roll

    async def open(self, partition: Partition, committed: int | None) -> PartitionWriter:
        """Fences earlier owners. Reading goes on after what the store holds; if that is nothing, where Kafka says."""
        layout = Layout(self._path, self._sink, partition)
        topic_id = await attempt("checking the topic's identity", lambda: self._identify(layout))
        marks = RewindMarks(self._client, layout)
        while True:
            ownership = Ownership(self._client, layout)
            stored = await ownership.take_over()
            # Looked for after the take-over: a rewind that begins later fences this owner.
            if not await attempt("looking for rewinds", marks.under_way):
                break
            await attempt("reading on", marks.wait)
        resume_at = await self._agreed(ownership, layout, stored, committed)

        def check_identity() -> None:
            self._check_identity(layout, topic_id)

        published = partial(self._metrics.published, partition)
        if self._roll is not None:
            return AppendPartition(
                partition,
                ownership,
                resume_at,
                self._files,
                self._roll,
                check_identity=check_identity,
                published=published,
            )
        return FlushPartition(ownership, resume_at, self._files, check_identity=check_identity, published=published)

    async def _agreed(
        self, ownership: Ownership, layout: Layout, stored: int | None, committed: int | None
    ) -> int | None:
        """Where reading goes on: after the newest record, which ends before the offset `stored`. Raises Fatal.

        Where there is no record, at the offset that Kafka holds for the group.
        """
        partition = layout.partition
        if stored is not None and committed != stored:
            logger.info("%s: the store holds everything below offset %d, Kafka says %s", partition, stored, committed)
        is_agreed = await attempt("looking for the agreement with Kafka", lambda: self._client.exists(layout.agreed))
        if stored is not None and committed is not None and committed > stored and not ownership.generation:
            if is_agreed:
                raise Fatal(
                    f"{partition}: Kafka says that group {self._group} has stored everything below offset {committed}, "
                    f"but what lies in {self._path} ends at {stored}. Was the store put back to an earlier state, or "
                    "do two deployments share the group? To store what Kafka still has from there on: manage.py rewind "
                    f"--sink {self._sink} --partition {partition} --to {stored}; to leave it out: the same with "
                    f"--to {committed} --skip"
                )
            # Versions before this one left no record of dead letters and ends of transactions.
            await ownership.store({}, stored, committed - 1)
            stored = committed
        if not is_agreed:
            await attempt("noting the agreement with Kafka", lambda: self._client.make_folders(layout.agreed))
        return committed if stored is None else stored

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def _identify(self, layout: Layout) -> str:
        """The topic's id; noted beside what is stored of it, and compared with what was noted there first."""
        topic_id = self._topic_id(layout.partition.topic)
        noted = [name for name in self._client.names(layout.topic) if name.startswith(_TOPIC_ID)]
        for name in noted:
            self._check_identity(layout, unflat(name).removeprefix(_TOPIC_ID))
        if not noted:
            check_not_renamed(self._client, layout)
            self._client.make_folders(f"{layout.topic}/{flat(_TOPIC_ID + topic_id)}")  # it may hold a slash
        return topic_id

    def _check_identity(self, layout: Layout, known: str) -> None:
        topic_id = self._topic_id(layout.partition.topic)
        if topic_id != known:
            raise Fatal(
                f"the topic {layout.partition.topic} was deleted and made again since {self._path} was written "
                f"(its id was {known}, now it is {topic_id}): its offsets begin anew, so its files would be taken for "
                f"the old ones; give this sink another path, or move the old files and {layout.topic} away"
            )


class FlushPartition:
    """A partition that this process owns, each batch of which is stored in files of its own.

    check_identity: raises Fatal when the topic is not the one that was opened; published: is told how many files were.
    """

    def __init__(
        self,
        ownership: Ownership,
        resume_at: int | None,
        files: FileLayout,
        *,
        check_identity: Callable[[], None],
        published: Callable[[int], None],
    ) -> None:
        self._ownership = ownership
        self._files = files
        self._check_identity = check_identity
        self._published = published
        self.resume_at = resume_at

    async def store(self, batches: Sequence[Batch]) -> list[Rejected]:
        """Stores each batch as one file in each folder; all of them appear or none. Refuses no record."""
        files: dict[str, Callable[[], Content]] = {}
        for batch in batches:
            for path, content in self._files.of(batch):
                if path in files:
                    raise Fatal(f"two files would have the name {path}; nothing was stored")
                files[path] = content
        # Asked after the records were read: they are those of the topic that has this id even now.
        await attempt("checking the topic's identity", self._check_identity)
        await self._ownership.store(files, batches[0].first_offset, batches[-1].last_offset)
        self._published(len(files))
        return []

    async def rest(self, *, leaving: bool) -> None:
        """Its files are all closed."""
