"""What is shown of any kind of event: the top values of its texts, and its newest events field by field."""

from dataclasses import asdict
from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _

from events.conf import kinds
from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.panels.newest import document_url, text
from pipeline.panels.panel import Panel
from pipeline.time_range import TimeRange


def read_top_values(time_range: TimeRange, *, event: str) -> dict[str, Any]:
    """The top values of each text of the kind, and the total that their shares refer to."""
    conf = console_settings()
    total, fields = statistics.top_values(
        time_range, event=event, top=conf.top, timeout=conf.elasticsearch_timeout_seconds
    )
    return {"total": total, "fields": [asdict(field) for field in fields]}


def read_newest(time_range: TimeRange, *, event: str) -> dict[str, Any]:
    """A bounded number of events with the kind's fields, each a text of bounded length, None where it is missing."""
    conf = console_settings()
    events = statistics.newest_events(
        time_range, event=event, count=conf.newest, timeout=conf.elasticsearch_timeout_seconds
    )
    fields = [*(field.name for field in kinds()[event].fields), "userAgent"]
    return {
        "fields": fields,
        "events": [
            {
                "id": stored.id,
                "url": document_url(event, stored),
                "timestamp": stored.timestamp,
                "values": [text(stored.fields.get(field)) for field in fields],
            }
            for stored in events
        ],
    }


def panels(event: str) -> tuple[Panel, ...]:
    """The panels of a kind of event."""
    return (
        Panel("top-values", _("Top values"), partial(read_top_values, event=event)),
        Panel("newest-of-kind", _("Newest events"), partial(read_newest, event=event)),
    )
