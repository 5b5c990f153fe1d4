"""Every metric of a sink's process, named and explained; docs/operations.md says what to do with them."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, get_args

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from events.shortening import shortened
from kafka_client.log import REPEAT_SECONDS
from sinks.records import REJECTIONS, Partition
from sinks.reporting.reports import SinkReport
from worker.metrics import Metrics
from worker.reports import State

logger = logging.getLogger(__name__)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_EXAMPLE = 100


@dataclass(frozen=True)
class PartitionCounter:
    """Counts something of each partition of a sink; `counter` has the labels sink, topic and partition at least."""

    sink: str
    counter: Counter

    def __call__(self, partition: Partition, count: int = 1, **labels: str) -> None:
        """Adds to the count. labels: those besides the partition's; 0 shows a counter before it has counted."""
        place = {"sink": self.sink, "topic": partition.topic, "partition": str(partition.number)}
        self.counter.labels(**place, **labels).inc(count)


class SinkMetrics:
    """Counts what a sink does; nothing is called for each record.

    sink: its name, the label `sink` of every metric; metrics: those of the process, where it runs other sinks, too.
    """

    def __init__(self, sink: str = "", metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self.registry = self._metrics.registry
        self.sink = sink
        text = "Records that are done: stored, or delivered as dead letters."
        self.records = self._counter("sink_records_total", text)
        self.bytes = self._counter("sink_record_bytes_total", "Bytes of the values of these records.")
        text = "Dead letters that Kafka has acknowledged."
        self.dead_letters = self._counter("sink_dead_letters_total", text, "reason")
        text = "Records stored by Kafka's time, for their own field is no time."
        self.unread_times = self._counter("sink_unread_times_total", text)
        self.retries = self._counter("sink_retries_total", "Steps that failed and are repeated.", "reason")
        self.pauses = self._counter("sink_pauses_total", "Times that reading stopped for want of memory.")
        self.fenced = self._counter("sink_fenced_total", "Times that another owner took the partition over.")
        self.published = self._counter("sink_files_total", "Files that were published.")
        self.indexed = self._counter("sink_documents_total", "Documents that Elasticsearch has stored.")
        text = "Bytes sent into the store of files, repeats included."
        self._uploaded = self._metrics.counter("sink_uploaded_bytes_total", text, ("sink",))
        text = "Storing a group of batches, with their dead letters and all repeats."
        self._flush_seconds = self._histogram("sink_flush_seconds", text)
        self._upload_seconds = self._histogram("sink_upload_seconds", "Writing one file into the store.")
        self._bulk_seconds = self._histogram("sink_bulk_seconds", "One bulk request that Elasticsearch answered.")
        self._in_flight = self._metrics.gauge("sink_in_flight", "Groups of batches being stored.", ("sink",))

    def add_partition(self, partition: Partition) -> None:
        """Shows a partition's counters at 0 from its beginning, so that a first increase is seen as one."""
        for counter in (self.records, self.bytes, self.unread_times, self.pauses, self.fenced):
            counter(partition, 0)
        for kind in REJECTIONS:
            self.dead_letters(partition, 0, reason=kind)

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

    def bulk(self) -> AbstractContextManager[None]:
        """Around a bulk request."""
        return self._timed(self._bulk_seconds)

    @contextmanager
    def _timed(self, histogram: Histogram) -> Iterator[None]:
        """Observes what ends well: a time-out says more as a retry."""
        begin = time.perf_counter()
        yield
        histogram.labels(self.sink).observe(time.perf_counter() - begin)

    def _counter(self, name: str, text: str, *labels: str) -> PartitionCounter:
        every_label = ("sink", "topic", "partition", *labels)
        return PartitionCounter(self.sink, self._metrics.counter(name, text, every_label))

    def _histogram(self, name: str, text: str) -> Histogram:
        return self._metrics.histogram(name, text, ("sink",), _SECONDS)


class UnreadTimes:
    """Counts records whose time field holds no time, so they are stored by Kafka's time, and logs that now and then.

    field: the one for the time; clock: monotonic seconds.
    """

    def __init__(self, field: str, metrics: SinkMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._field = field
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._told_at = -REPEAT_SECONDS

    def note(self, partition: Partition, values: Sequence[Any]) -> None:
        """Records of a partition have these values in the field."""
        if not values:
            return
        self._metrics.unread_times(partition, len(values))
        with self._lock:
            self._count += len(values)
            if self._clock() - self._told_at < REPEAT_SECONDS:
                return
            count, self._count, self._told_at = self._count, 0, self._clock()
        text = "%s: the field %s of %d records is no time, as %s; they are stored by Kafka's time"
        example = shortened(repr(values[0]), _EXAMPLE)
        logger.warning(f"{text} (docs/configuration.md, Times)", partition, self._field, count, example)


class StateCollector(Collector):
    """The metrics that are states, not counts, as gauges. report: says what the sink is doing now."""

    def __init__(self, report: Callable[[], SinkReport]) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """The gauges at the moment of a scrape."""
        return state_metrics([self._report()])


def state_metrics(reports: Iterable[SinkReport]) -> Iterable[Metric]:
    """The gauges of sinks. Tasks of one sink may have reports of their own."""
    of_sink, of_partition = ("sink",), ("sink", "topic", "partition")
    text = "1 for the state that a partition is in."
    states = GaugeMetricFamily("sink_partition_state", text, labels=(*of_partition, "state"))
    text = "Offsets from what is stored to the end in Kafka; there may be fewer records."
    lags = GaugeMetricFamily("sink_lag_records", text, labels=of_partition)
    is_healthy: dict[str, bool] = {}
    bytes_held: dict[str, int] = {}
    for report in reports:
        for partition in report.partitions:
            labels = (report.sink, partition.topic, str(partition.partition))
            for state in get_args(State):
                states.add_metric((*labels, state), partition.state == state)
            if partition.lag is not None:
                lags.add_metric(labels, partition.lag)
        is_healthy[report.sink] = is_healthy.get(report.sink, True) and report.healthy
        bytes_held[report.sink] = bytes_held.get(report.sink, 0) + report.buffered_bytes
    healthy = GaugeMetricFamily("sink_healthy", "What /healthz answers: 1 for 200, 0 for 503.", labels=of_sink)
    buffered = GaugeMetricFamily("sink_buffered_bytes", "Bytes that were read and not stored yet.", labels=of_sink)
    for sink, is_well in is_healthy.items():
        healthy.add_metric((sink,), is_well)
        buffered.add_metric((sink,), bytes_held[sink])
    return states, lags, healthy, buffered
