"""The page of what operators did and read: the console's log, to be searched."""

from collections.abc import Mapping
from urllib.parse import urlencode

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseBadRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from pipeline.conf import console_settings
from pipeline.console.audit import kept_entries
from pipeline.console.models import ActionKind, AuditEntry
from pipeline.console.pages import page_response
from pipeline.console.topics.browse import number_of
from pipeline.time_range import moment_of

_FIELDS = ("user", "kind", "text", "from", "to")


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """The newest entries that fit, or those that were logged before the one whose number is `before`."""
    given = {name: value for name in _FIELDS if (value := request.GET.get(name, "").replace("\0", "").strip())}
    try:
        before = number_of(request.GET.get("before", ""), _("Action"))
        fitting = _fitting(given).filter(**{} if before is None else {"pk__lt": before})
    except ValueError as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain; charset=utf-8")
    count = console_settings().records
    found = list(fitting[: count + 1])
    entries = found[:count]
    return page_response(
        request,
        "actions/index.html",
        title=_("Actions"),
        entries=entries,
        days=console_settings().audit_days,
        query=given,
        kinds=ActionKind.choices,
        newest=None if before is None else urlencode(given),
        older=urlencode({**given, "before": entries[-1].pk}) if len(found) > count else None,
    )


def _fitting(given: Mapping[str, str]) -> QuerySet[AuditEntry]:
    """The entries that fit a query: all that stands in it. Raises ValueError saying what is wrong with it."""
    kind, words = given.get("kind"), given.get("text", "")
    if kind and kind not in ActionKind.values:
        raise ValueError(_("“kind” must be one of {names}.").format(names=", ".join(ActionKind.values)))
    wanted = {
        "user__icontains": given.get("user"),
        "kind": kind,
        "at__gte": moment_of(given["from"]) if "from" in given else None,
        "at__lt": moment_of(given["to"]) if "to" in given else None,
    }
    fitting = kept_entries().filter(**{field: value for field, value in wanted.items() if value})
    has_words = Q(subject__icontains=words) | Q(what__icontains=words) | Q(outcome__icontains=words)
    return fitting.filter(has_words) if words else fitting
