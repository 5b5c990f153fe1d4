"""The newest events of a kind as they are stored, field by field."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_lazy as _

from events.conf import kinds
from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.console.documents.query import DocumentQuery
from pipeline.console.documents.search import documents
from pipeline.console.pages import link
from pipeline.console.panels import Panel
from pipeline.console.statistics.choice import KEYS, URL, choice_of

MAX_TEXT = 300
"""Characters of a field that are shown."""

_LABELS = {"colorName": _("Colour"), "userName": _("User"), "userAgent": _("User agent")}

_COLORS = {"colorName"}
"""Fields whose values are shown with a sample of the colour."""


def read(query: Mapping[str, str]) -> dict[str, Any]:
    """A bounded number of events, and of their bytes; each field a text of bounded length, None where it is missing."""
    choice = choice_of(query)
    asked = DocumentQuery("", choice.time_range(), 0, {})
    sink, target = statistics.events_sink(choice.event)
    events, _more = documents(target, asked, count=console_settings().newest)
    fields = [*(field.name for field in kinds()[choice.event].fields), "userAgent"]
    return {
        "labels": [_LABELS.get(field, field) for field in fields],
        "events": [
            {
                "id": event.id,
                "url": link("document", sink.name, index=event.index, id=event.id),
                "timestamp": event.time,
                "values": [(field in _COLORS, _text(event.source.get(field))) for field in fields],
                "is_read": event.is_read,
            }
            for event in events
        ],
    }


def _text(value: object) -> str | None:
    """A stored value for people: cut where it is long; whatever its type, since other programs write documents too."""
    if value is None:
        return None
    shown = str(value)
    return shown if len(shown) <= MAX_TEXT else shown[: MAX_TEXT - 1] + "…"


CHOICES = Panel("newest", _("Newest events"), "statistics/newest.html", read, URL, server="elasticsearch", query=KEYS)
OF_KIND = replace(CHOICES, id="newest-of-kind")
