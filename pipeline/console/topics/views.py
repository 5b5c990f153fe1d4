"""The pages of topics: the list, one topic with its records, one record, and producing one."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import messages as notes
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_POST

from events.event import EVENT_TYPES
from kafka_client.names import TOPIC
from pipeline.access import PRODUCE, REPLAY
from pipeline.conf import console_settings
from pipeline.console.audit import audited, log_read, told
from pipeline.console.by_cluster import check_cluster, search_page, server_of
from pipeline.console.documents.query import ALL
from pipeline.console.documents.search import document_sinks
from pipeline.console.files.folders import file_sinks
from pipeline.console.models import ActionKind
from pipeline.console.pages import NotThere, link, page_response
from pipeline.console.paging import page_number
from pipeline.console.panels import panel, section
from pipeline.console.payload import one_line, payload
from pipeline.console.topics import describe
from pipeline.console.topics.browse import STARTS, browse, newer, one_message, parse_query, read_cursor, write_cursor
from pipeline.console.topics.lag import lag_now
from pipeline.console.topics.messages import TopicMessage
from pipeline.console.topics.produce import NewRecord, check_json, is_of_letters, produce, read_headers
from pipeline.errors import ServerError
from pipeline.kafka_reads import MAX_PARTITION, server_name
from pipeline.lag import total
from pipeline.offsets import PipelineTopic
from sinks.config import SinkConfig
from sinks.registry import sinks

_IN_LIST = 300
"""Characters of a value in a list."""
_MOST_ROWS = 500
"""Rows that a live tail keeps."""


class ProduceForm(forms.Form):
    """A record to produce."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[
            ("json", "JSON"),
            ("text", gettext_lazy("Text")),
            ("empty", gettext_lazy("Empty value (0 bytes)")),
            ("tombstone", gettext_lazy("Tombstone (no value)")),
        ],
        widget=forms.Select(attrs={"data-chooses": True}),
    )
    partition = forms.IntegerField(
        label=gettext_lazy("Partition"), required=False, min_value=0, max_value=MAX_PARTITION
    )
    key = forms.CharField(label=gettext_lazy("Key"), required=False, max_length=10_000, strip=False)
    headers = forms.CharField(
        label=gettext_lazy("Headers (“name: value” lines)"),
        required=False,
        max_length=10_000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    value = forms.CharField(
        label=gettext_lazy("Value"),
        required=False,
        max_length=500_000,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 5}),
    )

    def clean_value(self) -> bytes | None:
        """The bytes of the value, as its kind says."""
        kind, text = self.cleaned_data.get("kind"), self.cleaned_data["value"]
        match kind:
            case "tombstone":
                return None
            case "empty":
                return b""
        if not text:
            raise forms.ValidationError(self.fields["value"].error_messages["required"])
        if kind == "json":
            return check_json(text)
        return bytes(text.replace("\r\n", "\n").encode())  # browsers send each newline of a form as CRLF

    def clean_headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers, by name and value."""
        return read_headers(self.cleaned_data["headers"])

    def record(self) -> NewRecord:
        """The record of a valid form."""
        data = self.cleaned_data
        key = data["key"].encode() if data["key"] else None
        return NewRecord(data["value"], key, data["partition"], data["headers"])


def server_of_topic(cluster: str, name: str) -> str:
    """The server of a topic's panels. Raises Http404 for what is no cluster, or can be no topic's name."""
    _check(cluster, name)
    return server_name(cluster)


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """The page with the topics of each cluster, or of one."""
    heading = _("Topics of the cluster {cluster}")
    return search_page(request, list_panel, title=_("Topics"), heading=heading, template="topics/index.html")


@panel(
    "topics",
    gettext_lazy("Topics"),
    "topics/list.html",
    "console:topics_panel",
    server=server_of,
    query=("q", "internal", "page"),
)
def list_panel(query: Mapping[str, str], cluster: str) -> dict[str, Any]:
    """A page of a cluster's topics."""
    asked = {name: text for name in ("q", "internal") if (text := query.get(name, "").strip())}
    number = page_number(query.get("page", ""))
    part = describe.topic_summaries(cluster, text=asked.get("q", ""), with_internal="internal" in asked, page=number)
    return {"cluster": cluster, "part": part, "links": part.links({"cluster": cluster, **asked}), "asked": asked}


@require_GET
def topic(request: HttpRequest, cluster: str, name: str) -> HttpResponseBase:
    """A topic's page."""
    _check(cluster, name)
    return _topic_page(request, cluster, name, ProduceForm(initial={"kind": "json", "value": _example()}))


def _topic_page(
    request: HttpRequest, cluster: str, name: str, form: ProduceForm, *, is_open: bool = False
) -> HttpResponseBase:
    query = request.GET.dict() if request.method == "GET" else {}
    return page_response(
        request,
        "topics/topic.html",
        title=name,
        cluster=cluster,
        topic=name,
        query=query,
        starts=_starts(query.get("from") or "newest"),
        partitions=section(partitions_panel, cluster=cluster, name=name),
        groups=section(groups_panel, cluster=cluster, name=name),
        messages_of=section(messages_panel, query, cluster=cluster, name=name),
        settings=section(settings_panel, cluster=cluster, name=name),
        form=form,
        is_form_open=is_open,
        may_produce=request.user.has_perm(PRODUCE),
        read_by=[sink.name for sink in _readers(cluster, name)],
    )


@panel(
    "partitions",
    gettext_lazy("Partitions"),
    "topics/partitions.html",
    "console:topic_partitions",
    server=server_of_topic,
)
def partitions_panel(_query: Mapping[str, str], cluster: str, name: str) -> dict[str, Any]:
    """Partitions with leader, replicas and offsets."""
    limit = console_settings().partitions
    states = describe.partition_states(cluster, name)
    return {
        "cluster": cluster,
        "topic": name,
        "partitions": states[:limit],
        "count": len(states),
        "left": max(0, len(states) - limit),
        "offsets": total(part.held for part, _replicas in states),
    }


@panel(
    "groups",
    gettext_lazy("Consumer groups of the sinks"),
    "topics/groups.html",
    "console:topic_groups",
    server=server_of_topic,
)
def groups_panel(_query: Mapping[str, str], cluster: str, name: str) -> dict[str, Any]:
    """The sinks' consumer groups with their lag."""
    return lag_now(PipelineTopic(cluster, name, False, tuple(_readers(cluster, name))))


@panel("settings", gettext_lazy("Settings"), "topics/settings.html", "console:topic_settings", is_live=False)
def settings_panel(request: HttpRequest, cluster: str, name: str) -> dict[str, Any]:
    """The topic's settings."""
    _check(cluster, name)
    return {"settings": describe.topic_settings(cluster, name)}


@panel("messages", gettext_lazy("Records"), "topics/messages.html", "console:topic_messages", is_live=False)
def messages_panel(request: HttpRequest, cluster: str, name: str) -> dict[str, Any]:
    """The records that the query asks for."""
    _check(cluster, name)
    given = request.GET.dict()
    query = parse_query(given)
    asked = told(given, "from", "partition", "offset", "time", "q") or "from=newest"
    log_read(request, subject_of(cluster, name), f"records {asked}")
    found = browse(cluster, name, query)
    following = None
    if found.following is not None:
        page = {**given, "cursor": write_cursor(found.following)}
        following = link("topic", cluster, name, **page) + "#messages-title"
    return {
        **rows(cluster, name, found.messages),
        "found": found,
        "query": query,
        "following": following,
        "conf": console_settings(),
        "tail": link("topic_tail", cluster, name) + "?",
        "cursor": write_cursor(found.ends),
        "most": _MOST_ROWS,
        "can_tail": query.start == "newest" and not query.text and not query.cursor,
    }


@panel("tail", gettext_lazy("Records"), "topics/rows.html", "console:topic_tail")
def tail_panel(request: HttpRequest, cluster: str, name: str) -> dict[str, Any]:
    """The records after `cursor`: rows, and the cursor after them."""
    _check(cluster, name)
    cursor = read_cursor(request.GET.get("cursor", ""))
    log_read(request, subject_of(cluster, name), "records as they come")
    found, skipped = newer(cluster, name, cursor)
    return {**rows(cluster, name, found.messages), "more": {"cursor": write_cursor(found.ends), "skipped": skipped}}


def rows(cluster: str, name: str, messages: Iterable[TopicMessage]) -> dict[str, Any]:
    """What the template of records' rows needs."""
    shown = [(one, one_line(one.key, limit=_IN_LIST), one_line(one.value, limit=_IN_LIST)) for one in messages]
    return {"cluster": cluster, "topic": name, "rows": shown}


@require_GET
def message(request: HttpRequest, cluster: str, name: str, partition: int, offset: int) -> HttpResponseBase:
    """One record's page."""
    _check(cluster, name)
    title = _("Partition {partition}, offset {offset}").format(partition=partition, offset=offset)
    return page_response(
        request,
        "topics/message.html",
        title=f"{name}-{partition}-{offset}",
        cluster=cluster,
        topic=name,
        partition=partition,
        offset=offset,
        before=offset - 1 if offset else None,
        panels=[section(record_panel, title=title, cluster=cluster, name=name, partition=partition, offset=offset)],
        stored=_stored(cluster, name, partition, offset),
    )


def _stored(cluster: str, name: str, partition: int, offset: int) -> list[tuple[str, str]]:
    """The sinks that store a record, each with the address of its file or document there."""
    found = []
    for sink in _readers(cluster, name):
        if sink.name in file_sinks():
            found.append((sink.name, link("file_of_record", sink.name, name, partition, offset)))
        elif sink.name in document_sinks() and document_sinks()[sink.name][1].id == "offset":
            query = f'_id:"{name}-{partition}-{offset}"'
            found.append((sink.name, link("documents_of", sink.name, q=query, range=ALL)))
    return found


@panel("record", gettext_lazy("Record"), "topics/record.html", "console:topic_record", is_live=False)
def record_panel(request: HttpRequest, cluster: str, name: str, partition: int, offset: int) -> dict[str, Any]:
    """One record: headers, key and value."""
    _check(cluster, name)
    limit = console_settings().preview_bytes
    log_read(request, subject_of(cluster, name), f"partition {partition}, offset {offset}")
    found = one_message(cluster, name, partition, offset)
    return {
        "message": found,
        "headers": [(title, one_line(value, limit=2000)) for title, value in (found.headers if found else ())],
        "key": payload(found.key if found else None, limit=limit),
        "value": payload(found.value if found else None, limit=limit),
    }


@require_GET
def message_value(request: HttpRequest, cluster: str, name: str, partition: int, offset: int) -> HttpResponse:
    """A record's value as it is, to be saved."""
    _check(cluster, name)
    what = f"value of partition {partition}, offset {offset}"
    try:
        with audited(request, ActionKind.DOWNLOAD, subject_of(cluster, name), what) as action:
            found = one_message(cluster, name, partition, offset)
            if found is None:
                raise NotThere("Kafka has no record there")
            action.done(f"{len(found.value or b'')} bytes")
    except ServerError as error:
        return HttpResponse(str(error), status=503, content_type="text/plain; charset=utf-8")
    except NotThere as error:
        raise Http404(str(error)) from error
    answer = HttpResponse(found.value or b"", content_type="application/octet-stream")
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}-{partition}-{offset}.bin"'
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


@require_POST
def produce_view(request: HttpRequest, cluster: str, name: str) -> HttpResponseBase:
    """Produces the form's record and shows where it is."""
    _check(cluster, name)
    form = ProduceForm(request.POST)
    if form.is_valid() and (place := produce_form(request, cluster, name, form)):
        return HttpResponseRedirect(link("topic_message", cluster, name, *place))
    return _topic_page(request, cluster, name, form, is_open=True)


def produce_form(request: HttpRequest, cluster: str, name: str, form: ProduceForm) -> tuple[int, int] | None:
    """Produces the record of a valid form, logged; None, with the error in the form, when it failed."""
    record = form.record()
    if is_of_letters(record) and not request.user.has_perm(REPLAY):
        form.add_error("headers", _("Headers “dlq.…” tell of dead letters: only those who may replay may write them."))
        return None
    try:
        partitions = describe.partition_numbers(cluster, name)
        if not partitions:
            raise ServerError(name, _("There is no topic of this name."))
        if record.partition is not None and record.partition not in partitions:
            raise ServerError(name, _("This topic has no partition {number}.").format(number=record.partition))
        size = "tombstone" if record.value is None else f"{len(record.value)} bytes"
        with audited(request, ActionKind.PRODUCE, subject_of(cluster, name), size) as action:
            partition, offset = produce(cluster, name, record)
            action.done(f"partition {partition}, offset {offset}")
    except ServerError as error:
        form.add_error(None, str(error))
        return None
    text = _("The record is in partition {partition} at offset {offset}.")
    notes.success(request, text.format(partition=partition, offset=offset))
    return partition, offset


def subject_of(cluster: str, name: str) -> str:
    """What the log calls a topic."""
    return f"topic {name} ({cluster})"


def _readers(cluster: str, topic: str) -> list[SinkConfig]:
    """The sinks that read a topic."""
    return [sink for sink in sinks().values() if sink.kafka == cluster and topic in sink.topics]


def _check(cluster: str, name: str) -> None:
    check_cluster(cluster)
    if not TOPIC.fullmatch(name):
        raise Http404("this can be no topic's name")


def _starts(chosen: str) -> list[tuple[str, str, bool]]:
    labels = {"newest": _("Newest"), "oldest": _("Oldest"), "offset": _("From an offset"), "time": _("From a time")}
    return [(start, labels[start], start == chosen) for start in STARTS]


def _example() -> str:
    """An event of the first kind, to begin with."""
    fields = next(iter(EVENT_TYPES.values())).__struct_fields__
    values = {"timestamp": "2026-11-20T10:15:30.123+0900", "userAgent": "console", "colorName": "blue"}
    pairs = ", ".join(f'"{field}": "{values.get(field, "test")}"' for field in fields)
    return f"{{{pairs}}}"
