"""What the commands of sinks and sources share: how they end, and how they check their arguments."""

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from worker.errors import Fatal, Fenced, Retriable

NOT_CARRIED_OUT = 2

CARRIED_OUT_OR_NOT = "2: it could not be carried out (a server is away, wrong settings or arguments)."

_MOST = 2**63 - 1
"""The highest offset."""


class CheckedCommand(BaseCommand):
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
