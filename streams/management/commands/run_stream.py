"""`manage.py run_stream`: records of topics become records of other topics."""

import logging
from argparse import ArgumentTypeError
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import CollectorRegistry

from streams.heartbeat import StreamHeartbeat
from streams.options import begin_at
from streams.registry import BUILT_IN, StreamEntry, streams
from streams.states import StreamCollector, StreamStatus
from worker.errors import Fatal, Retriable
from worker.process import DATABASE_SECONDS, LEAVING_SECONDS, leave, save_memory, serve_monitor
from worker.runner import Runner

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    """Runs a stream until SIGTERM or SIGINT."""

    help = "Runs a stream of STREAMS, exactly once, until SIGTERM or SIGINT."
    requires_system_checks = ["streams"]

    def add_arguments(self, parser: CommandParser) -> None:
        """NAME [--from earliest|latest|TIME] [--metrics-port PORT]."""
        parser.add_argument("name", help="the entry of STREAMS")
        text = "where a stream that has never run begins: earliest (the default), latest, or a time with its zone"
        parser.add_argument("--from", dest="place", metavar="earliest|latest|TIME", type=_place, help=text)
        text = "serve /metrics, /healthz and /status there (default: the entry's metrics_port, or nowhere)"
        parser.add_argument("--metrics-port", type=int, metavar="PORT", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits 0 after a signal, 1 when the stream can't go on. Raises CommandError for wrong settings."""
        entry = _entry(options["name"])
        config = entry.config
        try:
            from streams.engine import StreamTask  # where Quix Streams is not installed, all else must work
        except ModuleNotFoundError as error:
            install = "pip install --no-deps -r requirements-streams.txt"
            raise CommandError(f"Quix Streams is not installed whole ({error}): {install}") from error
        save_memory()
        if options["place"] is not None:
            try:
                begin_at(config, entry.stream.topics_in, options["place"])
            except (Fatal, Retriable) as error:
                raise CommandError(f"--from: {error}") from error
        status = StreamStatus(config.name)
        port = config.metrics_port if options["metrics_port"] is None else options["metrics_port"]
        if port is not None:
            registry = CollectorRegistry()
            registry.register(StreamCollector(status.stream_report))
            where, host = f"STREAMS[{config.name!r}]", config.metrics_host
            serve_monitor(config.name, registry, status.stream_report, where=where, host=host, port=port)
        text = "%s: reads %s, writes %s; group %s"
        read, written = ", ".join(entry.stream.topics_in), ", ".join(entry.stream.topics_out)
        logger.info(text, config.name, read, written, config.group_id)
        heartbeat = StreamHeartbeat(config.name, status.stream_report, every_seconds=config.heartbeat_seconds)
        heartbeat.start(wait_seconds=DATABASE_SECONDS)
        task = StreamTask(entry, status, Path(settings.STREAMS_STATE_PATH))
        stop_seconds = config.stop_seconds + LEAVING_SECONDS
        stopping = "commits what was read and stops"
        code = Runner(config.name, [task], stop_seconds=stop_seconds, stopping=stopping).run()
        heartbeat.stop(wait_seconds=DATABASE_SECONDS)
        leave(code)


def _place(text: str) -> str | datetime:
    if text in ("earliest", "latest"):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r} is neither earliest nor latest nor a time in ISO 8601") from error
    if moment.tzinfo is None:
        raise ArgumentTypeError(f"{text!r} needs a zone, for example {text}+09:00")
    return moment


def _entry(name: str) -> StreamEntry:
    try:
        known = streams()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error
    if name not in known:
        hint = f'; STREAMS={{"{name}": {{}}}} adds it' if name in BUILT_IN else ""
        raise CommandError(f"STREAMS has no entry {name!r}; it has {', '.join(known) or 'none'}{hint}")
    return known[name]
