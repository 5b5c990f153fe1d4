"""`manage.py delete_old_indices`: retention of an Elasticsearch sink with one index a period."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from sinks.elasticsearch.client import connect
from sinks.elasticsearch.config import elasticsearch_cluster
from sinks.elasticsearch.notes import note_retention
from sinks.elasticsearch.outcomes import translated
from sinks.elasticsearch.setup import indices
from sinks.management.base import SinkCommand
from worker.commands import whole
from worker.errors import Fatal, Retriable

_MOST_DAYS = 365 * 1000


class Command(SinkCommand):
    """Deletes whole indices whose time is over, which costs nothing, as deleting single documents would."""

    help = (
        "Deletes the indices of a sink whose period ended more than --days ago, judged by their names, and notes it: "
        "verify_es does not miss them then. Without --delete it only tells which they are."
    )
    kind = "elasticsearch"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        text = "so many days of events are kept, in full"
        parser.add_argument("--days", type=whole(0, _MOST_DAYS), required=True, help=text)
        parser.add_argument("--delete", action="store_true", help="delete them")

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError for a sink with only one index, and when the server does not answer."""
        sink = self.sink(options)
        names = sink.target.names()
        if names.fixed is not None:
            raise CommandError(f"{names.fixed} is one index for all time, not one a period such as {names.fixed}-%Y.%m")
        before = datetime.now(UTC) - timedelta(days=options["days"])
        try:
            with closing(connect(elasticsearch_cluster(sink.target.cluster), connections=1)) as client, translated():
                if options["delete"]:
                    note_retention(client, names.pattern, before)
                for index in indices(client, names):
                    end = names.end(index)
                    if end is None or end > before:
                        continue
                    if options["delete"]:
                        client.indices.delete(index=index)
                    self.stdout.write(f"{index}: {'deleted' if options['delete'] else 'would be deleted'}")
        except (Retriable, Fatal) as error:
            raise CommandError(f"{sink.target}: {error}") from error
