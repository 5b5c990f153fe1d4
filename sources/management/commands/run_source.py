"""`manage.py run_source`: what a source reads goes into Kafka."""

import logging
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from sources.build import build_source
from sources.heartbeat import SourceHeartbeat
from sources.management.base import SourceCommand
from sources.registry import kind_of
from worker.process import DATABASE_SECONDS, LEAVING_SECONDS, leave, save_memory, serve_monitor
from worker.runner import Runner

logger = logging.getLogger(__name__)


class Command(SourceCommand):
    """Runs a source until SIGTERM or SIGINT."""

    help = "Reads what an entry of SOURCES says and puts it into Kafka, exactly once, until SIGTERM or SIGINT."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        text = "serve /metrics, /healthz and /status there (default: the entry's metrics_port, or nowhere)"
        parser.add_argument("--metrics-port", type=int, metavar="PORT", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits 0 after a signal, 1 when the source can't go on. Raises CommandError for wrong settings."""
        source = self.source(options)
        save_memory()
        try:
            parts = build_source(source)
        except (ImproperlyConfigured, ValueError) as error:
            raise CommandError(f"SOURCES[{source.name!r}]: {error}") from error
        port = source.metrics_port if options["metrics_port"] is None else options["metrics_port"]
        if port is not None:
            where, host = f"SOURCES[{source.name!r}]", source.metrics_host
            serve_monitor(source.name, parts.metrics.registry, parts.status.report, where=where, host=host, port=port)
        text = "%s: %d tasks read %s; positions in topic %s"
        logger.info(text, source.name, source.tasks, kind_of(source).described(source), source.positions_topic)
        heartbeat = SourceHeartbeat(source.name, parts.status.report, every_seconds=source.heartbeat_seconds)
        heartbeat.start(wait_seconds=DATABASE_SECONDS)
        stop_seconds = source.options.stop_seconds + LEAVING_SECONDS
        stopping = "commits what was read and stops"
        code = Runner(source.name, parts.tasks, stop_seconds=stop_seconds, stopping=stopping).run()
        heartbeat.stop(wait_seconds=DATABASE_SECONDS)
        leave(code)
