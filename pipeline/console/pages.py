"""The console's pages, in the order of its navigation, and how a page and a panel of it are answered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import get_script_prefix, set_script_prefix
from django.utils import timezone, translation
from django.utils.translation import get_language
from django.utils.translation import gettext_lazy as _

from pipeline.access import AUDIT, VIEW
from pipeline.conf import console_settings
from pipeline.errors import ServerError
from pipeline.live import Question, latest

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


class NotThere(Exception):
    """What a panel is to show does not exist; the text says so to people."""


class Mistake(ValueError):
    """What was typed into a field of the page can't be read; the text says why.

    field: the id of the field, which has a place for the text.
    """

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class Page:
    """An entry of the navigation. url: the name of its address; permission: of those who see the entry."""

    url: str
    title: "_StrPromise"
    permission: str = VIEW


PAGES = (
    Page("admin:events_selectcolorevent_changelist", _("Statistics")),
    Page("console:sinks", _("Sinks")),
    Page("console:topics", _("Topics")),
    Page("console:groups", _("Consumer groups")),
    Page("console:documents", _("Documents")),
    Page("console:files", _("Files")),
    Page("console:dead_letters", _("Dead letters")),
    Page("console:practice", _("Practice")),
    Page("console:actions", _("Actions"), AUDIT),
)


def page_response(
    request: HttpRequest, template: str = "base.html", *, page: str, title: Any, **context: Any
) -> TemplateResponse:
    """A page of the console; its panels are filled by a script.

    template: its file below pipeline/console/, which shows `panels` of the context, one below the other, where it says
    nothing else; page: the `url` of its entry in PAGES.
    """
    return TemplateResponse(
        request,
        f"console/{template}",
        {
            **admin.site.each_context(request),
            "title": title,
            "current_page": page,
            "refresh_seconds": console_settings().refresh_seconds,
            "time_zone": timezone.get_current_timezone_name(),
            **context,
        },
    )


def panel_response(
    request: HttpRequest,
    template: str,
    read: Callable[[], Mapping[str, Any]],
    *,
    data: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {},
) -> JsonResponse:
    """A panel as JSON: `html`, made by the template from what `read` gives, and what `data` takes from it.

    A server that can't be read, and a thing that is not there, are answers, too: status 200 with `error`. ValueError is
    a mistake in the query; a Mistake is shown once, at its field, whatever number of panels it keeps empty.
    """
    answer, status = own_answer(request, template, read, data)
    return JsonResponse(answer, status=status)


def own_answer(
    request: HttpRequest,
    template: str,
    read: Callable[[], Mapping[str, Any]],
    data: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {},
) -> tuple[dict[str, Any], int]:
    """The same as data, and its status. `late` in what was read: the page shows it, and asks again soon."""
    try:
        context = read()
    except ServerError as error:
        return error.answer(), 200
    except NotThere as error:
        return ServerError("", str(error)).answer(), 200
    except Mistake as error:
        html = render_to_string("console/mistaken.html", {}, request)
        return {"html": html, "mistake": {"field": error.field, "text": str(error)}}, 400
    except ValueError as error:
        return ServerError("", str(error)).answer(), 400
    late = {"late": True} if context.get("late") else {}
    return {"html": render_to_string(f"console/{template}", dict(context), request), **late, **data(context)}, 200


def shared_panel(
    request: HttpRequest, template: str, read: Callable[[], Mapping[str, Any]], *, server: str
) -> JsonResponse:
    """A panel that pages ask for every few seconds, and that shows the same to all: they share one read of the server.

    `late` where the server is still being asked: the page asks again soon. server: whose threads read.
    """
    language, prefix = get_language(), get_script_prefix()

    def panel() -> dict[str, Any]:
        set_script_prefix(prefix)  # of links; it belongs to a thread
        with translation.override(language):
            return {"html": render_to_string(f"console/{template}", dict(read()))}

    answer = latest({template: Question((request.get_full_path(), language), server, panel)})[template]
    return JsonResponse(answer or {"late": True})
