"""Registers the app of the console's sub-pages."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """What operators see and do beyond statistics: topics, documents, files, dead letters, practice."""

    name = "pipeline.console"
    label = "console"
