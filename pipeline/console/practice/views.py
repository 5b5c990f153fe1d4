"""The practice page: the first exercises with Kafka, on a topic of their own."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages as notes
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from events.conf import events_settings
from kafka_client.clusters import kafka_cluster
from pipeline.access import PRODUCE
from pipeline.conf import console_settings
from pipeline.console.audit import audited, log_read
from pipeline.console.models import ActionKind
from pipeline.console.pages import link, page_response
from pipeline.console.panels import panel, section
from pipeline.console.practice import exercises
from pipeline.console.topics import views as topics
from pipeline.console.topics.browse import read_cursor, write_cursor
from pipeline.console.topics.lag import lag_now
from pipeline.console.topics.views import ProduceForm, produce_form, subject_of
from pipeline.errors import ServerError
from pipeline.kafka_reads import server_name

_EXAMPLES = {"text": "hello", "json": '{"colorName":"blue","userName":"kim"}'}


def _cluster() -> str:
    return events_settings().kafka


def _server() -> str:
    return server_name(_cluster())


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """The exercises."""
    return _page(request)


def _page(request: HttpRequest, **given: ProduceForm) -> HttpResponseBase:
    """given: forms with mistakes, by their kinds."""
    forms = {
        kind: ProduceForm(initial={"kind": kind, "value": value}, auto_id=f"{kind}_%s")
        for kind, value in _EXAMPLES.items()
    } | given
    query = {name: request.GET.get(name, "") for name in ("begun", "reached")}
    place: dict[str, Any] = {"cluster": _cluster(), "name": console_settings().practice_topic}
    return page_response(
        request,
        "practice/index.html",
        title=_("Practice"),
        topic=console_settings().practice_topic,
        brokers=kafka_cluster(_cluster())["bootstrap.servers"],
        partitions=exercises.PARTITIONS,
        replication=events_settings().topic_replication,
        text_example=_EXAMPLES["text"],
        json_example=_EXAMPLES["json"],
        group=exercises.GROUP,
        at_a_time=exercises.AT_A_TIME,
        text_form=forms["text"],
        json_form=forms["json"],
        partitions_panel=section(topics.partitions_panel, title=_("Its partitions and offsets"), **place),
        group_panel=section(group_panel),
        read_panel=section(read_panel, query) if "begun" in request.GET else None,
        messages_panel=section(topics.messages_panel, title=_("5. Watch records arrive, in no group"), **place),
        may_produce=request.user.has_perm(PRODUCE),
    )


@panel(
    "group",
    gettext_lazy("How far the consumer group is"),
    "topics/groups.html",
    "console:practice_group",
    server=_server,
)
def group_panel(_query: Mapping[str, str]) -> dict[str, Any]:
    """How far the practice group is."""
    return lag_now(exercises.practice_topic(_cluster()))


@panel("read", gettext_lazy("What was just read"), "practice/read.html", "console:practice_read", is_live=False)
def read_panel(request: HttpRequest) -> dict[str, Any]:
    """The records that the last reading took."""
    begun, reached = (read_cursor(request.GET.get(name, "")) for name in ("begun", "reached"))
    log_read(request, subject_of(_cluster(), console_settings().practice_topic), f"from {write_cursor(begun)}")
    reading = exercises.read_between(_cluster(), begun, reached)
    found = sorted(reading.messages, key=lambda message: (message.partition, message.offset))
    return topics.rows(_cluster(), console_settings().practice_topic, found)


@require_POST
def act(request: HttpRequest) -> HttpResponseBase:
    """Makes the topic, produces, reads on, or starts over."""
    action = request.POST.get("action", "")
    if action in _EXAMPLES:
        return _produce(request, action)
    cluster, topic, page = _cluster(), console_settings().practice_topic, link("practice")
    try:
        with audited(request, ActionKind.PRACTICE, subject_of(cluster, topic), action[:20]) as logged:
            outcome = "done"
            if action == "create" and not exercises.create_topic(cluster):
                notes.warning(request, _("The topic is there already."))
                outcome = "there already"
            elif action == "read":
                begun, reached = exercises.consume(cluster)
                page = link("practice", begun=write_cursor(begun), reached=write_cursor(reached)) + "#read-title"
            elif action == "again":
                exercises.start_over(cluster)
            logged.done(outcome)
    except ServerError as error:
        notes.error(request, str(error))
    return HttpResponseRedirect(page)


def _produce(request: HttpRequest, kind: str) -> HttpResponseBase:
    form = ProduceForm(request.POST, auto_id=f"{kind}_%s")
    if form.is_valid() and produce_form(request, _cluster(), console_settings().practice_topic, form):
        return HttpResponseRedirect(link("practice"))
    return _page(request, **{kind: form})
