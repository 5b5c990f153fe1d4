"""The metrics that are states, not counts: Prometheus reads them from the sink's report at each scrape."""

from collections.abc import Callable, Iterable
from typing import get_args

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sinks.reporting.reports import SinkReport, State


class StateCollector(Collector):
    """Gives the states of a sink as gauges. report: says what the sink is doing now."""

    def __init__(self, report: Callable[[], SinkReport]) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """The gauges at the moment of a scrape."""
        report = self._report()
        of_sink, of_partition = ("sink",), ("sink", "topic", "partition")
        text = "1 for the state that a partition is in."
        states = GaugeMetricFamily("sink_partition_state", text, labels=(*of_partition, "state"))
        text = "Offsets from what is stored to the end in Kafka; there may be fewer records."
        lags = GaugeMetricFamily("sink_lag_records", text, labels=of_partition)
        for partition in report.partitions:
            labels = (report.sink, partition.topic, str(partition.partition))
            for state in get_args(State):
                states.add_metric((*labels, state), partition.state == state)
            if partition.lag is not None:
                lags.add_metric(labels, partition.lag)
        healthy = GaugeMetricFamily("sink_healthy", "What /healthz answers: 1 for 200, 0 for 503.", labels=of_sink)
        healthy.add_metric((report.sink,), report.healthy)
        buffered = GaugeMetricFamily("sink_buffered_bytes", "Bytes that were read and not stored yet.", labels=of_sink)
        buffered.add_metric((report.sink,), report.buffered_bytes)
        return states, lags, healthy, buffered
