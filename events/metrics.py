"""Every metric of the web processes, named and explained, and their text for Prometheus. No Django here.

docs/operations.md says what to do with them.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from events.counters import Key, Reading, read_counters

REQUESTS = "collector_requests"
ACCEPTED = "collector_events_accepted"
REJECTED = "collector_events_rejected"
UNAVAILABLE = "collector_events_unavailable"
BAD_EVENTS = "collector_bad_events"
DELIVERED = "collector_records_delivered"
FAILED = "collector_records_failed"
KEPT = "collector_records_kept"
QUEUE = "collector_queue_records"
ASIDE = "collector_aside_records"
ASIDE_BYTES = "collector_aside_bytes"
SPOOL_BYTES = "collector_spool_bytes"
SPOOL_MAX_BYTES = "collector_spool_max_bytes"
KAFKA_AWAY = "collector_kafka_away"
QUEUE_SECONDS = "collector_queue_seconds"
BROKER_SECONDS = "collector_broker_seconds"

COUNTERS: dict[str, tuple[str, tuple[str, ...]]] = {
    REQUESTS: ("Answers to requests of the collector's addresses.", ("door", "endpoint", "status")),
    ACCEPTED: ("Events that were taken.", ("topic", "mode")),
    REJECTED: ("Events that never can be taken.", ("kind", "reason")),
    UNAVAILABLE: ("Events that were answered 503.", ("mode",)),
    BAD_EVENTS: ("Rejected events for the bad-events topic, sent or left out.", ("outcome",)),
    DELIVERED: ("Records that Kafka has acknowledged.", ()),
    FAILED: ("Records that were given up after their events had been accepted.", ()),
    KEPT: ("Records that went from the queue to the spool.", ()),
}
"""Text and labels of what is summed over all processes, those that are gone included."""

GAUGES = {
    QUEUE: "Records in librdkafka's queue.",
    ASIDE: "Records that are set aside: Kafka does not take those of their topic.",
    ASIDE_BYTES: "Bytes on the disk of what is set aside.",
    SPOOL_BYTES: "Bytes in the spool.",
    SPOOL_MAX_BYTES: "Bytes that the spool may have.",
    KAFKA_AWAY: "Processes for which Kafka is away.",
    QUEUE_SECONDS: "99th percentile of the time in librdkafka's queue.",
    BROKER_SECONDS: "99th percentile of a broker's time to answer.",
}
"""Text of what is summed over the living processes."""

_HIGHEST = {QUEUE_SECONDS, BROKER_SECONDS}
"""Of these the highest is told, in place of the sum; they are kept in microseconds."""


def metrics_text(folder: Path) -> bytes:
    """What the processes that count in `folder` have counted, in Prometheus's text format."""
    return generate_latest(_Told(read_counters(folder)))


@dataclass(frozen=True)
class _Told(Collector):
    reading: Reading

    def collect(self) -> Iterable[Metric]:
        sums: Counter[Key] = Counter(self.reading.ended)
        for values in self.reading.living:
            sums.update(values)
        for name, (text, labels) in COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=labels)
            found = [(key, number) for key, number in sums.items() if key[0] == name and len(key) == 1 + len(labels)]
            # One without labels is there from the beginning, so that a first increase is seen as one.
            for (_, *label_values), number in sorted(found) or ([] if labels else [((name,), 0)]):
                counter.add_metric(label_values, number)
            yield counter
        for name, text in GAUGES.items():
            numbers = [values.get((name,), 0) for values in self.reading.living]
            yield GaugeMetricFamily(name, text, max(numbers, default=0) / 1e6 if name in _HIGHEST else sum(numbers))
        yield GaugeMetricFamily("collector_processes", "Processes that collect.", len(self.reading.living))
