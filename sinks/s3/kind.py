"""The kind of sink that stores files in a bucket of S3, or of a server with its interface."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

import msgspec

from kafka_client.clusters import kafka_cluster, settings_errors_in
from sinks.config import SinkConfig
from sinks.file_kind import FileKind, layout_of
from sinks.files.contents import FileLayout
from sinks.files.layout import Layout
from sinks.files.store import FileBrowser
from sinks.files.stored import files_of_topic
from sinks.files.verify import Verifier
from sinks.kind import BrowsedFiles, Comparison, TopicId, Verification
from sinks.log_reader import LogReader
from sinks.loop.writer import Writer
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics
from sinks.s3.config import S3Store, S3Target, s3_store
from sinks.s3.merges import Merge, Merges, S3Compaction
from sinks.s3.objects import MOST_BYTES
from sinks.s3.rewind import S3Rewind
from sinks.s3.writer import S3Writer, check_server
from sinks.topic_ids import TopicAdmin
from worker.errors import Fatal, Retriable
from worker.retry import Retry
from worker.servers import Health, Server

if TYPE_CHECKING:
    from sinks.s3.store import S3ObjectStore

_LONGEST_KEY = 1024
_MANY = 99_999


class S3Kind(FileKind):
    """Files in S3."""

    name = "s3"
    title = "S3"
    target = S3Target
    options = {"flush_records": 10_000}

    def check(self, sink: SinkConfig) -> None:
        """Its store, its bounds, then what all kinds of files check."""
        alias = sink.target.store
        with settings_errors_in(f"target.store is {alias!r}"):
            s3_store(alias)
        if sink.options.flush_bytes > MOST_BYTES:
            raise ValueError(
                f"options.flush_bytes is {sink.options.flush_bytes}; an object of S3 has {MOST_BYTES} at most"
            )
        layout = layout_of(sink)
        for topic in sink.topics:
            if (longest := len(_longest_key(sink, layout, topic).encode())) > _LONGEST_KEY:
                what = f"path, folders and file_name make keys of up to {longest} bytes for the topic {topic}"
                raise ValueError(f"{what}; S3 takes {_LONGEST_KEY}")

    def places(self, sink: SinkConfig) -> set[str]:
        """The bucket of a server."""
        return {f"{(s3_store(sink.target.store).endpoint_url or '').rstrip('/').lower()}/{sink.target.bucket}"}

    def writer(self, sink: SinkConfig, *, topic_id: TopicId, connections: int, metrics: SinkMetrics) -> Writer:
        """The exactly-once protocol by conditional PUT."""
        store = _store(sink, connections=connections, metrics=metrics)
        return S3Writer(
            store, _server_name(sink), sink.target, sink.name, sink.group, layout_of(sink), topic_id, metrics
        )

    def prepare(self, sink: SinkConfig) -> Iterator[str]:
        """Looks whether the server can be used; makes the bucket where the store's settings say so."""
        with closing(_store(sink, connections=1)) as store:
            was_there = store.has_bucket()
            if not was_there:
                if not s3_store(sink.target.store).create_bucket:
                    raise Fatal(
                        f"{_server_name(sink)}: there is no such bucket; make it, or let setup_pipeline make it: "
                        f"create_bucket in S3[{sink.target.store!r}]"
                    )
                store.make_bucket()
            check_server(store, _server_name(sink), sink.target.path)
        yield f"{_server_name(sink)}: bucket {'there already' if was_there else 'made'}; it honours If-None-Match"

    def verification(self, sink: SinkConfig, reader: LogReader) -> Verification:
        """Lists the files once, for all partitions."""
        store, path = _store(sink, connections=1), sink.target.path
        layout, check = layout_of(sink), self.record_check(sink)
        is_compacted = cache(TopicAdmin(kafka_cluster(sink.kafka)).is_compacted)
        folders = [Layout(path, sink.name, Partition(topic, 0)) for topic in sink.topics]
        files = sorted(file for folder in folders for file in files_of_topic(store, folder, layout))

        def compare(partition: Partition, first: int, end: int) -> Comparison:
            merges = Merges(store, Layout(path, sink.name, partition)).chain.look().entries
            under_way = [merge.upload.path for _, merge in merges if isinstance(merge, Merge)]
            notes = [
                f"{path} is being merged; if `manage.py compact` was interrupted, run it again" for path in under_way
            ]
            asked = partial(is_compacted, partition.topic)
            return Verifier(store, layout, sink.event, check, files, partition, first, end, asked, notes)

        return compare

    @contextmanager
    def compacting(self, sink: SinkConfig, *, target: int, retry: Retry) -> Iterator[S3Compaction]:
        """By a chain of merges."""
        with closing(_store(sink, connections=1)) as store:
            yield S3Compaction(store, sink.target.path, sink.name, layout_of(sink), target, retry)

    @contextmanager
    def moving(self, sink: SinkConfig, partition: Partition, others: Sequence[FileLayout]) -> Iterator[S3Rewind]:
        """By an entry of the partition's chain."""
        with closing(_store(sink, connections=1)) as store:
            yield S3Rewind(store, Layout(sink.target.path, sink.name, partition), layout_of(sink), others)

    def servers(self, sinks: Iterable[SinkConfig]) -> list[Server]:
        """A bucket is asked like a server."""
        by_name = {_server_name(sink): sink for sink in sinks}
        return [
            Server(name, partial(_health, s3_store(sink.target.store), sink.target.bucket))
            for name, sink in by_name.items()
        ]

    def files(self, sink: SinkConfig) -> BrowsedFiles:
        """The objects below its path."""
        store, bucket = s3_store(sink.target.store), sink.target.bucket

        def browser(timeout: float, connections: int) -> FileBrowser:
            from sinks.s3.browser import S3Browser  # here, for boto3 takes 20 MB

            patient = msgspec.structs.replace(store, timeout_seconds=timeout)
            return S3Browser(patient, bucket, connections=connections)

        return BrowsedFiles(_server_name(sink), sink.target.path, layout_of(sink), browser)


def _store(sink: SinkConfig, *, connections: int, metrics: SinkMetrics | None = None) -> "S3ObjectStore":
    from sinks.s3.store import S3ObjectStore  # here, for boto3 takes 20 MB that processes without S3 do not need

    return S3ObjectStore(s3_store(sink.target.store), sink.target, connections=connections, metrics=metrics)


def _server_name(sink: SinkConfig) -> str:
    store = s3_store(sink.target.store)
    return f"S3 ({store.endpoint_url or store.region or 'AWS'}, {sink.target.bucket})"


def _longest_key(sink: SinkConfig, layout: FileLayout, topic: str) -> str:
    """That of a file that a rewind has put aside."""
    name = layout.names.of_generation(_MANY).make(Partition(topic, _MANY), 0, 0)
    aside = f"{sink.target.path[1:]}/_sink/{sink.name}/{topic}/{_MANY}/replaced/{'0' * 32}"
    return f"{aside}/{layout.folders.longest}/{name}"


def _health(store: S3Store, bucket: str, timeout: float) -> Health:
    """Whether the bucket is there. Raises Retriable and Fatal."""
    if not _asked(store, bucket, timeout).has_bucket():
        raise Retriable(f"S3: there is no bucket {bucket}", reason="NoSuchBucket")
    return Health(None, "")


@cache
def _asked(store: S3Store, bucket: str, timeout: float) -> "S3ObjectStore":
    from sinks.s3.store import S3ObjectStore  # as above

    patient = msgspec.structs.replace(store, timeout_seconds=timeout)
    return S3ObjectStore(patient, S3Target(bucket=bucket, path="/any"), connections=1)
