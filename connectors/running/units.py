"""One task of a connector on a worker: a thread that runs a sink or source with one task."""

import logging
import threading
import traceback
from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

from connectors.reports import PartReport, State, TaskStatus
from connectors.running.assignment import make_topics
from connectors.running.wanted import Wanted
from connectors.validation import checked
from events.conf import events_settings
from sinks.build import Sink, build_sink
from sinks.config import SinkConfig
from sinks.registry import kind_of
from sinks.reporting.reports import PartitionReport, SinkReport
from sources.build import Source, build_source
from sources.config import SourceConfig
from sources.positions import POSITIONS_CONFIG
from sources.registry import kind_of as source_kind_of
from sources.registry import topics_of
from sources.reports import PartReport as SourcePartReport
from sources.reports import SourceReport
from worker.errors import Fatal, Retriable
from worker.metrics import Metrics
from worker.process import LEAVING_SECONDS
from worker.reports import TaskReport
from worker.retry import Backoff

logger = logging.getLogger(__name__)


class Unit(ABC):
    """A task that was begun. It ends by itself when it fails, and is then told of as FAILED until it is restarted.

    metrics: those of the process, which it shares with all other tasks.
    """

    def __init__(self, wanted: Wanted, metrics: Metrics | None = None) -> None:
        self.wanted = wanted
        self.metrics = metrics
        self.name = f"{wanted.connector}/{wanted.number}"
        self.stop = threading.Event()
        self._paused = wanted.paused
        self._since = datetime.now(UTC)
        self._trace = ""
        self._waits_for = ""
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @abstractmethod
    def work(self, config: Any) -> None:
        """Runs the task until `stop` is set. Raises what ends it."""

    @abstractmethod
    def prepare(self, config: Any) -> None:
        """Makes what the task needs on the servers. Raises Retriable and Fatal."""

    @abstractmethod
    def set_paused(self, paused: bool) -> None:
        """Has the task read or not."""

    def end(self) -> None:
        """Has the task store or commit what it has read, and end."""
        self.stop.set()

    @abstractmethod
    def report(self) -> SinkReport | SourceReport | None:
        """Of the sink or source; None before it was made."""

    @abstractmethod
    def progress(self) -> dict[str, Any]:
        """The fields `records`, `topics`, `parts` and `reason` of its status."""

    def start(self) -> None:
        """Begins the task."""
        logger.info("%s: begins (generation %d)", self.name, self.wanted.generation)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    def status(self, paused: bool) -> TaskStatus:
        """The task at this moment. paused: as the operator wants it."""
        state: State = "FAILED" if self._trace else "PAUSED" if paused else "RUNNING"
        told: dict[str, Any] = {"reason": self._waits_for, **self.progress()}
        report = self.report()
        healthy = not (self._trace or self._waits_for) and (report is None or report.healthy)
        if self.stop.is_set():
            told["reason"] = "it stores what it has read, and ends"
        return TaskStatus(
            id=self.wanted.id,
            connector=self.wanted.connector,
            task=self.wanted.number,
            generation=self.wanted.generation,
            restarts=self.wanted.restarts,
            state=state,
            since=self._since,
            trace=self._trace,
            healthy=healthy,
            **told,
        )

    def _run(self) -> None:
        ended_well = False
        try:
            found = checked(self.wanted.config)
            if found.config is None:
                raise Fatal("; ".join(text for texts in found.errors.values() for text in texts))
            if self._prepare(found.config):
                self.work(found.config)
            ended_well = True
        except Fatal as error:
            logger.critical("%s: fails: %s", self.name, error)
            self._trace = _trace(error)
        except Exception as error:
            logger.exception("%s: fails by an unexpected error", self.name)
            self._trace = _trace(error)
        finally:
            # Whatever ended it: confluent-kafka raises a KafkaError, which is no exception class, out of a callback.
            if not ended_well and not self._trace:
                self._trace = "ended by an error that is no exception; the worker's log has more"
            logger.info("%s: %s", self.name, "has ended" if ended_well else "has failed")

    def _prepare(self, config: Any) -> bool:
        """Tries until it works; says whether it did before the task was stopped."""
        for delay in Backoff().delays():
            if self.stop.is_set():
                return False
            try:
                self.prepare(config)
            except Retriable as error:
                if not self._waits_for:
                    logger.warning("%s: can't begin yet, tries on: %s", self.name, error)
                self._waits_for = str(error)
                self.stop.wait(delay)
            else:
                self._waits_for = ""
                return True
        return False


class SinkUnit(Unit):
    """A member of the group of a sink."""

    def __init__(self, wanted: Wanted, metrics: Metrics | None = None) -> None:
        super().__init__(wanted, metrics)
        self._sink: Sink | None = None

    def prepare(self, config: SinkConfig) -> None:
        """What setup_pipeline makes for the sinks of the settings, but for the topics that are read."""
        events = events_settings()
        letters = dict.fromkeys(config.dead_letter_topics, events.topic_partitions)
        make_topics(config.kafka, letters, replication=events.topic_replication, config={})
        for line in kind_of(config).prepare(config):
            logger.info("%s: %s", self.name, line)

    def work(self, config: SinkConfig) -> None:
        """The sink's own loop with this task; the other tasks of the connector are in other units."""
        sink = self._sink = build_sink(config, numbers=[self.wanted.number], shared=self.metrics)
        self.set_paused(self._paused)
        try:
            sink.tasks[0].run(self.stop)
        finally:
            sink.writer.close()
            sink.producer.close(LEAVING_SECONDS)

    def set_paused(self, paused: bool) -> None:
        """The task keeps its partitions, and reads nothing of them."""
        self._paused = paused
        if self._sink is not None:
            self._sink.control.want_paused((), everything=paused)

    def report(self) -> SinkReport | None:
        """Of the sink with this task."""
        return None if self._sink is None else self._sink.status.report()

    def progress(self) -> dict[str, Any]:
        """Of the partitions that Kafka has given to the task."""
        report = self.report()
        if report is None:
            return {}
        parts = [
            PartReport(
                partition={"kafka_topic": part.topic, "kafka_partition": part.partition},
                offset=None if part.done is None else {"kafka_offset": part.done},
                lag=part.lag,
            )
            for part in report.partitions
        ]
        return {
            "records": report.records,
            "topics": sorted({part.topic for part in report.partitions if part.records}),
            "parts": parts,
            "reason": _first_reason(*report.tasks, *report.partitions),
        }


class SourceUnit(Unit):
    """A member of the group of a source. A task that is paused has left it, since it has nothing to keep there."""

    def __init__(self, wanted: Wanted, metrics: Metrics | None = None) -> None:
        super().__init__(wanted, metrics)
        self._source: Source | None = None
        self._topics: list[str] = []
        self._stop_reading = threading.Event()
        self._changed = threading.Event()

    def prepare(self, config: SourceConfig) -> None:
        """What setup_pipeline makes for the sources of the settings."""
        events = events_settings()
        kind = source_kind_of(config)
        self._topics = kind.topics(config)
        topics = dict.fromkeys(topics_of(config), events.topic_partitions)
        make_topics(config.kafka, topics, replication=events.topic_replication, config={})
        positions = {config.positions_topic: config.positions_partitions}
        make_topics(config.kafka, positions, replication=events.topic_replication, config=POSITIONS_CONFIG)
        for line in kind.prepare(config):
            logger.info("%s: %s", self.name, line)

    def work(self, config: SourceConfig) -> None:
        """The source's own loop with this task, but for the time that it is paused."""
        while not self.stop.is_set():
            self._changed.clear()
            if self._paused:
                if not self.stop.is_set():  # `end` may have come before the clearing
                    self._changed.wait()
                continue
            self._stop_reading.clear()
            source = self._source = build_source(config, numbers=[self.wanted.number], shared=self.metrics)
            if not (self._paused or self.stop.is_set()):
                source.tasks[0].run(self._stop_reading)

    def set_paused(self, paused: bool) -> None:
        """Ends the reading, or begins it again."""
        self._paused = paused
        if paused:
            self._stop_reading.set()
        self._changed.set()

    def end(self) -> None:
        """Ends the reading for good."""
        super().end()
        self._stop_reading.set()
        self._changed.set()

    def report(self) -> SourceReport | None:
        """Of the source with this task."""
        return None if self._source is None else self._source.status.report()

    def progress(self) -> dict[str, Any]:
        """Of the parts that the task reads."""
        report = self.report()
        if report is None:
            return {}
        return {
            "records": report.records,
            "topics": self._topics if report.records else [],
            "parts": [PartReport(partition={"part": part.part}, offset=part.position) for part in report.parts],
            "reason": _first_reason(*report.tasks, *report.parts),
        }


def make_unit(wanted: Wanted, metrics: Metrics | None = None) -> Unit:
    """The unit of a task."""
    return SinkUnit(wanted, metrics) if wanted.type == "sink" else SourceUnit(wanted, metrics)


def _first_reason(*told: TaskReport | PartitionReport | SourcePartReport) -> str:
    """Why the first of these that backs off does so; empty where none does."""
    return next((one.reason for one in told if one.state == "backing off"), "")


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).strip()
