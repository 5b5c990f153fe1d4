"""Bounded searches of a sink's documents, and their export."""

import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, islice
from typing import Any, cast

from elasticsearch import Elasticsearch, helpers
from elasticsearch.exceptions import ApiError, TransportError

from pipeline.conf import console_settings
from pipeline.console.documents.query import DocumentQuery
from pipeline.console.documents.texts import to_json
from pipeline.console.pages import Mistake
from pipeline.elasticsearch_reads import asking, bars_of, search, servers_time, within
from pipeline.errors import ServerError
from sinks.config import SinkConfig
from sinks.kind import Documents
from sinks.registry import kind_of, sinks

logger = logging.getLogger(__name__)

WINDOW = 10_000
"""Elasticsearch's own bound: documents that can be paged to (index.max_result_window)."""

_SAMPLE = 2_000
"""Documents of each shard from which top values are counted."""
_FIELDS = 20
_TOP = 5
_IDS_AT_ONCE = 1_000
"""Hits of an export, without their documents."""
_BYTES_AT_ONCE = 4 * 1024 * 1024
"""Documents are read in parts of about so many bytes, or one by one where they are larger."""
_FIRST_PART, _MOST_IN_PART = 4, 100
_Hit = Mapping[str, Any]
_COUNTED = {"keyword", "boolean", "long", "integer", "short", "byte", "double", "float", "ip", "constant_keyword"}
_GROUPS = {"object", "nested"}


@dataclass(frozen=True)
class StoredDocument:
    """A document.

    time: in milliseconds since the epoch, None where it has none; is_read: False where the source was left out, for the
    documents before it have as many bytes as one page may have.
    """

    index: str
    id: str
    time: int | None
    source: Mapping[str, Any]
    is_read: bool = True


@dataclass(frozen=True)
class Bar:
    """One interval of the histogram, in milliseconds since the epoch."""

    start: int
    end: int
    count: int


@dataclass(frozen=True)
class TopValues:
    """The most frequent values of a field in a sample."""

    field: str
    values: list[tuple[Any, int]]


def document_sinks() -> dict[str, tuple[SinkConfig, Documents]]:
    """The sinks that store documents in Elasticsearch, by name."""
    stored = {name: (sink, kind_of(sink).documents(sink)) for name, sink in sinks().items()}
    return {name: (sink, documents) for name, (sink, documents) in stored.items() if documents is not None}


def time_field(target: Documents) -> str:
    """The field that holds the documents' time."""
    return "timestamp" if target.time == "kafka" else target.time


def histogram(target: Documents, query: DocumentQuery) -> tuple[int, list[Bar]]:
    """How many documents fit, and when they were; without a time range no bars. Raises ServerError, Mistake."""
    aggregations = {}
    if query.range is not None:
        aggregations["bars"] = {"date_histogram": bars_of(query.range, time_field(target))}
    answer = _search(target, query, size=0, track_total_hits=True, aggregations=aggregations)
    total = int(answer["hits"]["total"]["value"])
    if query.range is None or "aggregations" not in answer:
        return total, []
    width = query.range.interval // timedelta(milliseconds=1)
    buckets = answer["aggregations"]["bars"]["buckets"]
    return total, [Bar(bucket["key"], bucket["key"] + width, bucket["doc_count"]) for bucket in buckets]


def documents(target: Documents, query: DocumentQuery, *, count: int) -> tuple[Iterator[StoredDocument], bool]:
    """A page of the newest documents, none beyond WINDOW; whether there may be more. Raises ServerError, Mistake.

    The documents are read as they are taken, which may raise ServerError, too. See StoredDocument for their bound.
    """
    begin = query.page * count
    if begin + count > WINDOW:
        return iter(()), True
    bounds = {"from_": begin, "size": count + 1, "source": False, "track_total_hits": False}
    hits = _search(target, query, **bounds, **_newest_first(target))["hits"]["hits"]

    def read() -> Iterator[StoredDocument]:
        with _server(target) as client:
            yield from _read(client, target, hits[:count], most_bytes=console_settings().search_bytes)

    return read(), len(hits) > count


def document(target: Documents, index: str, id: str) -> StoredDocument | None:
    """A document of one of the sink's indices; None when it is not there. Raises ServerError."""
    with _server(target) as client:
        found = _by_place(client, target, [{"_index": index, "_id": id}])
    return next(iter(found.values()), None)


def top_values(target: Documents, query: DocumentQuery) -> tuple[int, list[TopValues]]:
    """The fields that can be counted, with their most frequent values in a sample of some documents.

    Raises ServerError, Mistake.
    """
    fields = [name for name, kinds in _field_types(target).items() if kinds <= _COUNTED][:_FIELDS]
    aggregations = {
        "sample": {
            "sampler": {"shard_size": _SAMPLE},
            "aggs": {str(place): {"terms": {"field": name, "size": _TOP}} for place, name in enumerate(fields)},
        }
    }
    answer = _search(target, query, size=0, track_total_hits=False, aggregations=aggregations)
    sample = answer.get("aggregations", {}).get("sample")
    if sample is None:
        return 0, []
    buckets = {name: sample[str(place)]["buckets"] for place, name in enumerate(fields)}
    return sample["doc_count"], [
        TopValues(name, [(one.get("key_as_string", one["key"]), one["doc_count"]) for one in found])
        for name, found in buckets.items()
    ]


def columns(target: Documents) -> list[str]:
    """The fields that documents have, those of objects with dots; a field's second form (`.keyword`) is left out.

    Raises ServerError.
    """
    types = _field_types(target)
    return [
        name for name in types if not (types.get(name.rpartition(".")[0], _GROUPS) - _GROUPS or types[name] & _GROUPS)
    ]


def export(
    target: Documents, query: DocumentQuery, *, rows: int
) -> tuple[Iterator[StoredDocument], Callable[[], None]]:
    """Up to `rows` documents, the newest first, and what ends the search, also before its end.

    The first part is read at once, which may raise ServerError or Mistake.
    """
    fitting = {"bool": {"filter": _filters(target, query)}}
    body = {"query": fitting, **_newest_first(target), "_source": False, "timeout": servers_time()}
    with _server(target) as client:
        hits = helpers.scan(
            client,
            query=body,
            index=target.readers,
            size=min(rows, _IDS_AT_ONCE),
            scroll="2m",
            preserve_order=True,
            ignore_unavailable=True,
            allow_partial_search_results=False,
            request_timeout=console_settings().elasticsearch_timeout_seconds,  # else scan() waits for ever
        )
        found = _read(client, target, islice(hits, rows))
        first = list(islice(found, 1))

    def close() -> None:
        try:
            cast("Generator[dict[str, Any]]", hits).close()
        except (ApiError, TransportError) as error:
            logger.warning("Elasticsearch ends the search of an export by itself, in two minutes: %s", error)

    return chain(first, found), close


def record_of(sink: SinkConfig, target: Documents, id: str) -> tuple[str, int, int] | None:
    """Topic, partition and offset of the record that a document was made of, where its id tells."""
    match = re.fullmatch(r"(.+)-(\d{1,9})-(\d{1,18})", id)
    if target.id == "key" or match is None or match[1] not in sink.topics:
        return None
    return match[1], int(match[2]), int(match[3])


def flattened(source: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A document's values by their names with dots."""
    flat: dict[str, Any] = {}
    for name, value in source.items():
        if isinstance(value, dict):
            flat |= flattened(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _field_types(target: Documents) -> dict[str, set[str]]:
    with _server(target) as client:
        answer = client.field_caps(
            index=target.readers,
            fields="*",
            ignore_unavailable=True,
            filters="-metadata",
            include_empty_fields=False,  # those of the mapping that no document has
        )
    return {name: set(kinds) for name, kinds in sorted(answer["fields"].items())}


def _read(
    client: Elasticsearch, target: Documents, hits: Iterable[_Hit], *, most_bytes: int | None = None
) -> Iterator[StoredDocument]:
    """The documents of hits that have none, those that were deleted meanwhile left out.

    They are read in parts: how large a document is can only be known of those before it. So few bytes are held at a
    time, but where many small ones are followed by large ones, for a moment as many of these as one part has.
    """
    waiting, count, read = iter(hits), _FIRST_PART, 0
    while part := list(islice(waiting, count)):
        if most_bytes is not None and read >= most_bytes:
            yield from (replace(_document(target, hit), is_read=False) for hit in chain(part, waiting))
            return
        found = _by_place(client, target, part)
        sizes = [len(to_json(document.source)) for document in found.values()]
        read += sum(sizes)
        yield from (found[place] for hit in part if (place := (hit["_index"], hit["_id"])) in found)
        count = min(4 * count, _MOST_IN_PART, max(1, _BYTES_AT_ONCE // max(sizes, default=1)))


def _by_place(client: Elasticsearch, target: Documents, hits: Iterable[_Hit]) -> dict[tuple[str, str], StoredDocument]:
    """Documents by index and id; those that are not there are left out."""
    indices, ids = ({hit[name] for hit in hits} for name in ("_index", "_id"))
    wanted: list[dict[str, Any]] = [{"ids": {"values": list(ids)}}, {"terms": {"_index": list(indices)}}]
    size = len(indices) * len(ids)
    answer = search(client, target, wanted, size=size, docvalue_fields=_time_value(target))
    return {(hit["_index"], hit["_id"]): _document(target, hit) for hit in answer["hits"]["hits"]}


def _search(target: Documents, query: DocumentQuery, **options: Any) -> dict[str, Any]:
    with _server(target) as client:
        return search(client, target, _filters(target, query), **options)


def _filters(target: Documents, query: DocumentQuery) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    if query.range is not None:
        parts.append({"range": {time_field(target): within(query.range)}})
    if query.text:
        # A wildcard at a word's beginning would look at every word of the index.
        words = {"query": query.text, "default_operator": "AND", "allow_leading_wildcard": False, "lenient": True}
        parts.append({"query_string": words})
    return parts


def _newest_first(target: Documents) -> dict[str, Any]:
    order = {time_field(target): {"order": "desc", "unmapped_type": "date"}}
    return {"sort": [order], "docvalue_fields": _time_value(target)}


def _time_value(target: Documents) -> list[dict[str, str]]:
    return [{"field": time_field(target), "format": "epoch_millis"}]


def _document(target: Documents, hit: _Hit) -> StoredDocument:
    values = hit.get("fields", {}).get(time_field(target))
    milliseconds = int(values[0]) if values and str(values[0]).lstrip("-").isdigit() else None
    return StoredDocument(hit["_index"], hit["_id"], milliseconds, hit.get("_source") or {})


@contextmanager
def _server(target: Documents) -> Iterator[Elasticsearch]:
    try:
        with asking(target.cluster) as client:
            yield client
    except ServerError as error:
        if isinstance(error.__cause__, ApiError) and (mistake := _mistake(error.__cause__)) is not None:
            raise Mistake("q", mistake) from error
        raise


def _mistake(error: ApiError) -> str | None:
    """Why Elasticsearch can't read the query's words, as it says; None when the error is another one."""
    details = error.body.get("error") if isinstance(error.body, dict) else None
    shards = details.get("failed_shards", []) if isinstance(details, dict) else []
    for reason in (shard["reason"] for shard in shards):
        if reason["type"] == "query_shard_exception":
            cause = reason.get("caused_by") or reason
            return str(cause["reason"]).partition("\n")[0]  # further lines are of its grammar
    return None
