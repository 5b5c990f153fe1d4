"""Registers the app that shows the whole."""

from django.apps import AppConfig


class PipelineConfig(AppConfig):
    """The pipeline seen from above: admin statistics, topics, lag."""

    name = "pipeline"

    def ready(self) -> None:
        """Registers the checks of this app's settings."""
        from pipeline import checks  # noqa: F401
