"""The pages of documents: search with a histogram and top values, one document, exports."""

import csv
import io
from collections.abc import Iterator
from typing import Any

from django.http import Http404, HttpRequest, HttpResponseBadRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from pipeline.conf import console_settings
from pipeline.console.audit import audited, log_read, told
from pipeline.console.documents import search
from pipeline.console.documents.query import ALL, DocumentQuery, narrowed, parse_query
from pipeline.console.documents.texts import readable, to_json
from pipeline.console.files.folders import file_sinks
from pipeline.console.models import ActionKind
from pipeline.console.pages import Mistake, link, named, page_response
from pipeline.console.panels import panel, section
from pipeline.console.payload import payload
from pipeline.console.sending import Source, download
from pipeline.time_range import DEFAULT_SPAN, SPANS, from_milliseconds, to_milliseconds

_COLUMNS = 6
_CELL = 200
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


@require_GET
def index(request: HttpRequest) -> HttpResponseBase:
    """Leads to the documents of the first sink, with the same query."""
    first = next(iter(search.document_sinks()), None)
    if first is None:
        return page_response(request, "documents/none.html", title=_("Documents"))
    return HttpResponseRedirect(link("documents_of", first, **request.GET.dict()))


@require_GET
def page(request: HttpRequest, sink: str) -> HttpResponseBase:
    """The search page; its panels get the same query."""
    config, target = named(search.document_sinks(), sink)
    given = request.GET.dict()
    chosen = "" if given.get("from") or given.get("to") else given.get("range") or DEFAULT_SPAN
    spans = [(key, span.label, key == chosen) for key, span in SPANS.items()]
    return page_response(
        request,
        "documents/index.html",
        title=_("Documents"),
        sink=config,
        sinks=list(search.document_sinks()),
        query=given,
        spans=[*spans, (ALL, _("All time"), chosen == ALL)],
        histogram=section(histogram_panel, given, sink=sink),
        hits=section(hits_panel, given, sink=sink),
        fields=section(fields_panel, given, sink=sink),
        export=link("documents_export", sink, **given),
        export_rows=console_settings().export_rows,
        time_field=search.time_field(target),
    )


@panel(
    "histogram",
    gettext_lazy("Documents over time"),
    "documents/histogram.html",
    "console:documents_histogram",
    is_live=False,
)
def histogram_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """How many documents fit, and when they were."""
    _config, target = named(search.document_sinks(), sink)
    query = parse_query(request.GET.dict())
    total, bars = search.histogram(target, query)
    most = max((bar.count for bar in bars), default=0)
    heights = [round(100 * bar.count / (most or 1), 2) for bar in bars]
    rows = [
        {"bar": bar, "height": height, "top": 100 - height, "link": _link(query, bar)}
        for bar, height in zip(bars, heights, strict=True)
    ]
    return {"total": total, "rows": rows, "most": most}


@panel("hits", gettext_lazy("Newest documents"), "documents/hits.html", "console:documents_hits", is_live=False)
def hits_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """A page of documents."""
    _config, target = named(search.document_sinks(), sink)
    query = parse_query(request.GET.dict())
    count = console_settings().records
    log_read(request, f"documents of {sink}", _told(query))
    found, has_more = search.documents(target, query, count=count)
    is_last = (query.page + 2) * count > search.WINDOW
    time = search.time_field(target)
    names: list[str] = []
    rows: list[dict[str, Any]] = []
    for one in found:  # of each only the cells are kept, for all of them may be too much to hold
        names += [name for name in one.source if name not in (time, *names)][: _COLUMNS - len(names)]
        rows.append(
            {
                "time": one.time,
                "id": one.id,
                "is_read": one.is_read,
                "values": {name: _cell(one.source.get(name)) for name in names},
                "link": link("document", sink, index=one.index, id=one.id),
            }
        )
    for row in rows:
        row["cells"] = [row["values"].get(name) for name in names]
    return {
        "names": names,
        "rows": rows,
        "left_out": sum(not row["is_read"] for row in rows),
        "bytes": console_settings().search_bytes,
        "newer": f"?{query.with_values(page=str(query.page - 1))}" if query.page else None,
        "older": f"?{query.with_values(page=str(query.page + 1))}" if has_more and not is_last else None,
        "window": search.WINDOW if has_more and is_last else None,
    }


@panel("fields", gettext_lazy("Fields"), "documents/fields.html", "console:documents_fields", is_live=False)
def fields_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """Fields with their most frequent values."""
    _config, target = named(search.document_sinks(), sink)
    query = parse_query(request.GET.dict())
    log_read(request, f"documents of {sink}", f"top values of {_told(query)}")
    sample, fields = search.top_values(target, query)
    fields.sort(key=lambda field: not field.values)
    return {"sample": sample, "fields": [(field.field, _values(query, field)) for field in fields]}


@require_GET
def document(request: HttpRequest, sink: str) -> HttpResponseBase:
    """A document's page."""
    config, _target = named(search.document_sinks(), sink)
    id = request.GET.get("id", "")
    panels = [section(document_panel, {"index": request.GET.get("index", ""), "id": id}, sink=sink)]
    return page_response(request, "documents/document.html", title=id, sink=config, panels=panels)


@panel("document", gettext_lazy("Document"), "documents/source.html", "console:document_panel", is_live=False)
def document_panel(request: HttpRequest, sink: str) -> dict[str, Any]:
    """A document, and where its record is in Kafka and in HDFS."""
    config, target = named(search.document_sinks(), sink)
    index, id = request.GET.get("index", ""), request.GET.get("id", "")
    log_read(request, f"documents of {sink}", f"document {id} of index {index}")
    found = search.document(target, index, id)
    if found is None:
        return {"document": None}
    record = search.record_of(config, target, found.id)
    files = []
    if record is not None:
        files = [
            (name, link("file_of_record", name, *record))
            for name, (reader, _folder) in file_sinks().items()
            if reader.kafka == config.kafka and record[0] in reader.topics
        ]
    return {
        "document": found,
        "values": sorted((name, _cell(value)) for name, value in search.flattened(found.source).items()),
        "json": payload(to_json(found.source), limit=console_settings().preview_bytes),
        "record_url": record and link("topic_message", config.kafka, *record),
        "files": files,
    }


@require_GET
def export(request: HttpRequest, sink: str) -> HttpResponseBase:
    """The documents that fit, as CSV or as JSON lines."""
    _config, target = named(search.document_sinks(), sink)
    rows = console_settings().export_rows
    is_csv = request.GET.get("format") != "ndjson"
    extension, content_type = ("csv", "text/csv; charset=utf-8") if is_csv else ("ndjson", "application/x-ndjson")
    try:
        query = parse_query(request.GET.dict())
    except ValueError as error:
        raise Http404(str(error)) from error

    def begin() -> Source:
        names = search.columns(target) if is_csv else []
        found, close = search.export(target, query, rows=rows)
        return Source(_csv(found, names) if is_csv else _ndjson(found), close)

    try:
        with audited(request, ActionKind.EXPORT, f"documents of {sink}", f"{extension}, {_told(query)}") as action:
            return download(f"{target.readers}.{extension}", content_type, begin, action)
    except Mistake as error:
        return HttpResponseBadRequest(str(error), content_type="text/plain; charset=utf-8")


def _csv(found: Iterator[search.StoredDocument], names: list[str]) -> Iterator[bytes]:
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow(["_index", "_id", *map(_plain, names)])
    for one in found:
        flat = search.flattened(one.source)
        writer.writerow([one.index, _plain(one.id), *(_plain(flat.get(name)) for name in names)])
        if line.tell() > 64 * 1024:
            yield line.getvalue().encode(errors="backslashreplace")
            line.seek(0)
            line.truncate()
    yield line.getvalue().encode(errors="backslashreplace")


def _ndjson(found: Iterator[search.StoredDocument]) -> Iterator[bytes]:
    for one in found:
        yield to_json({"_index": one.index, "_id": one.id, "_source": one.source}) + b"\n"


def _plain(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, list | dict):
        value = to_json(value).decode()
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    text = readable(value) if isinstance(value, str) else to_json(value).decode()
    return text if len(text) <= _CELL else text[: _CELL - 1] + "…"


def _values(query: DocumentQuery, field: search.TopValues) -> list[dict[str, Any]]:
    name = readable(field.field)
    return [
        {"value": value, "count": count, "link": "?" + query.with_values(q=narrowed(query.text, name, value))}
        for value, count in ((readable(one) if isinstance(one, str) else one, count) for one, count in field.values)
    ]


def _told(query: DocumentQuery) -> str:
    return f"documents {told(query.given, 'range', 'from', 'to', 'q') or f'range={DEFAULT_SPAN}'}"


def _link(query: DocumentQuery, bar: search.Bar) -> str:
    """Leads to the documents that a bar counts: those of the query's own range, which may begin or end within it."""
    start, end = bar.start, bar.end
    if query.range is not None:
        start = max(start, to_milliseconds(query.range.start))
        end = min(end, to_milliseconds(query.range.end))
    end += -end % 1000  # the form's fields have whole seconds
    return "?" + query.with_values(**{"range": "", "from": _iso(start), "to": _iso(end)})


def _iso(milliseconds: int) -> str:
    """A time as a form's field has it, in the reader's zone."""
    moment = timezone.localtime(from_milliseconds(str(milliseconds)))
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")
