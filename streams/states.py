"""Keeps the state of a stream's process and its metrics; docs/operations.md says what to do with them."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from streams.reports import StreamReport
from worker.states import TaskState


class StreamStatus(TaskState):
    """The state of the process of a stream, which has one task. stream: its name."""

    def __init__(self, stream: str, wall_clock: Callable[[], float] = time.time) -> None:
        super().__init__(stream, wall_clock)
        self._since = wall_clock()
        self._last_record = 0.0
        self._done: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self.restarts = 0

    @property
    def records(self) -> int:
        """How many records were processed, and are committed."""
        return self._done["records"]

    def processed(self) -> None:
        """A record was processed, in the transaction that is open."""
        self._open["records"] += 1
        self._last_record = self.wall_clock()

    def dead_letter(self) -> None:
        """A record has become a dead letter, in the transaction that is open."""
        self._open["dead letters"] += 1

    def late(self) -> None:
        """An update of a window came after the grace period, in the transaction that is open."""
        self._open["late"] += 1

    def committed(self) -> None:
        """What was done counts now: the transaction is committed."""
        self._done += self._open
        self._open.clear()

    def begins_again(self) -> None:
        """What was not committed is done again, and counts then."""
        self._open.clear()
        self.restarts += 1

    def stream_report(self) -> StreamReport:
        """The process at this moment; `msgspec.json.encode` makes JSON of the report."""
        task = self.report()
        last = self._last_record
        return StreamReport(
            stream=self.name,
            healthy=task.healthy,
            since=datetime.fromtimestamp(self._since, UTC),
            records=self._done["records"],
            dead_letters=self._done["dead letters"],
            late=self._done["late"],
            restarts=self.restarts,
            tasks=[task],
            last_record=datetime.fromtimestamp(last, UTC) if last else None,
        )


class StreamCollector(Collector):
    """The metrics of a stream's process. report: says what it is doing now."""

    def __init__(self, report: Callable[[], StreamReport]) -> None:
        self._report = report

    def collect(self) -> Iterable[Metric]:
        """The metrics at the moment of a scrape."""
        report = self._report()
        counters = {
            "stream_records": (
                "Records of the topics that it reads which the process has processed and committed.",
                report.records,
            ),
            "stream_dead_letters": ("Records that it could not use, and are dead letters now.", report.dead_letters),
            "stream_late": ("Updates of windows that came after the grace period.", report.late),
            "stream_restarts": ("Times that it began again at its last commit, after an error.", report.restarts),
        }
        for name, (text, count) in counters.items():
            counter = CounterMetricFamily(name, text, labels=("stream",))
            counter.add_metric((report.stream,), count)
            yield counter
        healthy = GaugeMetricFamily(
            "stream_healthy", "What /healthz answers: 1 for 200, 0 for 503.", labels=("stream",)
        )
        healthy.add_metric((report.stream,), report.healthy)
        yield healthy
