"""The browsers with the most events, as far as user agents were read."""

from dataclasses import asdict
from typing import Any

from django.utils.translation import gettext_lazy as _

from pipeline import statistics
from pipeline.conf import console_settings
from pipeline.panels.panel import Panel
from pipeline.time_range import TimeRange


def read(time_range: TimeRange) -> dict[str, Any]:
    """The top browsers, and how many user agents and events they were counted from."""
    conf = console_settings()
    return asdict(
        statistics.top_browsers(
            time_range, top=conf.top, agents=conf.user_agents, timeout=conf.elasticsearch_timeout_seconds
        )
    )


PANEL = Panel("top-browsers", _("Top browsers"), read)
