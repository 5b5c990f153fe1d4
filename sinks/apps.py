"""Registers the app of the sinks."""

import importlib
import sys

from django.apps import AppConfig


def _import_elasticsearch_without_arrow() -> None:
    """Its client imports pyarrow where it can: 26 MB in each process, for Arrow tables that nobody gives it."""
    if "pyarrow" not in sys.modules:
        sys.modules["pyarrow"] = None  # type: ignore[assignment]
        try:
            importlib.import_module("elasticsearch")
        finally:
            del sys.modules["pyarrow"]


_import_elasticsearch_without_arrow()  # before another app imports it


class SinksConfig(AppConfig):
    """Moves records from Kafka to the stores of the sinks."""

    name = "sinks"

    def ready(self) -> None:
        """Registers the index documents and the checks of this app's settings."""
        from sinks import checks  # noqa: F401
        from sinks.elasticsearch import documents  # noqa: F401
