"""The states of what a worker runs, as metrics; docs/operations.md says what to do with them."""

from collections import Counter
from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from connectors.reports import State
from connectors.running.worker import ConnectWorker
from sinks.reporting.metrics import state_metrics as of_sinks
from sinks.reporting.reports import SinkReport
from sources.metrics import state_metrics as of_sources
from sources.reports import SourceReport

_STATES: tuple[State, ...] = ("RUNNING", "PAUSED", "FAILED")
"""Those that a worker knows; the others are of tasks that no worker runs."""


class StateCollector(Collector):
    """The gauges of a worker, and those of the sinks and sources of its tasks."""

    def __init__(self, worker: ConnectWorker) -> None:
        self._worker = worker

    def collect(self) -> Iterable[Metric]:
        """The gauges at the moment of a scrape."""
        report = self._worker.report()
        text = "Tasks of a connector that this worker runs, in each state."
        tasks = GaugeMetricFamily("connector_tasks", text, labels=("connector", "state"))
        counts = Counter((task.connector, task.state) for task in report.tasks)
        for connector in dict.fromkeys(task.connector for task in report.tasks):
            for state in _STATES:
                tasks.add_metric((connector, state), counts[connector, state])
        slots = GaugeMetricFamily("connector_worker_slots", "Slots that Kafka has given to this worker.")
        slots.add_metric((), len(report.slots))
        reports = self._worker.reports()
        sinks = of_sinks(one for one in reports if isinstance(one, SinkReport))
        sources = of_sources(one for one in reports if isinstance(one, SourceReport))
        return tasks, slots, *sinks, *sources
