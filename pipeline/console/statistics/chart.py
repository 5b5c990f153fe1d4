"""Events of a kind per interval, stacked by the values of one of its texts, with their total."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone
from django.utils.translation import gettext as translated
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from events.conf import events_settings
from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.console.panels import Panel
from pipeline.console.statistics.choice import KEYS, URL, choice_of
from pipeline.console.templatetags.console import full_time
from pipeline.statistics import EVENT, text_fields
from pipeline.time_range import FIRST_DAY, TimeRange, from_milliseconds, to_milliseconds

_CLOCK, _MINUTE, _DAY_MINUTE, _DAY = "%H:%M:%S", "%H:%M", "%m-%d %H:%M", "%m-%d"


def read(query: Mapping[str, str]) -> dict[str, Any]:
    """Bars and series; the last series, without a name, holds the events of values that have no series of their own."""
    choice, conf = choice_of(query), console_settings()
    time_range = choice.time_range()
    sink, target = statistics.events_sink(choice.event)
    found = statistics.events_over_time(time_range, event=choice.event, field=choice.field, series=conf.colors)
    # A colour keeps its place, and with it its pattern, however the counts change.
    offered = {color: place for place, color in enumerate(events_settings().colors)}
    named = sorted(found.series, key=lambda one: (offered.get(one.name, len(offered)), one.name))
    shown = [sum(counts) for counts in zip(*(one.counts for one in named), strict=True)] or [0] * len(found.counts)
    # Bars and series are of two searches, maybe of copies of the index that differ: a bar has no less than its series.
    counts = [max(count, part) for count, part in zip(found.counts, shown, strict=True)]
    others = [count - part for count, part in zip(counts, shown, strict=True)]
    series = [{"name": one.name, "label": one.name, "counts": one.counts, "total": sum(one.counts)} for one in named]
    if any(others):
        series.append({"name": None, "label": translated("other"), "counts": others, "total": sum(others)})
    total = sum(counts)
    text = cache(full_time)  # most bars begin where the one before ends
    times = [text(start) for start in found.starts]
    return {
        "start": to_milliseconds(time_range.start),
        "end": to_milliseconds(time_range.end),
        "seconds": time_range.interval.total_seconds(),
        "total": total,
        "per_minute": total / time_range.minutes,
        "newest": found.newest,
        "to_newest": found.newest and choice.query_to(found.newest),
        "index": target.readers,
        "sink": sink.name,
        "field": found.field,
        "fields": []
        if choice.event == EVENT
        else [(name, urlencode(choice.query(by=name)), name == choice.field) for name in text_fields(choice.event)],
        "starts": found.starts,
        "counts": counts,
        "series": series,
        "rows": list(zip(times, zip(*(one["counts"] for one in series), strict=True), counts, strict=True))
        if total
        else [],
        "drawn": {
            "label": ngettext(
                "Bar chart of {n} event stacked by {field}; the table below holds the same numbers.",
                "Bar chart of {n} events stacked by {field}; the table below holds the same numbers.",
                total,
            ).format(n=f"{total:,}", field=found.field),
            "total": translated("Total"),
            "ticks": [_tick(start, time_range) for start in found.starts],
            "titles": [_bar_time(start, time_range, text) for start in found.starts],
            "counts": counts,
            "series": series,
        },
    }


def _tick(start: int, time_range: TimeRange) -> str:
    """When a bar begins, as short as the width of the bars allows."""
    if time_range.interval < timedelta(minutes=1):
        form = _CLOCK
    elif time_range.interval < timedelta(hours=1) and time_range.end - time_range.start < timedelta(days=1):
        form = _MINUTE
    else:
        form = _DAY_MINUTE if time_range.interval < timedelta(hours=12) else _DAY
    begin = max(start, to_milliseconds(FIRST_DAY))  # the first bar of such a range begins before any calendar
    return timezone.localtime(from_milliseconds(str(begin))).strftime(form)


def _bar_time(start: int, time_range: TimeRange, text: Callable[[int], str]) -> str:
    """From when to when a bar counts: the first and the last are cut off where the range begins and ends."""
    begin = max(start, to_milliseconds(time_range.start))
    end = min(start + time_range.interval // timedelta(milliseconds=1), to_milliseconds(time_range.end))
    return f"{text(begin)} – {text(end)}"


PANEL = Panel(
    "events-over-time",
    _("Events over time"),
    "statistics/chart.html",
    read,
    URL,
    server="elasticsearch",
    query=KEYS,
    script="console/statistics/chart.js",
)
