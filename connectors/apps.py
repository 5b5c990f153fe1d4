"""Registers the app of connectors."""

from django.apps import AppConfig


class ConnectorsConfig(AppConfig):
    """Connectors: what is to run, its REST API, and the workers that run it."""

    name = "connectors"

    def ready(self) -> None:
        """Registers the checks of this app's settings."""
        from connectors import checks  # noqa: F401
