"""The page of what operators did and read: the console's log, to be searched."""

from collections.abc import Mapping
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from pipeline.conf import console_settings
from pipeline.console.audit import LogQuery, read_log
from pipeline.console.models import ActionKind
from pipeline.console.pages import page_response
from pipeline.console.topics.browse import number_of
from pipeline.time_range import moment_of

PAGE = "console:actions"
_FIELDS = ("user", "kind", "text", "from", "to")


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """The newest entries that fit, or those that were logged before the one whose number is `before`."""
    given = {name: value for name in _FIELDS if (value := request.GET.get(name, "").replace("\0", "").strip())}
    try:
        query = _parse({**given, "before": request.GET.get("before", "")})
    except ValueError as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain; charset=utf-8")
    entries, has_older = read_log(query, count=console_settings().records)
    return page_response(
        request,
        "actions/index.html",
        page=PAGE,
        title=_("Actions"),
        entries=entries,
        days=console_settings().audit_days,
        query=given,
        kinds=ActionKind.choices,
        newest=None if query.before is None else urlencode(given),
        older=urlencode({**given, "before": entries[-1].pk}) if has_older else None,
    )


def _parse(given: Mapping[str, str]) -> LogQuery:
    """The query of the page's address. Raises ValueError saying what is wrong with it."""
    kind = given.get("kind", "")
    if kind and kind not in ActionKind.values:
        raise ValueError(_("“kind” must be one of {names}.").format(names=", ".join(ActionKind.values)))
    return LogQuery(
        user=given.get("user", ""),
        kind=kind,
        text=given.get("text", ""),
        since=moment_of(given["from"]) if "from" in given else None,
        until=moment_of(given["to"]) if "to" in given else None,
        before=number_of(given["before"], _("Action")),
    )
