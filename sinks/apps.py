"""Registers the app of the sinks."""

from django.apps import AppConfig


class SinksConfig(AppConfig):
    """Moves records from Kafka to HDFS and Elasticsearch."""

    name = "sinks"

    def ready(self) -> None:
        """Registers the index documents and the checks of this app's settings."""
        from sinks import checks  # noqa: F401
        from sinks.elasticsearch import documents  # noqa: F401
