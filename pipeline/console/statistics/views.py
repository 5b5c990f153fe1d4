"""The main page, and the one address of all its panels."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as translated
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from pipeline.console.pages import page_response
from pipeline.console.panels import Panel, answers, permitted, section
from pipeline.console.sinks.views import overview_panel
from pipeline.console.statistics import chart, dead_letters, newest, servers, top, topics
from pipeline.console.statistics.choice import URL, choice_of
from pipeline.errors import ServerError
from pipeline.statistics import EVENT, stored_kinds
from pipeline.time_range import SPANS

CHOICES = (top.USERS, top.BROWSERS, newest.CHOICES)
"""The panels of choices of a colour."""

KINDS = (top.VALUES, newest.OF_KIND)
"""Those of any other kind of event."""

PIPELINE = (
    replace(overview_panel, id="sinks", title=_("Sinks"), url=URL),
    topics.PANEL,
    dead_letters.PANEL,
    *servers.PANELS,
)
"""Those of the whole pipeline, whatever the kind."""

_COLUMNS = (top.USERS, top.BROWSERS, top.VALUES)
"""Panels that stand beside each other."""

_PLACED = (chart.PANEL, *_COLUMNS, dead_letters.PANEL, *servers.PANELS)
"""Panels that have a place of their own on the page; the others stand below them, in their order."""


def panels_of(event: str) -> Mapping[str, Panel]:
    """The panels for a kind of event, by id."""
    own = CHOICES if event == EVENT else KINDS
    return {panel.id: panel for panel in (chart.PANEL, *own, *PIPELINE)}


@require_GET
def page(request: HttpRequest) -> HttpResponseBase:
    """The main page; a time range that can't be understood is left out."""
    choice = choice_of(request.GET.dict())
    try:
        choice.time_range()
    except ValueError:
        choice = replace(choice, range={})
    panels = [section(panel, choice.query()) for panel in permitted(request, panels_of(choice.event).values())]
    return page_response(
        request,
        "statistics/page.html",
        title=translated("Event statistics"),
        panels=panels,
        sections={one.id: one for one in panels},
        servers=[one for one in panels if one.panel in servers.PANELS],
        columns=[one for one in panels if one.panel in _COLUMNS],
        below=[one for one in panels if one.panel not in _PLACED],
        choice=choice,
        kinds=[(name, name == choice.event) for name in stored_kinds()],
        spans=[
            (urlencode(choice.query(range=key)), span.label, key == choice.span and not choice.is_by_dates)
            for key, span in SPANS.items()
        ],
        now=choice.query(range=choice.span),
    )


@require_GET
def panels(request: HttpRequest) -> JsonResponse:
    """What all panels show, or those named by `panel`, by id; null for what is still being read: ask again soon."""
    choice = choice_of(request.GET.dict())
    known = panels_of(choice.event)
    ids = request.GET.getlist("panel") or list(known)
    if unknown := set(ids) - known.keys():
        raise Http404(f"there is no panel {', '.join(sorted(unknown))}")
    try:
        choice.time_range()
    except ValueError as error:
        return JsonResponse(ServerError("", str(error)).answer(), status=400)
    return JsonResponse(answers(request, permitted(request, [known[id] for id in ids])))
