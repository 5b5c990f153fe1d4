"""What the commands on a source share: the entry of SOURCES that they work on."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from sources.config import SourceConfig
from sources.registry import sources


class SourceCommand(BaseCommand):
    """A command on an entry of SOURCES."""

    requires_system_checks = ["sources"]

    def add_arguments(self, parser: CommandParser) -> None:
        """--source NAME."""
        parser.add_argument("--source", required=True, help="the entry of SOURCES")

    def source(self, options: dict[str, Any]) -> SourceConfig:
        """The entry of SOURCES that --source names. Raises CommandError."""
        name = options["source"]
        try:
            known = sources()
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if name not in known:
            raise CommandError(f"SOURCES has no entry {name!r}; it has {', '.join(known) or 'none'}")
        return known[name]
