"""`manage.py settings_reference`: prints docs/settings.md."""

from typing import Any

from django.core.management.base import BaseCommand

from pipeline.reference import settings_reference


class Command(BaseCommand):
    """Prints the reference of all settings."""

    help = "Prints the reference of all settings as Markdown (make docs keeps it as docs/settings.md)."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes the text to standard output."""
        self.stdout.write(settings_reference(), ending="")
