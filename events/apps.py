"""Registers the app of collecting."""

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """Collects events: page, endpoint, producer."""

    name = "events"

    def ready(self) -> None:
        """Registers the checks of this app's settings."""
        from events import checks  # noqa: F401
