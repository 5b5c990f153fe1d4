"""The panels of the main page; a new one is a module here, a line below and a script."""

from collections.abc import Mapping

from pipeline.panels import dead_letters, events_over_time, kinds, newest, services, top_browsers, top_users, topics
from pipeline.panels.panel import Panel
from pipeline.statistics import EVENT

_OF_CHOICES = (top_users.PANEL, top_browsers.PANEL, newest.PANEL)
_OF_THE_PIPELINE = (topics.PANEL, dead_letters.PANEL, *services.PANELS)


def panels_of(event: str, field: str) -> Mapping[str, Panel]:
    """The panels that are read from servers, for a kind of event: choices of a colour have some of their own.

    field: by whose values the chart is stacked.
    The table of sinks is made of the database's word (pipeline.panels.sinks).
    """
    own = _OF_CHOICES if event == EVENT else kinds.panels(event)
    return {panel.id: panel for panel in (events_over_time.panel(event, field), *own, *_OF_THE_PIPELINE)}
