"""Registers the app of collecting."""

from django.apps import AppConfig
from django.conf import settings
from django.utils.translation import gettext_lazy as _


class EventsConfig(AppConfig):
    """Collects events: page, endpoint, producer."""

    name = "events"
    verbose_name = _("Events")

    def ready(self) -> None:
        """Registers the checks of this app's settings, and the kinds of events that they declare."""
        from events import checks  # noqa: F401
        from events.conf import register_kinds

        if settings.EVENTS.get("kinds"):
            register_kinds()
