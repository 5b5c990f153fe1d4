"""What the commands on the files of an HDFS sink share."""

import threading
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sinks.clusters import hdfs_cluster
from sinks.config import SinkConfig, sinks
from sinks.errors import Fatal, Fenced, Retriable
from sinks.files.store import NotFound
from sinks.hdfs.client import HdfsClient, connect
from sinks.hdfs.config import HdfsTarget
from sinks.loop.retry import Backoff, Retry
from sinks.management.exit_codes import CheckedCommand


class HdfsCommand(CheckedCommand):
    """Does something with the files of an entry of SINKS of the kind hdfs."""

    def add_arguments(self, parser: CommandParser) -> None:
        """--sink NAME."""
        parser.add_argument("--sink", default="hdfs", help="the entry of SINKS (default: hdfs)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when it can't go on."""
        sink = sinks().get(options["sink"])
        if sink is None or not isinstance(sink.target, HdfsTarget):
            raise CommandError(f"SINKS has no hdfs sink {options['sink']!r}")
        client = connect(hdfs_cluster(sink.target.cluster), connections=1)
        try:
            self.work(sink, sink.target, client, options)
        except NotFound as error:
            raise CommandError(f"{error}: files were moved meanwhile; run it again") from error
        except (Retriable, Fatal, Fenced) as error:
            raise CommandError(str(error)) from error
        finally:
            client.close()

    def work(self, sink: SinkConfig, target: HdfsTarget, client: HdfsClient, options: dict[str, Any]) -> None:
        """What the command does."""
        raise NotImplementedError


def patient(sink: SinkConfig) -> Retry:
    """Tries steps of a command again as the sink does, until the operator gives up."""
    return Retry(sink.name, Backoff(maximum=sink.options.retry_seconds), threading.Event())
