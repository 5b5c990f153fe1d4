"""The metrics of a process. Whoever counts the same thing shares one metric, and is told apart by labels."""

import threading
from collections.abc import Sequence
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

disable_created_metrics()  # type: ignore[no-untyped-call]  # the moments at which counters began would double what is scraped

M = TypeVar("M", bound=MetricWrapperBase)


class Metrics:
    """The metrics of a process by their names. registry: what is scraped.

    A worker of connectors runs many sinks and sources, and several tasks of one. A registry takes each name once, so
    the second one who asks for a metric gets that of the first.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._lock = threading.Lock()
        self._made: dict[str, MetricWrapperBase] = {}

    def counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        """A count that only grows."""
        return self._shared(Counter(name, text, labels, registry=None), name)

    def gauge(self, name: str, text: str, labels: Sequence[str]) -> Gauge:
        """A number that rises and falls."""
        return self._shared(Gauge(name, text, labels, registry=None), name)

    def histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        """Times by their length."""
        return self._shared(Histogram(name, text, labels, buckets=buckets, registry=None), name)

    def _shared(self, metric: M, name: str) -> M:
        with self._lock:
            made = self._made.get(name)
            if made is None:
                self._made[name] = made = metric
                self.registry.register(metric)
        assert isinstance(made, type(metric))
        return made
