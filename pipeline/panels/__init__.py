"""The panels of the statistics page, in their order; a new one is a module here, a line below and a script."""

from collections.abc import Mapping

from pipeline.panels import events_over_time, newest, top_browsers, top_users, topics
from pipeline.panels.panel import Panel

PANELS: Mapping[str, Panel] = {
    module.PANEL.id: module.PANEL for module in (events_over_time, top_users, top_browsers, newest, topics)
}
