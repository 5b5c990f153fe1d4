"""The one contract of all pages: a panel reads within bounds, and a template shows what it read."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import get_script_prefix, reverse, set_script_prefix
from django.utils import timezone, translation
from django.utils.translation import get_language
from django.views.decorators.http import require_GET

from pipeline.access import VIEW
from pipeline.conf import console_settings
from pipeline.console.pages import own_answer
from pipeline.live import Answer, Question, live_reads

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


@dataclass(frozen=True)
class Panel:
    """A part of a page with data of its own.

    template: its file below pipeline/console/, which shows what `read` returns. url: the name of the address that
    answers the panel.

    server: the server that is read, which names the threads that read it; or a function that tells it by the names of
    the address's path, and raises Http404 for those that lead nowhere. All readers share one answer, so `read` gets
    what the answer may depend on, and no more: the values of the keys `query` in the address, and those names.

    Without a server, `read` gets the request, on the request's own thread; for what the database says, and what differs
    by user. What it returns as `more` goes to the script, such as `late`: ask again soon, this is not all.

    permission: who has it gets the panel; is_live: it is read again every few seconds while it is seen; script: the
    static file of a module that draws something in it.
    """

    id: str
    title: "_StrPromise | str"
    template: str
    read: Callable[..., Mapping[str, Any]]
    url: str
    server: str | Callable[..., str] = ""
    query: tuple[str, ...] = ()
    permission: str = VIEW
    is_live: bool = True
    script: str = ""


def panel(
    id: str, title: "_StrPromise | str", template: str, url: str, **options: Any
) -> Callable[[Callable[..., Mapping[str, Any]]], Panel]:
    """Makes a panel of the function below it, which is its `read`; options: further fields of Panel."""
    return lambda read: Panel(id, title, template, read, url, **options)


class Section(NamedTuple):
    """A panel's place on a page. id, title: the panel's own, or others; url: where its content comes from."""

    panel: Panel
    id: str
    title: "_StrPromise | str"
    url: str


def section(
    panel: Panel, query: Mapping[str, str] | None = None, *, id: str = "", title: str = "", **names: Any
) -> Section:
    """The place of a panel whose address has these names in its path and this query."""
    url = reverse(panel.url, kwargs=names)
    return Section(panel, id or panel.id, title or panel.title, f"{url}?{urlencode(query)}" if query else url)


def permitted(request: HttpRequest, panels: Iterable[Panel]) -> list[Panel]:
    """The panels that the reader may see."""
    return [panel for panel in panels if request.user.has_perm(panel.permission)]


def panel_view(panel: Panel) -> Callable[..., HttpResponseBase]:
    """The address of one panel: `html`, `error`, or `late` while its server is being asked."""

    def view(request: HttpRequest, **names: Any) -> JsonResponse:
        if not permitted(request, [panel]):
            raise PermissionDenied
        if panel.server:
            return JsonResponse(answers(request, [panel], **names)[panel.id] or {"late": True})
        answer, status = own_answer(request, panel.template, partial(panel.read, request, **names))
        return JsonResponse(answer, status=status)

    return require_GET(view)


def answers(request: HttpRequest, panels: Iterable[Panel], **names: Any) -> dict[str, Answer | None]:
    """By id what each panel shows: `html`, or `error` of its server; None while its server is still being asked.

    No panel waits for another one's server, and all together take `wait_seconds` at most, and what the database takes.
    """
    panels = list(panels)
    questions = {panel.id: _question(panel, request, names) for panel in panels if panel.server}
    alone = [panel for panel in panels if not panel.server]
    give_up_at = time.monotonic() + console_settings().wait_seconds
    if alone:
        live_reads().begin(questions.values())  # servers are asked while the others are read
    own = {panel.id: own_answer(request, panel.template, partial(panel.read, request, **names))[0] for panel in alone}
    left = max(0.0, give_up_at - time.monotonic())
    return {**own, **live_reads().answers(questions, wait_seconds=left, or_before=True)}


def _question(panel: Panel, request: HttpRequest, names: Mapping[str, Any]) -> Question:
    """What the panel reads; its key has all that the answer depends on."""
    query = {key: request.GET[key] for key in panel.query if key in request.GET}
    language, zone, prefix = get_language(), timezone.get_current_timezone_name(), get_script_prefix()

    def read() -> Answer:
        set_script_prefix(prefix)  # of links; it belongs to a thread
        with translation.override(language), timezone.override(zone):
            return {"html": render_to_string(f"console/{panel.template}", dict(panel.read(query, **names)))}

    key = (panel.url, panel.id, tuple(sorted(names.items())), tuple(query.items()), language, zone, prefix)
    return Question(key, panel.server if isinstance(panel.server, str) else panel.server(**names), read)
