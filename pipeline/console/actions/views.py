"""The page of what operators did: the console's log, to be read."""

from django.http import HttpRequest, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from pipeline.conf import console_settings
from pipeline.console.audit import read_log
from pipeline.console.pages import page_response
from pipeline.console.topics.browse import number_of

PAGE = "console:actions"


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """The newest actions, or those that were logged before the one whose number is `before`."""
    try:
        before = number_of(request.GET.get("before", ""), _("Action"))
    except ValueError as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain; charset=utf-8")
    entries, has_older = read_log(before=before, count=console_settings().records)
    return page_response(
        request,
        "actions/index.html",
        page=PAGE,
        title=_("Actions"),
        entries=entries,
        is_newest=before is None,
        older=entries[-1].pk if has_older else None,
    )
