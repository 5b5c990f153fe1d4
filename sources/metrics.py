"""Every metric of a source's process, named and explained; docs/operations.md says what to do with them."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import get_args

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sources.reports import SourceReport
from worker.metrics import Metrics
from worker.reports import State

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class SourceMetrics:
    """Counts what a source does; nothing is called for each record.

    source: its name, the label `source` of every metric; metrics: those of the process, where it runs other sources,
    too.
    """

    def __init__(self, source: str = "", metrics: Metrics | None = None) -> None:
        self._metrics = metrics or Metrics()
        self.registry = self._metrics.registry
        self._source = source
        self._records = self._counter("source_records_total", "Records that were committed to Kafka.", "topic")
        text = "Bytes of the keys and values of these records."
        self._bytes = self._counter("source_record_bytes_total", text, "topic")
        self._transactions = self._counter("source_transactions_total", "Transactions that were committed.")
        text = "Records that were too large for Kafka, and are dead letters now."
        self._too_large = self._counter("source_too_large_total", text)
        text = "Reads and transactions that failed and are repeated."
        self._retries = self._counter("source_retries_total", text, "reason")
        text = "Times that another owner took a partition of the positions over."
        self._fenced = self._counter("source_fenced_total", text)
        self._read_seconds = self._histogram("source_read_seconds", "One read of a part.")
        self._commit_seconds = self._histogram("source_commit_seconds", "Producing and committing one transaction.")
        for counter in (self._transactions, self._too_large, self._fenced):
            counter.labels(source)  # shows it at 0 from the beginning, so that a first increase is seen as one

    def records(self, totals: dict[str, tuple[int, int]]) -> None:
        """Records were committed: so many, and so many bytes, of each topic."""
        for topic, (count, size) in totals.items():
            self._records.labels(self._source, topic).inc(count)
            self._bytes.labels(self._source, topic).inc(size)

    def committed(self, seconds: float) -> None:
        """A transaction was produced and committed in so many seconds."""
        self._transactions.labels(self._source).inc()
        self._commit_seconds.labels(self._source).observe(seconds)

    def too_large(self) -> None:
        """A record became a dead letter for its size."""
        self._too_large.labels(self._source).inc()

    def retries(self, *, reason: str) -> None:
        """A step failed and will be repeated."""
        self._retries.labels(self._source, reason).inc()

    def fenced(self) -> None:
        """Another owner took a partition over."""
        self._fenced.labels(self._source).inc()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around one read of a part; what fails is not observed."""
        begin = time.perf_counter()
        yield
        self._read_seconds.labels(self._source).observe(time.perf_counter() - begin)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return self._metrics.counter(name, text, ("source", *labels))

    def _histogram(self, name: str, text: str) -> Histogram:
        return self._metrics.histogram(name, text, ("source",), _SECONDS)


class StateCollector(Collector):
    """The metrics that are states, not counts, as gauges. report: says what the source is doing now."""

    def __init__(self, report: Callable[[], SourceReport]) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """The gauges at the moment of a scrape."""
        return state_metrics([self._report()])


def state_metrics(reports: Iterable[SourceReport]) -> Iterable[Metric]:
    """The gauges of sources. Tasks of one source may have reports of their own."""
    by_source: dict[str, list[SourceReport]] = {}
    for report in reports:
        by_source.setdefault(report.source, []).append(report)
    parts = GaugeMetricFamily("source_parts", "Parts in each state.", labels=("source", "state"))
    healthy = GaugeMetricFamily("source_healthy", "What /healthz answers: 1 for 200, 0 for 503.", labels=("source",))
    text = "Partitions of the positions topic that the process owns."
    owned = GaugeMetricFamily("source_partitions", text, labels=("source",))
    for source, those in by_source.items():
        for state in get_args(State):
            parts.add_metric((source, state), sum(report.states.get(state, 0) for report in those))
        healthy.add_metric((source,), all(report.healthy for report in those))
        owned.add_metric((source,), sum(len(report.partitions) for report in those))
    return parts, healthy, owned
