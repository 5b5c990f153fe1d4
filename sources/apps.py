"""Registers the app of the sources."""

from django.apps import AppConfig


class SourcesConfig(AppConfig):
    """Moves what other systems hold into Kafka."""

    name = "sources"

    def ready(self) -> None:
        """Registers the checks of this app's settings."""
        from sources import checks  # noqa: F401
