"""The console's pages, in the order of its navigation, and how a page and a panel of it are answered."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib import admin
from django.http import Http404, HttpRequest
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from connectors.access import VIEW as CONNECTORS
from pipeline.access import AUDIT, VIEW
from pipeline.conf import console_settings
from pipeline.errors import ServerError

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    from pipeline.console.panels import Section

T = TypeVar("T")


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
    """An entry of the navigation. permission: of those who see the entry.

    url: the name of its address; the pages whose addresses begin with this one belong to the entry.
    """

    url: str
    title: "_StrPromise"
    permission: str = VIEW


PAGES = (
    Page("admin:events_selectcolorevent_changelist", _("Statistics")),
    Page("console:sinks", _("Sinks")),
    Page("console:sources", _("Sources")),
    Page("console:connectors", _("Connectors"), CONNECTORS),
    Page("console:topics", _("Topics")),
    Page("console:groups", _("Consumer groups")),
    Page("console:documents", _("Documents")),
    Page("console:files", _("Files")),
    Page("console:dead_letters", _("Dead letters")),
    Page("console:practice", _("Practice")),
    Page("console:actions", _("Actions"), AUDIT),
)


def link(page: str, /, *args: Any, **query: Any) -> str:
    """The address of a page of the console, by the name and the parts of its path, with a query."""
    return reverse(f"console:{page}", args=args, query=query or None)


def named(entries: Mapping[str, T], name: str) -> T:
    """The entry that an address names. Raises Http404 where there is none of this name."""
    if name not in entries:
        raise Http404(f"nothing here is named {name}")
    return entries[name]


def page_response(
    request: HttpRequest, template: str = "base.html", *, title: Any, panels: "Iterable[Section]" = (), **context: Any
) -> TemplateResponse:
    """A page of the console; its panels are filled by a script.

    template: its file below pipeline/console/, which shows the panels, one below the other, where it says nothing else;
    panels: those that the reader may not see are left out.
    """
    return TemplateResponse(
        request,
        f"console/{template}",
        {
            **admin.site.each_context(request),
            "title": title,
            "refresh_seconds": console_settings().refresh_seconds,
            "time_zone": timezone.get_current_timezone_name(),
            "panels": [one for one in panels if request.user.has_perm(one.panel.permission)],
            **context,
        },
    )


def own_answer(
    request: HttpRequest, template: str, read: Callable[[], Mapping[str, Any]]
) -> tuple[dict[str, Any], int]:
    """A panel as data, and its status: `html`, made by the template from what `read` gives; and `more` of that.

    A server that can't be read, and a thing that is not there, are answers, too: status 200 with `error`. ValueError is
    a mistake in the query; a Mistake is shown once, at its field, whatever number of panels it keeps empty.
    """
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
    return {"html": render_to_string(f"console/{template}", dict(context), request), **context.get("more", {})}, 200
