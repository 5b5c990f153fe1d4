"""The panels of the main page; a new one is a module here, a line below and a script."""

from collections.abc import Mapping

from pipeline.panels import events_over_time, newest, services, top_browsers, top_users, topics
from pipeline.panels.panel import Panel

_MODULES = (events_over_time, top_users, top_browsers, newest, topics)

PANELS: Mapping[str, Panel] = {panel.id: panel for panel in (*(module.PANEL for module in _MODULES), *services.PANELS)}
"""Those that are read from servers; the table of sinks is made of the database's word (pipeline.panels.sinks)."""
