"""Stores each batch as HDFS files, one a folder, that appear when they are whole, exactly once."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sinks.errors import Fatal
from sinks.hdfs.client import Content, HdfsClient
from sinks.hdfs.formats import Format, as_line
from sinks.hdfs.layout import Layout, flat, unflat
from sinks.hdfs.naming import FileNames, Folders
from sinks.hdfs.ownership import Ownership
from sinks.metrics import SinkMetrics
from sinks.records import Batch, Partition, Record, Rejected, Run
from sinks.retry import Retry

logger = logging.getLogger(__name__)

_TOPIC_ID = "topic-id="


@dataclass(frozen=True)
class FileLayout:
    """What the files of a sink look like."""

    folders: Folders
    names: FileNames
    format: Format

    def of(self, batch: Batch) -> Iterator[tuple[str, Callable[[], Content]]]:
        """The files of a batch: path below the data folder, and what gives the content."""
        if self.folders.is_flat:
            if batch.runs:
                lines = [line for run in batch.runs for line in _lines(run)]
                yield self._file("", batch.partition, batch.runs[0].offsets[0], batch.runs[-1].offsets[-1], lines)
            return
        by_folder: dict[str, list[Record]] = {}
        for record in batch.records:
            by_folder.setdefault(self.folders.of(record), []).append(record)
        for folder, records in by_folder.items():
            lines = [as_line(record.value or b"") for record in records]
            yield self._file(f"{folder}/", batch.partition, records[0].offset, records[-1].offset, lines)

    def _file(
        self, folder: str, partition: Partition, first: int, last: int, lines: list[bytes]
    ) -> tuple[str, Callable[[], Content]]:
        return folder + self.names.make(partition, first, last), partial(self.format.encode, lines)


def _lines(run: Run) -> Sequence[bytes]:
    """Its values as lines, several in one text where they are packed so."""
    if run.lines is not None and b"\r" not in run.lines:
        return [run.lines]
    return [as_line(value or b"") for value in run.values]


class HdfsWriter:
    """Files below `path`.

    files: into which folders, under which names and in which format; topic_id: gives Kafka's own identity of
    a topic, by which one that was deleted and made again is told from the first; raises Retriable while Kafka is away.
    """

    ordered = True
    group = 32

    def __init__(
        self,
        client: HdfsClient,
        *,
        path: str,
        sink: str,
        files: FileLayout,
        topic_id: Callable[[str], str],
        metrics: SinkMetrics | None = None,
    ) -> None:
        self._client = client
        self._path = path
        self._sink = sink
        self._files = files
        self._topic_id = topic_id
        self._metrics = metrics or SinkMetrics()

    def open(self, partition: Partition, committed: int | None, retry: Retry) -> "HdfsPartition":
        """Fences earlier owners; reading goes on after what HDFS holds, or where Kafka says if that is further."""
        layout = Layout(self._path, self._sink, partition)
        topic_id = retry("checking the topic's identity", lambda: self._identify(layout))
        ownership = Ownership(self._client, layout)
        stored = ownership.take_over(retry)
        if stored is not None and committed != stored:
            logger.info("%s: HDFS holds everything below offset %d, Kafka says %s", partition, stored, committed)
        resume_at = committed if stored is None else max(stored, committed or 0)
        return HdfsPartition(
            ownership,
            resume_at,
            self._files,
            check_identity=lambda: self._check_identity(layout, topic_id),
            published=partial(self._metrics.published, partition),
        )

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


class HdfsPartition:
    """A partition that this process owns.

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
        files = {path: content for batch in batches for path, content in self._files.of(batch)}
        if files:
            # Asked after the records were read: they are those of the topic that has this id even now.
            retry("checking the topic's identity", self._check_identity)
            self._ownership.store(files, batches[0].first_offset, batches[-1].last_offset, retry)
            self._published(len(files))
        return []
