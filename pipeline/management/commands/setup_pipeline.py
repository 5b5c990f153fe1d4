"""`manage.py setup_pipeline`: makes topics, index templates and HDFS folders."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from pipeline.setup import SetupError, set_up


class Command(BaseCommand):
    """Prepares the servers; repeating it does no harm."""

    help = (
        "Makes the topics, index templates, indices and folders that the settings name; says what it did, what differs "
        "from the settings, and whether a topic takes less at once than the collector may send."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """--add-partitions."""
        parser.add_argument(
            "--add-partitions",
            action="store_true",
            help="give topics of events that have fewer partitions than EVENTS_TOPIC_PARTITIONS the others, for good",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when a server is away, refuses, or would refuse events."""
        try:
            for line in set_up(add_partitions=options["add_partitions"]):
                self.stdout.write(line)
        except (SetupError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
