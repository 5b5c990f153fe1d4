"""The pages of dead letters: by reason, one reason's letters, one letter, replaying and discarding them."""

from typing import Any

from django.contrib import messages as notes
from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from events.shortening import shortened
from pipeline.access import REPLAY
from pipeline.conf import console_settings
from pipeline.console.audit import audited, log_read
from pipeline.console.dead_letters import letters
from pipeline.console.models import ActionKind
from pipeline.console.pages import link, named, page_response
from pipeline.console.panels import panel, section
from pipeline.console.payload import one_line, payload
from pipeline.console.topics.browse import number_of
from pipeline.errors import ServerError
from sinks.config import SinkConfig
from sinks.dead_letters.log import Place, example_of
from sinks.records import Partition
from sinks.registry import sinks

_IN_LIST = 300
_IN_TITLE = 120
_SELECTED = 1_000


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """A panel for each sink."""
    panels = [section(reasons_panel, id=f"letters-{name}", title=name, sink=name) for name in sinks()]
    return page_response(request, title=_("Dead letters"), panels=panels)


@panel("reasons", gettext_lazy("Reason"), "dead_letters/reasons.html", "console:reasons_panel", is_live=False)
def reasons_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """The dead letters of a sink by topic and reason."""
    config = named(sinks(), sink)
    found = letters.read_letters(config)
    rows = [
        (reason, link("letters", sink, **_which(reason.topic, reason.example))) for reason in letters.reasons(found)
    ]
    return {
        "rows": rows,
        "total": len(found.found),
        "unreadable": found.unreadable,
        "is_complete": found.is_complete,
        "sink": config,
    }


@require_GET
def reason(request: HttpRequest, sink: str) -> HttpResponseBase:
    """The page of one reason's letters."""
    config = named(sinks(), sink)
    topic, reason = request.GET.get("topic", ""), request.GET.get("reason")
    query = {**_which(topic, reason), "page": request.GET.get("page", "")}
    title = _("All dead letters") if reason is None else shortened(reason, _IN_TITLE)
    return page_response(
        request,
        "dead_letters/reason.html",
        title=title or _("No reason"),
        sink=config,
        panels=[section(letters_panel, query, title=sink, sink=sink)],
    )


@panel("letters", gettext_lazy("Dead letters"), "dead_letters/letters.html", "console:letters_panel", is_live=False)
def letters_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """One reason's letters, to be chosen."""
    config = named(sinks(), sink)
    topic, reason = request.GET.get("topic", ""), request.GET.get("reason")
    page = number_of(request.GET.get("page", ""), _("Page")) or 0
    count = console_settings().records
    log_read(request, f"dead letters of {config.name}", f"topic {topic or '*'}, page {page}")
    found = letters.read_letters(config)
    fitting = letters.chosen(found, topic=topic, reason=reason)[::-1]
    shown = fitting[page * count : (page + 1) * count]
    has_older = len(fitting) > (page + 1) * count
    return {
        "sink": config,
        "topic": topic,
        "reason": reason,
        "total": len(fitting),
        "rows": [(one, *one.origin, one_line(one.record.value, limit=_IN_LIST)) for one in shown],
        "older": link("letters", sink, **_which(topic, reason), page=page + 1) if has_older else None,
        "is_complete": found.is_complete,
        "may_replay": request.user.has_perm(REPLAY),
        "can_store": letters.can_store(config),
    }


@require_GET
def letter(request: HttpRequest, sink: str, topic: str, partition: int, offset: int) -> HttpResponseBase:
    """A letter's page."""
    config = named(sinks(), sink)
    return page_response(
        request,
        "dead_letters/letter.html",
        title=f"{topic}-{partition}-{offset}",
        sink=config,
        panels=[section(letter_panel, sink=sink, topic=topic, partition=partition, offset=offset)],
    )


@panel("letter", gettext_lazy("Dead letter"), "dead_letters/bytes.html", "console:letter_panel", is_live=False)
def letter_panel(request: HttpRequest, sink: str, topic: str, partition: int, offset: int) -> dict[str, Any]:
    """A letter: its reason, its origin and its bytes."""
    config = named(sinks(), sink)
    limit = console_settings().preview_bytes
    origin = (Partition(topic, partition), offset)
    log_read(request, f"dead letters of {config.name}", f"{topic}-{partition}-{offset}")
    found = letters.read_letters(config).found.get(origin)
    if found is None:
        return {"letter": None}
    return {
        "letter": found,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "cluster": config.kafka,
        "key": payload(found.record.key, limit=limit),
        "value": payload(found.record.value, limit=limit),
        "headers": [(name, one_line(value, limit=2000)) for name, value in found.record.headers or ()],
    }


@require_POST
def act(request: HttpRequest, sink: str) -> HttpResponseBase:
    """Replays, lets the sink store, or discards: the selected letters, or all of a topic and reason; asks before."""
    config = named(sinks(), sink)
    action, topic, reason = request.POST.get("action", ""), request.POST.get("topic", ""), request.POST.get("reason")
    is_all = request.POST.get("scope") == "all"
    try:
        origins = None if is_all else _origins(request.POST.getlist("letter"))
    except ValueError as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain; charset=utf-8")
    if action not in ("replay", "store", "discard") or (action == "store" and not letters.can_store(config)):
        return HttpResponseBadRequest("action", content_type="text/plain")
    back = link("letters", sink, **_which(topic, reason))
    if origins is not None and not origins:
        notes.warning(request, _("No dead letter was selected."))
        return HttpResponseRedirect(back)
    try:
        if request.POST.get("confirmed") == "yes":
            return _do(request, config, action, topic, reason, origins)
        found = letters.chosen(letters.read_letters(config), topic=topic, reason=reason, origins=origins)
    except ServerError as error:
        notes.error(request, str(error))
        return HttpResponseRedirect(back)
    said = len(found)
    if action != "discard":
        found = letters.own(config, found)
    topics = {one.origin[0].topic for one in found}
    titles = {
        "replay": _("Replay dead letters?"),
        "store": _("Store dead letters?"),
        "discard": _("Discard dead letters?"),
    }
    return page_response(
        request,
        "dead_letters/confirm.html",
        title=titles[action],
        sink=config,
        action=action,
        topic=topic,
        reason=reason,
        scope="all" if is_all else "selected",
        selected=request.POST.getlist("letter") if not is_all else [],
        count=len(found),
        foreign=said - len(found),
        topics=sorted(topics),
        readers=[one.name for one in sinks().values() if topics & set(one.topics)],
        back=back,
    )


def _do(
    request: HttpRequest, config: SinkConfig, action: str, topic: str, reason: str | None, origins: set[Place] | None
) -> HttpResponseBase:
    reasons = "*" if reason is None else f"like {example_of(reason)}" if example_of(reason) else "none"
    which = f"all of topic {topic or '*'}, reason {reasons}" if origins is None else f"{len(origins)} selected"
    with audited(request, ActionKind.REPLAY, f"dead letters of {config.name}", f"{action} {which}") as logged:
        if action != "discard":
            again = letters.replay if action == "replay" else letters.store_again
            replayed = again(config, topic=topic, reason=reason, origins=origins)
            done = replayed.done
            if action == "replay":
                text = ngettext("{n} dead letter was replayed.", "{n} dead letters were replayed.", done)
            else:
                text = ngettext("{n} dead letter was stored.", "{n} dead letters were stored.", done)
            notes.success(request, text.format(n=done))
            if replayed.too_large:
                text = ngettext(
                    "{n} was too large for the dead-letter topic and can’t be replayed.",
                    "{n} were too large for the dead-letter topic and can’t be replayed.",
                    replayed.too_large,
                )
                notes.warning(request, text.format(n=replayed.too_large))
            if replayed.keyed:
                text = ngettext(
                    "{n} has a key, of which it would become the newest record; use the command {command}.",
                    "{n} have a key, of which they would become the newest record; use the command {command}.",
                    replayed.keyed,
                )
                command = f"manage.py replay_dlq --sink {config.name} --keyed"
                notes.warning(request, text.format(n=replayed.keyed, command=command))
            if replayed.foreign:
                text = ngettext(
                    "{n} is said to come from a topic that this sink does not read: it is left alone.",
                    "{n} are said to come from topics that this sink does not read: they are left alone.",
                    replayed.foreign,
                )
                notes.warning(request, text.format(n=replayed.foreign))
            if replayed.refused:
                text = ngettext("{n} is still refused: {reason}", "{n} are still refused: {reason}", replayed.refused)
                notes.warning(request, text.format(n=replayed.refused, reason=shortened(replayed.reason, _IN_LIST)))
        else:
            done = letters.discard(config, topic=topic, reason=reason, origins=origins)
            text = ngettext("{n} dead letter was discarded.", "{n} dead letters were discarded.", done)
            notes.success(request, text.format(n=done))
        logged.done(f"{done} done")
    return HttpResponseRedirect(link("dead_letters"))


def _which(topic: str, reason: str | None) -> dict[str, str]:
    """The query of a page of letters; a reason of None is that of all."""
    return {"topic": topic} if reason is None else {"topic": topic, "reason": reason}


def _origins(ids: list[str]) -> set[Place]:
    """The origins of a form's checkboxes. Raises ValueError."""
    if len(ids) > _SELECTED:
        raise ValueError(f"more than {_SELECTED} letters")
    origins = set()
    for id in ids:
        topic, _slash, place = id.partition("/")
        partition, offset = (number_of(part, "letter") for part in (*place.split("/"), "", "")[:2])
        if partition is None or offset is None:
            raise ValueError(f"letter {id!r}")
        origins.add((Partition(topic, partition), offset))
    return origins


def _subject(config: SinkConfig) -> str:
    """What the log calls a sink's dead letters."""
    return f"dead letters of {config.name}"
