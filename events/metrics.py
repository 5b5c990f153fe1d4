"""Every metric of the web processes, named and explained, and their text for Prometheus. No Django here.

docs/operations.md says what to do with them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricsCollector

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
_PROCESSES = "collector_processes"

_MICROSECONDS = 1e-6


@dataclass(frozen=True)
class _Counted:
    """A counter: summed over all processes, those that are gone included."""

    text: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Measured:
    """A state: of the living processes, their sum, or the highest. unit: what the number counts."""

    text: str
    is_sum: bool = True
    unit: float = 1


COUNTERS = {
    REQUESTS: _Counted("Answers to requests of the collector's addresses.", ("door", "endpoint", "status")),
    ACCEPTED: _Counted("Events that were taken.", ("topic", "mode")),
    REJECTED: _Counted("Events that never can be taken.", ("kind", "reason")),
    UNAVAILABLE: _Counted("Events that were answered 503.", ("mode",)),
    BAD_EVENTS: _Counted("Rejected events for the bad-events topic, sent or left out.", ("outcome",)),
    DELIVERED: _Counted("Records that Kafka has acknowledged."),
    FAILED: _Counted("Records that were given up after their events had been accepted."),
    KEPT: _Counted("Records that went from the queue to the spool."),
}
GAUGES = {
    QUEUE: _Measured("Records in librdkafka's queue."),
    ASIDE: _Measured("Records that are set aside: Kafka does not take those of their topic."),
    ASIDE_BYTES: _Measured("Bytes on the disk of what is set aside."),
    SPOOL_BYTES: _Measured("Bytes in the spool."),
    SPOOL_MAX_BYTES: _Measured("Bytes that the spool may have."),
    KAFKA_AWAY: _Measured("Processes for which Kafka is away."),
    QUEUE_SECONDS: _Measured("99th percentile of the time in librdkafka's queue.", is_sum=False, unit=_MICROSECONDS),
    BROKER_SECONDS: _Measured("99th percentile of a broker's time to answer.", is_sum=False, unit=_MICROSECONDS),
}


def metrics_text(folder: Path) -> bytes:
    """What the processes that count in `folder` have counted, in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Reading(read_counters(folder)))
    return generate_latest(registry)


class _Reading(MetricsCollector):
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def collect(self) -> Iterable[Metric]:
        sums: Counter[Key] = Counter(self._reading.ended)
        for values in self._reading.living:
            sums.update(values)
        for name, counted in COUNTERS.items():
            counter = CounterMetricFamily(name, counted.text, labels=counted.labels)
            for (_, *labels), number in _of(name, sums, len(counted.labels)):
                counter.add_metric(labels, number)
            yield counter
        for name, measured in GAUGES.items():
            numbers = [values.get((name,), 0) for values in self._reading.living] or [0]
            number = sum(numbers) if measured.is_sum else max(numbers)
            yield GaugeMetricFamily(name, measured.text, number * measured.unit)
        yield GaugeMetricFamily(_PROCESSES, "Processes that collect.", len(self._reading.living))


def _of(name: str, sums: Counter[Key], labels: int) -> Iterator[tuple[Key, int]]:
    found = [(key, number) for key, number in sums.items() if key[0] == name and len(key) == 1 + labels]
    # One without labels is there from the beginning, so that a first increase is seen as one.
    yield from sorted(found) or ([] if labels else [((name,), 0)])
