"""`manage.py run_connectors`: runs connectors as the REST API says, on any number of hosts."""

import logging
import os
import signal
import threading
import time
from functools import partial
from types import FrameType
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from connectors.conf import ConnectorsSettings, connectors_settings
from connectors.running.assignment import Assignment, prepare
from connectors.running.metrics import StateCollector
from connectors.running.units import make_unit
from connectors.running.worker import ConnectWorker, WorkerHeartbeat
from events.conf import events_settings
from worker.errors import Fatal, Retriable
from worker.metrics import Metrics
from worker.process import DATABASE_SECONDS, leave, save_memory, serve_monitor
from worker.retry import Backoff

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2


class Command(BaseCommand):
    """Runs connectors until SIGTERM or SIGINT."""

    help = (
        "Runs a share of the connectors that were made by the REST API, until SIGTERM or SIGINT. Start as many as you "
        "like, on any hosts: they share the tasks evenly, and the others take over what a dead one ran."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        text = "serve /metrics, /healthz and /status there (default: CONNECTORS['metrics_port'], or nowhere)"
        parser.add_argument("--metrics-port", type=int, metavar="PORT", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits 0 after a signal, 1 when it can't go on.

        Raises CommandError where the settings do not fit the topic of the slots, and for a port that is taken.
        """
        try:
            settings = connectors_settings()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        save_memory()
        stop = threading.Event()

        def on_signal(number: int, _: FrameType | None) -> None:
            if stop.is_set():
                os._exit(128 + number)  # a second signal: what was not committed is read again
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, on_signal)
        assignment = Assignment(settings, client=f"run-connectors-{os.getpid()}")
        metrics = Metrics()
        worker = ConnectWorker(settings, lambda: assignment.slots, make=partial(make_unit, metrics=metrics))
        metrics.registry.register(StateCollector(worker))
        port = settings.metrics_port if options["metrics_port"] is None else options["metrics_port"]
        if port is not None:
            name, host = worker.worker_id, settings.metrics_host
            serve_monitor(name, metrics.registry, worker.report, where="CONNECTORS", host=host, port=port)
        _prepare(settings, stop)
        leave(0 if stop.is_set() else run(worker, assignment, settings, stop))


def _prepare(settings: ConnectorsSettings, stop: threading.Event) -> None:
    for delay in Backoff().delays():
        try:
            return prepare(settings, replication=events_settings().topic_replication)
        except Retriable as error:
            logger.warning("can't begin yet, tries on: %s", error)
        except Fatal as error:
            raise CommandError(str(error)) from error
        if stop.wait(delay):
            return None
    return None


def run(worker: ConnectWorker, assignment: Assignment, settings: ConnectorsSettings, stop: threading.Event) -> int:
    """The exit code: 1 when the worker can no longer know which tasks are its own."""
    heartbeat = WorkerHeartbeat(worker, settings.poll_seconds)
    heartbeat.start(wait_seconds=DATABASE_SECONDS)
    assignment.start()
    logger.info("%s: runs connectors as a worker of group %s", worker.worker_id, settings.group)
    while assignment.is_alive and not stop.wait(_LOOK_SECONDS):
        worker.step()
    code = 0 if stop.is_set() else 1
    logger.info("%s: stops: the other workers take over", worker.worker_id)
    worker.stop()
    assignment.leave()
    heartbeat.stop(wait_seconds=DATABASE_SECONDS)
    deadline = time.monotonic() + settings.stop_seconds
    while not worker.has_ended and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    logger.info("%s: stopped", worker.worker_id)
    return code
