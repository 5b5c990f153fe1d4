"""Registers the app of the console's sub-pages."""

from django.apps import AppConfig


class ConsoleConfig(AppConfig):
    """What operators see and do beyond statistics: topics, documents, files, dead letters, practice."""

    name = "pipeline.console"
    label = "console"

    def ready(self) -> None:
        """Has changes of connectors logged, whether they are made in the console or by the REST API."""
        from connectors.audit import register_audit
        from pipeline.console.audit import audited_by
        from pipeline.console.models import ActionKind

        register_audit(lambda user, subject, what: audited_by(user, ActionKind.CONNECT, subject, what))
