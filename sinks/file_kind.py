"""What the kinds of sinks that store files have in common: only the store differs."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cache, partial
from typing import Protocol

from kafka_client.clusters import kafka_cluster
from sinks.config import SinkConfig
from sinks.files.compaction import Compaction
from sinks.files.config import FilesTarget
from sinks.files.contents import FileLayout
from sinks.files.layout import Layout
from sinks.files.rewind import Rewind
from sinks.files.rewind_marks import RewindMarks, describe
from sinks.files.rewinding import FilesRewinding, Rewinds
from sinks.files.store import FileStore, NotFound
from sinks.files.stored import settled_files
from sinks.files.verify import Verifier
from sinks.files.writer import FilesWriter
from sinks.kind import Comparison, Kind, TopicId, Verification
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics
from sinks.topic_ids import TopicAdmin
from worker.errors import Retriable
from worker.retry import Retry


class Compacts(Protocol):
    """Merges the small files of a sink into large ones."""

    def run(self, topic: str, *, folders: Iterable[str], before: float) -> Iterator[str]:
        """Merges the files of a topic and yields a line on each merged file; see sinks.files.compaction."""


class FileKind(Kind):
    """A kind whose sinks store files. title: of the store, for people."""

    stores_text = True

    @abstractmethod
    def places(self, sink: SinkConfig) -> set[str]:
        """What identifies the store of a sink: two sinks that share one of these store in one place."""

    @abstractmethod
    def compacting(self, sink: SinkConfig, *, target: int, retry: Retry) -> AbstractContextManager[Compacts]:
        """Merges its files; target: about how many bytes a merged file has."""

    @abstractmethod
    def moving(
        self, sink: SinkConfig, partition: Partition, others: Sequence[FileLayout]
    ) -> AbstractContextManager[Rewinds]:
        """Moves its offset; others: what the files of other sinks in its folder look like."""

    @contextmanager
    def rewinding(
        self, sink: SinkConfig, partition: Partition, to: int, others: Sequence[SinkConfig]
    ) -> Iterator[FilesRewinding]:
        """Files from the offset on are moved out of sight, and their records stored again."""
        layouts = self.layouts_beside(sink, others)
        is_compacted = TopicAdmin(kafka_cluster(sink.kafka)).is_compacted
        with self.moving(sink, partition, layouts) as rewind:
            try:
                yield FilesRewinding(rewind, partition, to, is_compacted)
            except NotFound as error:
                raise Retriable(f"{error}: files were moved meanwhile; run it again") from error

    def check(self, sink: SinkConfig) -> None:
        """Raises ValueError where layout and names can't be used."""
        layout = layout_of(sink)
        for topic in sink.topics:
            layout.check_length(topic)

    def warnings(self, sink: SinkConfig) -> Iterable[str]:
        """Folders that hide a column."""
        return layout_of(sink).warnings()

    def resume_offset(self, sink: SinkConfig, partition: Partition) -> int | None:
        """The one after the last record that is committed in the store."""
        with self.moving(sink, partition, ()) as rewind:
            return rewind.plan(0).now

    def layouts_beside(self, sink: SinkConfig, others: Sequence[SinkConfig]) -> list[FileLayout]:
        """What the files of other sinks in its folder look like."""
        in_folder = [other for other in others if other.target.path == sink.target.path]
        return [layout_of(other) for other in in_folder if self.places(other) & self.places(sink)]

    def rewind_command(self, sink: SinkConfig, partition: str, to: str) -> str:
        """Files are put aside by a command."""
        return f"python manage.py rewind --sink {sink.name} --partition {partition} --to {to}"

    def conflicts(self, one: SinkConfig, other: SinkConfig) -> Iterable[str]:
        """Files of one topic in one folder, and folders within each other."""
        if not self.places(one) & self.places(other):
            return
        shared = one.shared_topics(other)  # of several Kafka clusters, too: names of files tell only the topic
        if shared and one.target.path == other.target.path:
            yield (
                f"SINKS[{one.name!r}] and SINKS[{other.name!r}] both store {shared} in target.path {one.target.path}: "
                "their files would have the same names"
            )
        for inner, outer in ((one, other), (other, one)):
            if inner.target.path.startswith(f"{outer.target.path}/"):
                yield (
                    f"target.path {inner.target.path} of SINKS[{inner.name!r}] lies in {outer.target.path}, the one of "
                    f"SINKS[{outer.name!r}], which would take its files for its own"
                )


class RenamingKind(FileKind):
    """A kind whose store renames files and folders in one step: only the store differs."""

    @abstractmethod
    def store(self, sink: SinkConfig, *, connections: int, metrics: SinkMetrics | None = None) -> FileStore:
        """The store of a sink; connections: so many threads use it at a time. Raises ImproperlyConfigured, ValueError.

        metrics: counts what is sent into it.
        """

    def writer(self, sink: SinkConfig, *, topic_id: TopicId, connections: int, metrics: SinkMetrics) -> Writer:
        """The exactly-once protocol over the store."""
        store = self.store(sink, connections=connections, metrics=metrics)
        return FilesWriter(store, sink.target, sink.name, sink.group, layout_of(sink), topic_id, metrics)

    def prepare(self, sink: SinkConfig) -> Iterator[str]:
        """Makes the folder of the sink's files."""
        path = sink.target.path
        with closing(self.store(sink, connections=1)) as store:
            there = store.exists(path)
            store.make_folders(path)
        yield f"{self.title} folder {path}: {'there already' if there else 'made'}"

    def verification(self, sink: SinkConfig, reader: LogReader) -> Verification:
        """Lists the files once, for all partitions."""
        path = sink.target.path
        store = self.store(sink, connections=1)
        layout, check = layout_of(sink), self.record_check(sink)
        is_compacted = cache(TopicAdmin(kafka_cluster(sink.kafka)).is_compacted)
        folders = [Layout(path, sink.name, Partition(topic, 0)) for topic in sink.topics]
        files = sorted(file for folder in folders for file in settled_files(store, folder, layout))

        def compare(partition: Partition, first: int, end: int) -> Comparison:
            marks = RewindMarks(store, Layout(path, sink.name, partition)).under_way()
            notes = [f"{partition}: {describe(mark)} is unfinished: run `manage.py rewind` again" for mark in marks]
            asked = partial(is_compacted, partition.topic)
            return Verifier(store, layout, sink.event, check, files, partition, first, end, asked, notes)

        return compare

    @contextmanager
    def compacting(self, sink: SinkConfig, *, target: int, retry: Retry) -> Iterator[Compacts]:
        """By renames."""
        with closing(self.store(sink, connections=1)) as store:
            files = layout_of(sink)
            yield Compaction(store, path=sink.target.path, sink=sink.name, files=files, target=target, retry=retry)

    @contextmanager
    def moving(self, sink: SinkConfig, partition: Partition, others: Sequence[FileLayout]) -> Iterator[Rewinds]:
        """By renames."""
        with closing(self.store(sink, connections=1)) as store:
            yield Rewind(store, Layout(sink.target.path, sink.name, partition), layout_of(sink), others)


def layout_of(sink: SinkConfig) -> FileLayout:
    """What the files of a sink look like. Raises ValueError naming the key that is wrong."""
    target: FilesTarget = sink.target
    return target.layout(sink.event)
