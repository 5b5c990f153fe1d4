"""The users with the most events."""

from dataclasses import asdict
from typing import Any

from django.utils.translation import gettext_lazy as _

from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.panels.panel import Panel
from pipeline.time_range import TimeRange


def read(time_range: TimeRange) -> dict[str, Any]:
    """The top users, how many there are, and the total that their shares refer to."""
    conf = console_settings()
    return asdict(statistics.top_users(time_range, top=conf.top, timeout=conf.elasticsearch_timeout_seconds))


PANEL = Panel("top-users", _("Top users"), read)
