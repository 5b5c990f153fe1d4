"""A worker: runs the tasks of its slots as the tables say, and tells the tables how they are doing.

The tables are read by a thread of its own: while the database is away, the worker goes on with what it knows. Each task
is a thread beside the others, so that one that fails or waits stops nothing else; a thread needs a tenth of the memory
of a process, and nothing is lost when the process is killed.
"""

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial

import msgspec
from django.conf import settings
from django.db import transaction

from connectors.conf import ConnectorsSettings
from connectors.models import Connector, Worker
from connectors.reports import TaskStatus, WorkerReport
from connectors.running.units import Unit, make_unit
from connectors.running.wanted import Wanted, read_tables
from sinks.reporting.reports import SinkReport
from sources.reports import SourceReport
from worker import garbage
from worker.clock import database_now
from worker.heartbeat import Heartbeat

logger = logging.getLogger(__name__)

_FORGOTTEN_AFTER = timedelta(hours=1)
_SAME_REPORT_SECONDS = 3.0


class ConnectWorker:
    """What one process runs. slots: tells which ones the process has now; make: of a task that is to begin."""

    def __init__(
        self,
        settings_: ConnectorsSettings,
        slots: Callable[[], frozenset[int]],
        *,
        make: Callable[[Wanted], Unit] = make_unit,
    ) -> None:
        self.worker_id = f"{socket.gethostname()}:{os.getpid()}"
        self._settings = settings_
        self._slots = slots
        self._make = make
        self._started = datetime.now(UTC)
        self._lock = threading.Lock()
        self._units: dict[tuple[str, int], Unit] = {}
        self._paused: set[tuple[str, int]] = set()
        self._leaving: list[Unit] = []
        self.wanted: list[Wanted] = []

    def step(self) -> None:
        """Begins, changes and ends tasks as the tables and the slots say now."""
        slots = self._slots()
        mine = {wanted.key: wanted for wanted in self.wanted if wanted.slot in slots}
        with self._lock:
            for key, unit in list(self._units.items()):
                if key not in mine or mine[key].version != unit.wanted.version:
                    self._end(key, unit)
            leaving = [unit for unit in self._leaving if unit.is_alive]
            if len(leaving) < len(self._leaving):
                garbage.may_be_there()
            self._leaving = leaving
            busy = {unit.wanted.key for unit in self._leaving}
            for key, wanted in mine.items():
                if key not in self._units and key not in busy:
                    self._units[key] = self._make(wanted)
                    self._units[key].start()
                if key in self._units and wanted.paused != (key in self._paused):
                    self._units[key].set_paused(wanted.paused)
            self._paused = {key for key, wanted in mine.items() if wanted.paused}

    def _end(self, key: tuple[str, int], unit: Unit) -> None:
        """The thread stores what it has read, beside whatever else happens."""
        unit.end()
        self._leaving.append(unit)
        del self._units[key]
        self._paused.discard(key)

    def stop(self) -> None:
        """Has all tasks end."""
        with self._lock:
            for key, unit in list(self._units.items()):
                self._end(key, unit)

    @property
    def has_ended(self) -> bool:
        """Whether no task is left."""
        return not any(unit.is_alive for unit in self._leaving)

    def reports(self) -> list[SinkReport | SourceReport]:
        """What the sinks and sources of the tasks say of themselves."""
        with self._lock:
            units = [*self._units.values(), *(unit for unit in self._leaving if unit.is_alive)]
            return [report for unit in units if (report := unit.report()) is not None]

    def report(self) -> WorkerReport:
        """The worker at this moment, with the tasks that have not ended yet: their offsets may still move."""
        with self._lock:
            tasks = [unit.status(key in self._paused) for key, unit in sorted(self._units.items())]
            tasks += [unit.status(paused=False) for unit in self._leaving if unit.is_alive]
        return WorkerReport(
            worker_id=self.worker_id,
            version=settings.VERSION,
            started=self._started,
            slots=sorted(self._slots()),
            tasks=tasks,
        )


class WorkerHeartbeat(Heartbeat):
    """The thread that reads the tables for a worker and writes its report."""

    def __init__(self, worker: ConnectWorker, every_seconds: float) -> None:
        super().__init__("connectors", every_seconds)
        self._worker = worker
        self._written = b""
        self._written_at: datetime | None = None
        self._records: dict[tuple[str, int], int] = {}

    def parts(self, *, stopped: bool) -> Iterable[tuple[str, Callable[[], None]]]:
        """Reads what is to run, tells what runs, and notes the topics."""
        if stopped:
            return (("say goodbye", self._say_goodbye),)
        return (
            ("read what is to run", self._read),
            ("report", partial(self._report)),
        )

    def _read(self) -> None:
        self._worker.wanted = read_tables()

    def _report(self) -> None:
        now = database_now()
        report = self._worker.report()
        text = msgspec.json.encode(report)
        is_recent = self._written_at is not None and (now - self._written_at).total_seconds() < _SAME_REPORT_SECONDS
        if text == self._written and is_recent:
            return
        Worker.objects.update_or_create(
            worker_id=self._worker.worker_id, defaults={"heard_at": now, "report": text.decode()}
        )
        self._written, self._written_at = text, now
        Worker.objects.filter(heard_at__lt=now - _FORGOTTEN_AFTER).delete()
        for task in report.tasks:
            self._note_topics(task)

    def _note_topics(self, task: TaskStatus) -> None:
        """The topics of a connector are those that its tasks have moved records of since they were reset."""
        key = task.connector, task.task
        moved = task.records != self._records.get(key, 0)
        self._records[key] = task.records
        if not moved:
            return
        with transaction.atomic():
            connector = Connector.objects.select_for_update().filter(name=task.connector).first()
            if connector is not None and (new := set(task.topics) - set(connector.topics)):
                Connector.objects.filter(pk=connector.pk).update(topics=sorted({*connector.topics, *new}))

    def _say_goodbye(self) -> None:
        Worker.objects.filter(worker_id=self._worker.worker_id).delete()
