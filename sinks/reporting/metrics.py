"""Every metric of a sink's process, named and explained; docs/operations.md says what to do with them."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from sinks.records import REJECTIONS, Partition

disable_created_metrics()  # type: ignore[no-untyped-call]  # the moments at which counters began would double what is scraped

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_PARTITION = ("sink", "topic", "partition")


class SinkMetrics:
    """Counts what a sink does; nothing is called for each record.

    sink: its name, the label `sink` of every metric; registry: what is scraped.
    """

    def __init__(self, sink: str = "") -> None:
        self.registry = CollectorRegistry()
        self.sink = sink
        ProcessCollector(registry=self.registry)
        self._records = self._counter(
            "sink_records_total", "Records that are done: stored, or delivered as dead letters.", _PARTITION
        )
        self._bytes = self._counter("sink_record_bytes_total", "Bytes of the values of these records.", _PARTITION)
        self._dead_letters = self._counter(
            "sink_dead_letters_total", "Dead letters that Kafka has acknowledged.", (*_PARTITION, "reason")
        )
        self._unread_times = self._counter(
            "sink_unread_times_total", "Records stored by Kafka's time, for their own field is no time.", _PARTITION
        )
        self._retries = self._counter(
            "sink_retries_total", "Steps that failed and are repeated.", (*_PARTITION, "reason")
        )
        self._pauses = self._counter("sink_pauses_total", "Times that reading stopped for want of memory.", _PARTITION)
        self._fenced = self._counter(
            "sink_fenced_total", "Times that another owner took the partition over.", _PARTITION
        )
        self._files = self._counter("sink_files_total", "Files that were published.", _PARTITION)
        self._documents = self._counter("sink_documents_total", "Documents that Elasticsearch has stored.", _PARTITION)
        self._uploaded = self._counter(
            "sink_uploaded_bytes_total", "Bytes sent into the store of files, repeats included."
        )
        self._flush_seconds = self._histogram(
            "sink_flush_seconds", "Storing a group of batches, with their dead letters and all repeats."
        )
        self._upload_seconds = self._histogram("sink_upload_seconds", "Writing one file into the store.")
        self._bulk_seconds = self._histogram("sink_bulk_seconds", "One bulk request that Elasticsearch answered.")
        self._in_flight = Gauge("sink_in_flight", "Groups of batches being stored.", ("sink",), registry=self.registry)

    def add_partition(self, partition: Partition) -> None:
        """Shows a partition's counters at 0 from its beginning, so that a first increase is seen as one."""
        labels = self._labels(partition)
        for counter in (self._records, self._bytes, self._unread_times, self._pauses, self._fenced):
            counter.labels(*labels)
        for kind in REJECTIONS:
            self._dead_letters.labels(*labels, kind)

    def stored(self, partition: Partition, records: int, size: int) -> None:
        """Counts records that are done. size: the bytes of their values."""
        labels = self._labels(partition)
        self._records.labels(*labels).inc(records)
        self._bytes.labels(*labels).inc(size)

    def dead_letter(self, partition: Partition, kind: str) -> None:
        """A dead letter arrived; kind: one of REJECTIONS."""
        self._dead_letters.labels(*self._labels(partition), kind).inc()

    def unread_times(self, partition: Partition, records: int) -> None:
        """Counts records that are stored by Kafka's time, because their own field is no time."""
        self._unread_times.labels(*self._labels(partition)).inc(records)

    def retried(self, partition: Partition, reason: str) -> None:
        """A step failed and is repeated; reason: as Retriable's."""
        self._retries.labels(*self._labels(partition), reason).inc()

    def paused(self, partition: Partition) -> None:
        """Reading stopped."""
        self._pauses.labels(*self._labels(partition)).inc()

    def fenced(self, partition: Partition) -> None:
        """Another owner took over."""
        self._fenced.labels(*self._labels(partition)).inc()

    def published(self, partition: Partition, files: int) -> None:
        """Counts files that readers can see."""
        self._files.labels(*self._labels(partition)).inc(files)

    def indexed(self, partition: Partition, documents: int) -> None:
        """Counts documents that are in the index."""
        self._documents.labels(*self._labels(partition)).inc(documents)

    @contextmanager
    def flush(self) -> Iterator[None]:
        """Around the storing of a group of batches."""
        in_flight = self._in_flight.labels(self.sink)
        with in_flight.track_inprogress(), self._timed(self._flush_seconds):
            yield

    @contextmanager
    def upload(self, size: int) -> Iterator[None]:
        """Around the writing of `size` bytes into a file of the store."""
        with self._timed(self._upload_seconds):
            yield
        self._uploaded.labels(self.sink).inc(size)

    @contextmanager
    def bulk(self) -> Iterator[None]:
        """Around a bulk request."""
        with self._timed(self._bulk_seconds):
            yield

    @contextmanager
    def _timed(self, histogram: Histogram) -> Iterator[None]:
        """Observes what ends well: a time-out says more as a retry."""
        begin = time.perf_counter()
        yield
        histogram.labels(self.sink).observe(time.perf_counter() - begin)

    def _labels(self, partition: Partition) -> tuple[str, str, str]:
        return self.sink, partition.topic, str(partition.number)

    def _counter(self, name: str, text: str, labels: tuple[str, ...] = ("sink",)) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, ("sink",), buckets=_SECONDS, registry=self.registry)
