"""The most frequent users, browsers and systems, or values of any kind of event."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as translated
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.console.panels import Panel
from pipeline.console.statistics.choice import KEYS, URL, Choice, choice_of

_TEMPLATE = "statistics/top.html"


def read_users(query: Mapping[str, str]) -> dict[str, Any]:
    """The users with the most events."""
    total, (found,) = _top(choice_of(query), ["userName"])
    if found.different > len(found.top):
        note = translated("{n} users in all; the top {top} are shown.").format(
            n=f"{found.different:,}", top=len(found.top)
        )
    else:
        note = ngettext("{n} user in all.", "{n} users in all.", found.different).format(n=f"{found.different:,}")
    return {"tables": [_table(translated("User"), found.top, total, note)]}


def read_browsers(query: Mapping[str, str]) -> dict[str, Any]:
    """The browsers and systems with the most events, and how many user agents and events they were counted from."""
    conf = console_settings()
    found = statistics.top_browsers(choice_of(query).time_range(), top=conf.top, agents=conf.user_agents)
    if found.agents > found.agents_read or found.events_read < found.total:
        note = translated("Read from the most frequent user agents, {read} of about {n}; events: {events} of {total}.")
    else:
        note = ngettext("Read from {n} user agent.", "Read from {n} different user agents.", found.agents)
    numbers = {"n": found.agents, "read": found.agents_read, "events": found.events_read, "total": found.total}
    note = note.format(**{name: f"{number:,}" for name, number in numbers.items()})
    return {
        "tables": [
            _table(translated("Browser"), [(one.name, one.count) for one in found.browsers], found.total, note),
            _table(translated("System"), [(one.name, one.count) for one in found.systems], found.total),
        ]
    }


def read_values(query: Mapping[str, str]) -> dict[str, Any]:
    """The most frequent values of each text of the kind."""
    choice = choice_of(query)
    total, fields = _top(choice, statistics.text_fields(choice.event))
    note = translated("Different values: {n}.")
    tables = [_table(one.field, one.top, total, note.format(n=f"{one.different:,}")) for one in fields if one.top]
    return {"tables": tables or [_table("", [], 0)]}


def _top(choice: Choice, fields: Sequence[str]) -> tuple[int, list[statistics.TopValues]]:
    return statistics.top_values(choice.time_range(), event=choice.event, fields=fields, top=console_settings().top)


def _table(label: str, rows: Sequence[tuple[str | None, int]], total: int, note: str = "") -> dict[str, Any]:
    """A table of names and counts; a name of None is an unknown one."""
    most = max((count for _name, count in rows), default=0)
    return {"label": label, "rows": rows, "total": total, "most": most, "note": note}


USERS = Panel("top-users", _("Top users"), _TEMPLATE, read_users, URL, server="elasticsearch", query=KEYS)
BROWSERS = Panel(
    "top-browsers", _("Top browsers and systems"), _TEMPLATE, read_browsers, URL, server="elasticsearch", query=KEYS
)
VALUES = Panel("top-values", _("Top values"), _TEMPLATE, read_values, URL, server="elasticsearch", query=KEYS)
