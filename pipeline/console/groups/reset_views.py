"""The page that resets a consumer group: the form, the dry run, and doing what it showed."""

from typing import Any

from django.contrib import messages as notes
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from pipeline.conf import console_settings
from pipeline.console.audit import audited
from pipeline.console.by_cluster import check_cluster
from pipeline.console.groups import reset
from pipeline.console.groups.reset import Plan, Refused
from pipeline.console.groups.views import sinks_of_groups, title_of
from pipeline.console.models import ActionKind
from pipeline.console.pages import NotThere, link, page_response
from pipeline.errors import ServerError

_FIELDS = ("to", "topic", "partition", "offset", "time", "shift")
_LOGGED = 20
"""Partitions that an entry of the log names."""


@require_http_methods(["GET", "POST"])
def reset_view(request: HttpRequest, cluster: str) -> HttpResponseBase:
    """Shows the form and the dry run (GET), then does what it showed (POST)."""
    check_cluster(cluster)
    name = request.GET.get("name", "")
    given = {field: text for field in _FIELDS if (text := request.GET.get(field, "").strip())}
    if request.method == "POST" and not sinks_of_groups(cluster).get(name):
        return _do(request, cluster, name, given)
    return _page(request, cluster, name, given)


def _page(request: HttpRequest, cluster: str, name: str, given: dict[str, str]) -> HttpResponseBase:
    owners = sinks_of_groups(cluster).get(name, ())
    found: Plan | None = None
    refusal = ""
    if given.get("to") and not owners:
        try:
            found = reset.plan(cluster, name, reset.parse(given))
        except (Refused, NotThere, ServerError, ValueError) as error:
            refusal = str(error)
    return page_response(
        request,
        "groups/reset.html",
        title=title_of(name),
        group=name,
        sinks=owners,
        back=link("group", cluster, name=name),
        given=given,
        targets=_targets(given.get("to", "earliest")),
        refusal=refusal,
        plan=found,
        moves=found.moves[: console_settings().partitions] if found else [],
        left=max(0, len(found.moves) - console_settings().partitions) if found else 0,
        sealed=reset.seal(cluster, name, found) if found else "",
        action=link("group_reset", cluster, name=name, **given),
    )


def _do(request: HttpRequest, cluster: str, name: str, given: dict[str, str]) -> HttpResponseBase:
    back = link("group", cluster, name=name)
    try:
        shown = reset.unseal(cluster, name, request.POST.get("plan", ""))
        with audited(request, ActionKind.RESET, f"group {name} ({cluster})", _logged(given, shown)) as log:
            errors = reset.carry_out(cluster, name, shown)
            log.done(f"{len(shown.done) - len(errors)} partitions; refused: {errors}" if errors else "done")
    except (Refused, ServerError) as error:
        notes.error(request, str(error))
        is_over = isinstance(error, Refused) and not error.may_look_again
        return HttpResponseRedirect(back if is_over else link("group_reset", cluster, name=name, **given))
    for error_text in errors:
        notes.error(request, _("Kafka refused {what}").format(what=error_text))
    if len(errors) < len(shown.done):
        notes.success(request, _("The group’s offsets were reset."))
    return HttpResponseRedirect(back)


def _logged(given: dict[str, str], shown: Plan) -> str:
    """What the log says of it."""
    moves = [f"{move.topic}-{move.partition} {move.before} -> {move.after}" for move in shown.done]
    more = f", and {len(moves) - _LOGGED} more" if len(moves) > _LOGGED else ""
    wish = " ".join(f"{field}={text}" for field, text in given.items())
    return f"reset {wish}: {', '.join(moves[:_LOGGED])}{more}"


def _targets(chosen: str) -> list[tuple[str, Any, bool]]:
    labels = {
        "earliest": _("To the first offset"),
        "latest": _("To the end"),
        "offset": _("To an offset"),
        "time": _("To a time"),
        "shift": _("By a number of records"),
    }
    return [(target, labels[target], target == chosen) for target in reset.TARGETS]
