"""What the kinds of sinks that store files have in common: only the store differs."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache, partial

from kafka_client.clusters import kafka_cluster
from sinks.config import SinkConfig
from sinks.files.config import FilesTarget
from sinks.files.contents import FileLayout
from sinks.files.layout import Layout
from sinks.files.rewind_marks import RewindMarks, describe
from sinks.files.store import FileStore
from sinks.files.stored import settled_files
from sinks.files.verify import Verifier
from sinks.files.writer import FilesWriter
from sinks.kind import Comparison, Kind, TopicId, Verification
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics
from sinks.topic_ids import TopicAdmin


class FileKind(Kind):
    """A kind whose sinks store files. title: of the store, for people."""

    stores_text = True

    @abstractmethod
    def store(self, sink: SinkConfig, *, connections: int, metrics: SinkMetrics | None = None) -> FileStore:
        """The store of a sink; connections: so many threads use it at a time. Raises ImproperlyConfigured, ValueError.

        metrics: counts what is sent into it.
        """

    @abstractmethod
    def places(self, sink: SinkConfig) -> set[str]:
        """What identifies the store of a sink: two sinks that share one of these store in one place."""

    def check(self, sink: SinkConfig) -> None:
        """Raises ValueError where layout and names can't be used."""
        layout = layout_of(sink)
        for topic in sink.topics:
            layout.check_length(topic)

    def warnings(self, sink: SinkConfig) -> Iterable[str]:
        """Folders that hide a column."""
        return layout_of(sink).warnings()

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


def layout_of(sink: SinkConfig) -> FileLayout:
    """What the files of a sink look like. Raises ValueError naming the key that is wrong."""
    target: FilesTarget = sink.target
    return target.layout(sink.event)
