"""What the commands on the files of a sink share."""

import threading
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sinks.config import SinkConfig
from sinks.errors import Fatal, Fenced, Retriable
from sinks.file_kind import FileKind
from sinks.files.store import FileStore, NotFound
from sinks.loop.retry import Backoff, Retry
from sinks.management.arguments import add_sink_argument, find_sink
from sinks.management.exit_codes import CheckedCommand
from sinks.registry import kind_of


class FilesCommand(CheckedCommand):
    """Does something with the files of an entry of SINKS.

    kind: of the entries that it takes, empty for every kind that stores files; default: the entry without --sink.
    """

    kind = ""
    default = ""

    def add_arguments(self, parser: CommandParser) -> None:
        """--sink NAME."""
        add_sink_argument(parser, self.default)

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when it can't go on."""
        sink = find_sink(options["sink"], self.kind)
        kind = kind_of(sink)
        if not isinstance(kind, FileKind):
            raise CommandError(f"SINKS[{sink.name!r}] is of the kind {sink.kind}, which stores no files")
        store = kind.store(sink, connections=1)
        try:
            self.work(sink, kind, store, options)
        except NotFound as error:
            raise CommandError(f"{error}: files were moved meanwhile; run it again") from error
        except (Retriable, Fatal, Fenced) as error:
            raise CommandError(str(error)) from error
        finally:
            store.close()

    def work(self, sink: SinkConfig, kind: FileKind, store: FileStore, options: dict[str, Any]) -> None:
        """What the command does."""
        raise NotImplementedError


def patient(sink: SinkConfig) -> Retry:
    """Tries steps of a command again as the sink does, until the operator gives up."""
    return Retry(sink.name, Backoff(maximum=sink.options.retry_seconds), threading.Event())
