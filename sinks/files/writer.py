"""Stores each batch as files, one a folder, that appear when they are whole, or in growing files; exactly once."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

from sinks.errors import Fatal
from sinks.files.append import AppendPartition, RollLimits
from sinks.files.contents import FileLayout
from sinks.files.layout import Layout, flat, unflat
from sinks.files.ownership import Ownership
from sinks.files.renaming import check_not_renamed
from sinks.files.rewind_marks import RewindMarks
from sinks.files.store import Content, FileStore
from sinks.loop.retry import Retry
from sinks.loop.writer import PartitionWriter
from sinks.records import Batch, Partition, Rejected
from sinks.reporting.metrics import SinkMetrics

logger = logging.getLogger(__name__)

_TOPIC_ID = "topic-id="


class FilesWriter:
    """Files below `path`.

    files: into which folders, under which names and in which format; topic_id: gives Kafka's own identity of
    a topic, by which one that was deleted and made again is told from the first; raises Retriable while Kafka is away;
    roll: when growing files are closed (append mode), None for files that are written at once (flush mode).
    """

    ordered = True
    group = 32

    def __init__(
        self,
        client: FileStore,
        *,
        path: str,
        sink: str,
        files: FileLayout,
        topic_id: Callable[[str], str],
        metrics: SinkMetrics | None = None,
        roll: RollLimits | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._sink = sink
        self._files = files
        self._topic_id = topic_id
        self._metrics = metrics or SinkMetrics()
        self._roll = roll

    def open(self, partition: Partition, committed: int | None, retry: Retry) -> PartitionWriter:
        """Fences earlier owners; reading goes on after what the store holds, or where Kafka says if that is further."""
        layout = Layout(self._path, self._sink, partition)
        topic_id = retry("checking the topic's identity", lambda: self._identify(layout))
        marks = RewindMarks(self._client, layout)
        while True:
            ownership = Ownership(self._client, layout)
            stored = ownership.take_over(retry)
            # Looked for after the take-over: a rewind that begins later fences this owner.
            if not retry("looking for rewinds", marks.under_way):
                break
            retry("reading on", marks.wait)
        if stored is not None and committed != stored:
            logger.info("%s: the store holds everything below offset %d, Kafka says %s", partition, stored, committed)
        if stored is None:
            resume_at = committed
        else:
            resume_at = stored if ownership.generation else max(stored, committed or 0)

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

    def store(self, batches: Sequence[Batch], retry: Retry) -> list[Rejected]:
        """Stores each batch as one file in each folder; all of them appear or none. Refuses no record."""
        files: dict[str, Callable[[], Content]] = {}
        for batch in batches:
            for path, content in self._files.of(batch):
                if path in files:
                    raise Fatal(f"two files would have the name {path}; nothing was stored")
                files[path] = content
        if files:
            # Asked after the records were read: they are those of the topic that has this id even now.
            retry("checking the topic's identity", self._check_identity)
            self._ownership.store(files, batches[0].first_offset, batches[-1].last_offset, retry)
            self._published(len(files))
        return []

    def rest(self, retry: Retry, *, leaving: bool) -> None:
        """Its files are all closed."""
