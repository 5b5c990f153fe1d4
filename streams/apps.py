"""Registers the app of the streams."""

from django.apps import AppConfig


class StreamsConfig(AppConfig):
    """Makes records of topics into records of other topics."""

    name = "streams"

    def ready(self) -> None:
        """Registers the checks of this app's settings."""
        from streams import checks  # noqa: F401
