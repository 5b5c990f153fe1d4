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
from pipeline.console.sinks.views import OVERVIEW
from pipeline.console.statistics import chart, dead_letters, newest, servers, top, topics
from pipeline.console.statistics.choice import URL, choice_of
from pipeline.errors import ServerError
from pipeline.statistics import EVENT, stored_kinds
from pipeline.time_range import SPANS

PAGE = "admin:events_selectcolorevent_changelist"

_SINKS = replace(OVERVIEW, id="sinks", title=_("Sinks"), url=URL)


def panels_of(event: str) -> Mapping[str, Panel]:
    """The panels for a kind of event, by id; choices of a colour have some of their own."""
    own = (top.USERS, top.BROWSERS, newest.CHOICES) if event == EVENT else (top.VALUES, newest.OF_KIND)
    every = (chart.PANEL, *own, _SINKS, topics.PANEL, dead_letters.PANEL, *servers.PANELS)
    return {panel.id: panel for panel in every}


@require_GET
def page(request: HttpRequest) -> HttpResponseBase:
    """The main page; a time range that can't be understood is left out."""
    choice = choice_of(request.GET.dict())
    try:
        choice.time_range()
    except ValueError:
        choice = replace(choice, range={})
    shown = permitted(request, panels_of(choice.event).values())
    return page_response(
        request,
        "statistics/page.html",
        page=PAGE,
        title=translated("Event statistics"),
        sections={panel.id: section(panel, choice.query()) for panel in shown},
        servers=[panel.id for panel in servers.PANELS],
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
