"""The page of the sources, and the page of one of them."""

from typing import Any

import msgspec
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipeline.conf import console_settings
from pipeline.console.pages import named, page_response
from pipeline.console.panels import panel, section
from pipeline.console.sources.heard import read_sources
from sources.build import source_positions
from sources.registry import kind_of, sources


def index(request: HttpRequest) -> HttpResponseBase:
    """All sources at a glance."""
    return page_response(request, title=_("Sources"), panels=[section(overview_panel)])


def source(request: HttpRequest, name: str) -> HttpResponseBase:
    """A source's page."""
    config = named(sources(), name)
    facts = {
        "kind": kind_of(config).title,
        "reads": kind_of(config).described(config),
        "positions": config.positions_topic,
        "group": source_positions(config).group,
    }
    panels = [section(state_panel, name=name), section(parts_panel, name=name)]
    return page_response(request, "sources/source.html", title=name, facts=facts, panels=panels)


@panel("sources-overview", gettext_lazy("All sources"), "sources/overview.html", "console:sources_overview")
def overview_panel(_request: HttpRequest) -> dict[str, Any]:
    """A row for each configured source."""
    return {"sources": read_sources(sources().values())}


@panel("source-state", gettext_lazy("State"), "sources/state.html", "console:source_state")
def state_panel(_request: HttpRequest, name: str) -> dict[str, Any]:
    """A source's state, processes and errors."""
    config = named(sources(), name)
    return {"source": read_sources([config])[0], "command": f"python manage.py run_source --source {name}"}


@panel("source-parts", gettext_lazy("Parts"), "sources/parts.html", "console:source_parts")
def parts_panel(_request: HttpRequest, name: str) -> dict[str, Any]:
    """A source's parts with their positions."""
    heard = read_sources([named(sources(), name)])[0]
    shown = heard.parts[: console_settings().partitions]
    rows = [
        {"host": host, "part": part, "position": part.position and msgspec.json.encode(part.position).decode()}
        for host, part in shown
    ]
    return {"rows": rows, "left_out": heard.part_count - len(shown)}
