"""`manage.py run_sink`: Kafka to the store of a sink, of whatever kind."""

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from sinks.build import build_sink
from sinks.management.base import SinkCommand
from sinks.reporting.heartbeat import SinkHeartbeat
from worker.process import DATABASE_SECONDS, LEAVING_SECONDS, leave, save_memory, serve_monitor
from worker.runner import Runner

logger = logging.getLogger(__name__)


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
        save_memory()
        try:
            parts = build_sink(sink)
        except (ImproperlyConfigured, ValueError) as error:
            raise CommandError(f"SINKS[{sink.name!r}]: {error}") from error
        port = sink.metrics_port if options["metrics_port"] is None else options["metrics_port"]
        if port is not None:
            where = f"SINKS[{sink.name!r}]"
            registry, report = parts.metrics.registry, parts.status.report
            serve_monitor(sink.name, registry, report, where=where, host=sink.metrics_host, port=port)
        text = "%s: %d tasks read %s as group %s and store in %s"
        logger.info(text, sink.name, sink.tasks, ", ".join(sink.topics), sink.group, sink.target)
        heartbeat = SinkHeartbeat(sink.name, parts.status.report, parts.control, every_seconds=sink.heartbeat_seconds)
        heartbeat.start(wait_seconds=DATABASE_SECONDS)
        stop_seconds, stopping = sink.options.drain_seconds + LEAVING_SECONDS, "stores what was read and stops"
        code = Runner(sink.name, parts.tasks, stop_seconds=stop_seconds, stopping=stopping).run()
        parts.writer.close()
        parts.producer.close(LEAVING_SECONDS)
        heartbeat.stop(wait_seconds=DATABASE_SECONDS)
        leave(code)
