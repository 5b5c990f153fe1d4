"""The newest events as they are stored."""

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.panels.panel import Panel
from pipeline.time_range import TimeRange

MAX_TEXT = 300
"""Characters of a field that are shown."""


def read(time_range: TimeRange) -> dict[str, Any]:
    """A bounded number of events, each field as a text of bounded length, or None where it is missing."""
    conf = console_settings()
    events = statistics.newest_events(
        time_range, event=statistics.EVENT, count=conf.newest, timeout=conf.elasticsearch_timeout_seconds
    )
    return {
        "events": [
            {
                "id": event.id,
                "url": document_url(statistics.EVENT, event),
                "timestamp": event.timestamp,
                "color": text(event.fields.get("colorName")),
                "user": text(event.fields.get("userName")),
                "user_agent": text(event.fields.get("userAgent")),
            }
            for event in events
        ]
    }


def document_url(event: str, stored: statistics.StoredEvent) -> str:
    """The console's page of a stored event of a kind."""
    page = reverse("console:document", args=[statistics.events_sink(event)])
    return f"{page}?{urlencode({'index': stored.index, 'id': stored.id})}"


def text(value: object) -> str | None:
    """A stored value for people: cut where it is long; whatever its type, since other programs write documents too."""
    if value is None:
        return None
    shown = str(value)
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"


PANEL = Panel("newest", _("Newest events"), read)
