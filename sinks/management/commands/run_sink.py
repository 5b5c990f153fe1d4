"""`manage.py run_sink`: Kafka to the store of a sink, of whatever kind."""

import ctypes
import gc
import logging
import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from sinks.build import Sink, build_sink
from sinks.config import SinkConfig
from sinks.loop.runner import Runner
from sinks.management.base import SinkCommand
from sinks.reporting.heartbeat import Heartbeat
from sinks.reporting.monitor import monitor_app, serve

logger = logging.getLogger(__name__)

_GC_THRESHOLDS = (100_000, 20, 100)
"""How many new objects bring a garbage collection: messages come by the thousand and never are garbage of its kind."""

_MALLOC_ARENA_MAX = -8
"""M_ARENA_MAX of glibc's malloc.h."""

_DATABASE_SECONDS = 3.0
"""How long the first and the last heartbeat are waited for."""

_LEAVING_SECONDS = 5.0
"""What leaving the group and closing connections may take after everything is stored."""


class Command(SinkCommand):
    """Runs a sink until SIGTERM or SIGINT."""

    help = "Stores the records of Kafka topics as an entry of SINKS says, until SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        text = "serve /metrics, /healthz and /status there (default: the entry's metrics_port, or nowhere)"
        parser.add_argument("--metrics-port", type=int, metavar="PORT", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits 0 after a signal, 1 when the sink can't go on. Raises CommandError for wrong settings."""
        sink = self.sink(options)
        _save_memory()
        try:
            parts = build_sink(sink)
        except (ImproperlyConfigured, ValueError) as error:
            raise CommandError(f"SINKS[{sink.name!r}]: {error}") from error
        port = sink.metrics_port if options["metrics_port"] is None else options["metrics_port"]
        if port is not None:
            self._serve(sink, parts, port)
        text = "%s: %d tasks read %s as group %s and store in %s"
        logger.info(text, sink.name, sink.tasks, ", ".join(sink.topics), sink.group, sink.target)
        heartbeat = Heartbeat(sink.name, parts.status.report, parts.control, every_seconds=sink.heartbeat_seconds)
        heartbeat.start(wait_seconds=_DATABASE_SECONDS)
        code = Runner(sink.name, parts.tasks, stop_seconds=sink.options.drain_seconds + _LEAVING_SECONDS).run()
        parts.writer.close()
        parts.producer.close(_LEAVING_SECONDS)
        heartbeat.stop(wait_seconds=_DATABASE_SECONDS)
        logging.shutdown()
        sys.stdout.flush()
        os._exit(code)  # threads that still wait for a server's answer must not hold the process

    def _serve(self, sink: SinkConfig, parts: Sink, port: int) -> None:
        where = f"SINKS[{sink.name!r}]: metrics_port (--metrics-port)"
        if not 1 <= port <= 65535:
            raise CommandError(f"{where} is {port}; it must be between 1 and 65535")
        try:
            serve(monitor_app(parts.metrics.registry, parts.status), host=sink.metrics_host, port=port)
        except OSError as error:
            raise CommandError(f"{where}: can't listen on {sink.metrics_host}:{port}: {error.strerror}") from error
        logger.info("%s: metrics and status on http://%s:%d", sink.name, sink.metrics_host, port)


def _save_memory() -> None:
    """Settings of Python and the C library for threads that pass much data on; measured in docs/performance.md."""
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # glibc: else each thread keeps what others could use
        mallopt(_MALLOC_ARENA_MAX, 2)
