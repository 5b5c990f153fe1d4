"""What the commands on a sink share: the entry of SINKS that they work on."""

import threading
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sinks.config import SinkConfig
from sinks.file_kind import FileKind
from sinks.files.store import NotFound
from sinks.registry import kind_of, sinks
from worker.commands import CheckedCommand
from worker.retry import Backoff, Retry


class SinkCommand(BaseCommand):
    """A command on an entry of SINKS.

    kind: the kind of the entries that the command takes, also the name of the entry that it takes without --sink; empty
    for a command that takes entries of every kind, and needs --sink.
    """

    kind = ""
    requires_system_checks = ["sinks"]

    def add_arguments(self, parser: CommandParser) -> None:
        """--sink NAME."""
        text = f"the entry of SINKS (default: {self.kind})" if self.kind else "the entry of SINKS"
        parser.add_argument("--sink", default=self.kind or None, required=not self.kind, help=text)

    def sink(self, options: dict[str, Any]) -> SinkConfig:
        """The entry of SINKS that --sink names. Raises CommandError."""
        name = options["sink"]
        try:
            known = {entry.name: entry for entry in sinks().values() if self.kind in ("", entry.kind)}
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if name not in known:
            what = f"{self.kind} sink" if self.kind else "entry"
            raise CommandError(f"SINKS has no {what} {name!r}; it has {', '.join(known) or 'none'}")
        return known[name]


class FilesCommand(CheckedCommand, SinkCommand):
    """Does something with the files of a sink."""

    def handle(self, *args: Any, **options: Any) -> None:
        """For a sink that stores files."""
        sink = self.sink(options)
        kind = kind_of(sink)
        if not isinstance(kind, FileKind):
            raise CommandError(f"SINKS[{sink.name!r}] is of the kind {sink.kind}, which stores no files")
        try:
            self.work(sink, kind, options)
        except NotFound as error:
            raise CommandError(f"{error}: files were moved meanwhile; run it again") from error

    def work(self, sink: SinkConfig, kind: FileKind, options: dict[str, Any]) -> None:
        """What the command does. May raise NotFound, too."""
        raise NotImplementedError


def patient(sink: SinkConfig) -> Retry:
    """Tries steps of a command again as the sink does, until the operator gives up."""
    return Retry(sink.name, Backoff(maximum=sink.options.retry_seconds), threading.Event())
