"""Events of a kind per interval, stacked by the values of one of its texts, with their total."""

from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _

from events.conf import events_settings
from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.panels.panel import Panel
from pipeline.time_range import TimeRange, to_milliseconds


def read(time_range: TimeRange, *, event: str, field: str) -> dict[str, Any]:
    """Bars and series; `others` holds the events of values that have no series."""
    conf = console_settings()
    found = statistics.events_over_time(
        time_range, event=event, field=field, series=conf.colors, timeout=conf.elasticsearch_timeout_seconds
    )
    # A colour keeps its place, and with it its pattern, however the counts change.
    offered = {color: place for place, color in enumerate(events_settings().colors)}
    series = sorted(found.series, key=lambda one: (offered.get(one.name, len(offered)), one.name))
    shown = [sum(counts) for counts in zip(*(one.counts for one in series), strict=True)] or [0] * len(found.counts)
    # Bars and series are of two searches, maybe of copies of the index that differ: a bar has no less than its series.
    counts = [max(count, part) for count, part in zip(found.counts, shown, strict=True)]
    total = sum(counts)
    return {
        "start": to_milliseconds(time_range.start),
        "end": to_milliseconds(time_range.end),
        "interval": time_range.interval // timedelta(milliseconds=1),
        "total": total,
        "per_minute": total / time_range.minutes,
        "newest": found.newest,
        "index": statistics.events_target(event).readers,
        "sink": statistics.events_sink(event),
        "field": found.field,
        "starts": found.starts,
        "counts": counts,
        "series": [asdict(one) for one in series],
        "others": [count - part for count, part in zip(counts, shown, strict=True)],
    }


def panel(event: str, field: str) -> Panel:
    """The panel of a kind of event; field: by whose values it is stacked, empty for a kind without texts."""
    return Panel("events-over-time", _("Events over time"), partial(read, event=event, field=field))
