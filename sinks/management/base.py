"""What the commands on a sink share: their arguments, which are checked before anything is done, and how they end."""

import sys
import threading
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import closing
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sinks.config import SinkConfig
from sinks.file_kind import FileKind
from sinks.files.store import FileStore, NotFound
from sinks.loop.retry import Backoff, Retry
from sinks.registry import kind_of, sinks
from worker.errors import Fatal, Fenced, Retriable

NOT_CARRIED_OUT = 2

CARRIED_OUT_OR_NOT = "2: it could not be carried out (a server is away, wrong settings or arguments)."

_MOST = 2**63 - 1
"""The highest offset."""


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


class CheckedCommand(SinkCommand):
    """Exits with 2 when it could not do its work: `handle` may raise CommandError, Retriable, Fatal and Fenced."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Wrong settings, which are looked for before `handle`, end with 2, too."""
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            error.returncode = NOT_CARRIED_OUT
            raise
        except (Retriable, Fatal, Fenced) as error:
            raise CommandError(str(error), returncode=NOT_CARRIED_OUT) from error


class ReportingCommand(CheckedCommand):
    """Exits with 0 when all is well, 1 when it has something to report, 2 when it could not do its work."""

    def report(self, options: dict[str, Any]) -> bool:
        """Does the work; returns whether all is well. Raises CommandError, Retriable and Fatal when it can't."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits with 0 or 1."""
        sys.exit(0 if self.report(options) else 1)


class FilesCommand(CheckedCommand):
    """Does something with the files of a sink."""

    def handle(self, *args: Any, **options: Any) -> None:
        """Opens the sink's store, and closes it at the end."""
        sink = self.sink(options)
        kind = kind_of(sink)
        if not isinstance(kind, FileKind):
            raise CommandError(f"SINKS[{sink.name!r}] is of the kind {sink.kind}, which stores no files")
        with closing(kind.store(sink, connections=1)) as store:
            try:
                self.work(sink, kind, store, options)
            except NotFound as error:
                raise CommandError(f"{error}: files were moved meanwhile; run it again") from error

    def work(self, sink: SinkConfig, kind: FileKind, store: FileStore, options: dict[str, Any]) -> None:
        """What the command does. May raise NotFound, too."""
        raise NotImplementedError


def patient(sink: SinkConfig) -> Retry:
    """Tries steps of a command again as the sink does, until the operator gives up."""
    return Retry(sink.name, Backoff(maximum=sink.options.retry_seconds), threading.Event())


def whole(least: int, most: int = _MOST) -> Callable[[str], int]:
    """The argparse type of whole numbers of a range; argparse names the option before what is wrong with it."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError as error:
            raise ArgumentTypeError(f"{text!r} is not a whole number") from error
        if not least <= number <= most:
            bound = f"at least {least}" if number < least else f"at most {most}"
            raise ArgumentTypeError(f"{number} must be {bound}")
        return number

    return read
