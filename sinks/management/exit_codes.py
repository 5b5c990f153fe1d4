"""What commands that report something end with, for cron and scripts."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from sinks.errors import Fatal, Retriable

NOT_CARRIED_OUT = 2

CARRIED_OUT_OR_NOT = "2: it could not be carried out (a server is away, wrong settings or arguments)."


class CheckedCommand(BaseCommand):
    """Exits with 2 when it could not do its work."""

    requires_system_checks = ["sinks"]

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Wrong settings, which are looked for before `handle`, end with 2, too."""
        try:
            return super().execute(*args, **options)
        except CommandError as error:
            error.returncode = NOT_CARRIED_OUT
            raise


class ReportingCommand(CheckedCommand):
    """Exits with 0 when all is well, 1 when it has something to report, 2 when it could not do its work."""

    def report(self, options: dict[str, Any]) -> bool:
        """Does the work; returns whether all is well. Raises CommandError, Retriable and Fatal when it can't."""
        raise NotImplementedError

    def handle(self, *args: Any, **options: Any) -> None:
        """Exits with 0 or 1. Raises CommandError when the work could not be done."""
        try:
            is_well = self.report(options)
        except (Retriable, Fatal) as error:
            raise CommandError(str(error)) from error
        sys.exit(0 if is_well else 1)
