"""`manage.py setup_pipeline`: makes topics, index templates and HDFS folders."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from pipeline.setup import SetupError, set_up


class Command(BaseCommand):
    """Prepares the servers; repeating it does no harm."""

    help = (
        "Makes the topics, index templates, indices and HDFS folders that the settings name; says what it did, and "
        "whether a topic takes less at once than the collector may send."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError when a server is away, refuses, or would refuse events."""
        try:
            for line in set_up():
                self.stdout.write(line)
        except (SetupError, ImproperlyConfigured) as error:
            raise CommandError(str(error)) from error
