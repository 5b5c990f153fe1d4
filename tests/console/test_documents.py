"""The pages of documents on a real Elasticsearch."""

import csv
import html
import io
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig
from elasticsearch import ApiError
from elasticsearch.dsl.connections import connections
from pytest_django import Settings

from devstack.stack import Stack
from events.event import format_timestamp
from pipeline import conf
from pipeline.console.documents import search
from pipeline.console.documents.query import narrowed, parse_query
from pipeline.errors import ServerError
from sinks import registry as sinks_registry
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.documents import TIMESTAMP_FORMAT
from sinks.elasticsearch.setup import prepare
from tests.console.support import shown
from tests.pipeline.conftest import index_events

Operator = Callable[..., Client]
DOCUMENTS = "/admin/console/documents/elasticsearch/"
HOSTILE = '<img src=x onerror="alert(1)">'


@pytest.fixture
def stored(console: Stack, topic: str, index: str, settings: Settings) -> str:
    """Seven documents of one minute ago in the sink's index, which is returned."""
    entry = settings.SINKS["elasticsearch"]
    settings.SINKS = {**settings.SINKS, "elasticsearch": {**entry, "target": {"index": index}}}
    settings.CONSOLE = {"records": 4}
    conf.console_settings.cache_clear()
    sinks_registry.sinks.cache_clear()
    colors = ["red", "red", "red", "blue", "blue", "green", "green"]
    users = ["kim", "lee", "kim lee", HOSTILE, "=1+1", 'a"b\\c', "x"]
    index_events(index, [{"colorName": c, "userName": u} for c, u in zip(colors, users, strict=True)])
    return index


def found(client: Client, query: str) -> str:
    """The documents' panel for a query."""
    return shown(client, f"{DOCUMENTS}hits/?{urlencode({'q': query})}")


@pytest.mark.integration
def test_documents_are_counted_listed_and_paged(stored: str, operator: Operator) -> None:
    client = operator()
    assert "7 documents" in shown(client, f"{DOCUMENTS}histogram/")
    assert "2 documents" in shown(client, f"{DOCUMENTS}histogram/?q=colorName:blue")
    assert "7 documents" in shown(client, f"{DOCUMENTS}histogram/?range=all")
    first, second = (shown(client, f"{DOCUMENTS}hits/?page={page}") for page in (0, 1))
    ids = {f"topic-0-{number}" for number in range(7)}
    assert {id for id in ids if id in first} | {id for id in ids if id in second} == ids
    assert "Older" in first
    assert "Older" not in second
    page = client.get(f"{DOCUMENTS}hits/").json()["html"] + client.get(f"{DOCUMENTS}hits/?page=1").json()["html"]
    assert "<img" not in page
    assert "&lt;img" in page
    assert "0 documents" in shown(client, f"{DOCUMENTS}histogram/?from=2020-01-01T00:00&to=2020-01-02T00:00")


@pytest.mark.integration
def test_a_record_leads_to_its_document_and_its_file(stored: str, operator: Operator, settings: Settings) -> None:
    entry = settings.SINKS["elasticsearch"]
    settings.SINKS = {
        "files": {"kind": "hdfs", "topics": ["topic"], "target": {"path": "/x"}},
        "elasticsearch": {**entry, "topics": ["topic"]},
        "other": {**entry, "topics": ["another"], "group": "other"},
    }
    sinks_registry.sinks.cache_clear()
    client = operator()
    page = html.unescape(client.get("/admin/console/topics/default/topic/0/3/").content.decode())
    links = dict(re.findall(r'href="([^"]+)">Stored by (\w+)<', page))
    assert list(links.values()) == ["files", "elasticsearch"]
    to_file, to_document = links
    assert to_file == "/admin/console/files/files/find/topic/0/3/"
    hits = shown(client, to_document.replace(DOCUMENTS, f"{DOCUMENTS}hits/"))
    assert re.findall(r"topic-0-\d", hits) == ["topic-0-3"]


@pytest.mark.integration
@pytest.mark.parametrize(("unit", "format"), [(1000, "epoch_millis"), (1, "epoch_second")])
def test_documents_with_numbers_as_times_are_found_by_time(
    console: Stack, topic: str, operator: Operator, settings: Settings, unit: int, format: str
) -> None:
    target = {"index": topic, "time": "ts", "time_format": f"strict_date_optional_time||{format}"}
    entry = settings.SINKS["elasticsearch"]
    settings.SINKS = {**settings.SINKS, "elasticsearch": {**entry, "event": "json", "target": target}}
    sinks_registry.sinks.cache_clear()
    elasticsearch = connections.get_connection("default")
    prepare(elasticsearch, ElasticsearchTarget(**target), event="json")
    now = datetime.now(UTC).replace(microsecond=0)
    for age in (60, 120, 86400 * 400):
        elasticsearch.index(index=topic, document={"ts": (int(now.timestamp()) - age) * unit}, refresh=True)
    client = operator()
    assert "2 documents" in shown(client, f"{DOCUMENTS}histogram/")
    assert "3 documents" in shown(client, f"{DOCUMENTS}histogram/?range=all")
    newest = timezone.localtime(now - timedelta(seconds=60))
    assert f"{newest:%Y-%m-%d %H:%M:%S}" in shown(client, f"{DOCUMENTS}hits/")


@pytest.mark.integration
def test_a_value_of_a_field_narrows_the_query_whatever_it_holds(stored: str, operator: Operator) -> None:
    client = operator()
    text = shown(client, f"{DOCUMENTS}fields/")
    assert "colorName red 42.9% blue 28.6%" in text
    assert "agent." not in text, "no document has it"
    for number, user in enumerate(["kim", "lee", "kim lee", HOSTILE, "=1+1", 'a"b\\c']):
        text = found(client, narrowed("colorName:(red OR blue OR green)", "userName", user))
        assert [n for n in range(7) if f"topic-0-{n}" in text] == [number], user


@pytest.mark.integration
def test_a_query_that_can_not_be_read_is_told_at_its_field_in_elasticsearchs_words(
    stored: str, operator: Operator
) -> None:
    client = operator()
    for query, words in (
        ("colorName:(", "Cannot parse 'colorName:(': Encountered \"<EOF>\" at line 1, column 11."),
        ("*im", "Cannot parse '*im': '*' or '?' not allowed as first character in WildcardQuery"),
    ):
        for panel in ("hits", "histogram", "fields"):
            answer = client.get(f"{DOCUMENTS}{panel}/?{urlencode({'q': query})}")
            assert answer.status_code == 400
            assert answer.json()["mistake"] == {"field": "q", "text": words}
            assert "error" not in answer.json(), "it is no outage"
    # … which is no reason to leave the server alone.
    assert "topic-0-3" in found(client, "colorName:blue")
    assert client.get(f"{DOCUMENTS}hits/?from=x").status_code == 400


@pytest.mark.integration
def test_a_document_leads_to_its_record_and_its_file(
    stored: str, operator: Operator, topic: str, settings: Settings
) -> None:
    connections.get_connection().index(index=stored, id=f"{topic}-2-7", document={"a": {"b": 1}}, refresh=True)
    client = operator()
    page = client.get(f"{DOCUMENTS}source/?index={stored}&id={topic}-2-7").json()["html"]
    assert f"/admin/console/topics/default/{topic}/2/7/" in page
    assert f"/admin/console/files/hdfs/find/{topic}/2/7/" in page
    assert "a.b" in page
    assert "Its Kafka record" not in client.get(f"{DOCUMENTS}source/?index={stored}&id=topic-0-0").json()["html"]
    assert "no such document" in shown(client, f"{DOCUMENTS}source/?index=other&id=topic-0-0")


@pytest.mark.integration
def test_an_export_holds_what_fits_and_no_formulas(stored: str, operator: Operator, settings: Settings) -> None:
    client = operator()
    answer = client.get(f"{DOCUMENTS}export/?q=colorName:blue&format=csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
    assert {row["userName"] for row in rows} == {HOSTILE, "'=1+1"}
    assert set(rows[0]) == {"_index", "_id", "timestamp", "colorName", "userName", "userAgent"}, "none that all lack"
    answer = client.get(f"{DOCUMENTS}export/?format=ndjson")
    lines = b"".join(answer.streaming_content).splitlines()  # type: ignore[attr-defined]
    assert {json.loads(line)["_id"] for line in lines} == {f"topic-0-{number}" for number in range(7)}
    settings.CONSOLE = {"export_rows": 3}
    conf.console_settings.cache_clear()
    answer = client.get(f"{DOCUMENTS}export/?format=ndjson")
    assert len(b"".join(answer.streaming_content).splitlines()) == 3  # type: ignore[attr-defined]
    assert client.get(f"{DOCUMENTS}export/?q=colorName:(").status_code == 400


LARGE = 700_000
COUNT = 40


@pytest.fixture
def large(console: Stack, topic: str) -> None:
    """40 documents of 700 KB in the sink's index, which are older than a small one."""
    elasticsearch = connections.get_connection("default")
    properties = {"timestamp": {"type": "date", "format": TIMESTAMP_FORMAT}, "colorName": {"type": "keyword"}}
    elasticsearch.indices.create(index=topic, mappings={"dynamic": False, "properties": properties})
    now = datetime.now().astimezone()
    elasticsearch.index(index=topic, document={"timestamp": format_timestamp(now), "colorName": "small"})
    for number in range(COUNT):
        moment = format_timestamp(now - timedelta(seconds=1 + number))
        document = {"timestamp": moment, "colorName": "large", "text": "x" * LARGE}
        elasticsearch.index(index=topic, id=f"large-{number}", document=document)
    elasticsearch.indices.refresh(index=topic)


def peak_of(read: Callable[[], Any]) -> tuple[Any, int]:
    """What it gives, and the most bytes that Python held meanwhile."""
    read()  # what is made once is made before
    tracemalloc.start()
    try:
        return read(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HELD = 8 * search._BYTES_AT_ONCE
"""A part of documents as it comes, as text and as objects, while the next one comes."""


@pytest.mark.integration
def test_a_page_of_large_documents_holds_few_of_them_at_a_time(
    large: None, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 50}
    conf.console_settings.cache_clear()
    client = operator()
    text, peak = peak_of(lambda: shown(client, f"{DOCUMENTS}hits/"))
    assert [number for number in range(COUNT) if f"large-{number} " not in text] == []
    assert peak < HELD < COUNT * LARGE * 2


@pytest.mark.integration
def test_documents_beyond_the_bytes_of_a_page_are_listed_without_their_values(
    large: None, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 50, "search_bytes": 10 * LARGE}
    conf.console_settings.cache_clear()
    text = shown(operator(), f"{DOCUMENTS}hits/?q=colorName:large")
    assert [number for number in range(COUNT) if f"large-{number} " not in text] == []
    read = text.count("xxx…")
    assert 10 <= read < COUNT / 2
    assert f"{COUNT - read} documents were not read, for those before them have 6.7 MB" in text


@pytest.mark.integration
def test_an_export_of_large_documents_holds_few_of_them_at_a_time(large: None, operator: Operator) -> None:
    client = operator()

    def export() -> int:
        answer = client.get(f"{DOCUMENTS}export/?format=ndjson&q=colorName:large")
        return sum(map(len, answer.streaming_content))  # type: ignore[attr-defined]

    size, peak = peak_of(export)
    assert size > COUNT * LARGE
    assert peak < HELD


@pytest.mark.integration
def test_a_missing_index_is_an_empty_one(console: Stack, operator: Operator) -> None:
    client = operator()
    for panel in ("histogram", "hits", "fields"):
        assert "No document" in shown(client, f"{DOCUMENTS}{panel}/")


def test_a_range_must_be_one() -> None:
    for wrong in ({"from": "2026-01-02T00:00", "to": "2026-01-01T00:00"}, {"to": "2026-01-01T00:00"}, {"range": "x"}):
        with pytest.raises(ValueError):
            parse_query(wrong)
    assert parse_query({"range": "all"}).range is None


def test_the_query_goes_along_to_the_first_sink(operator: Operator) -> None:
    client = operator()
    answer = client.get("/admin/console/documents/?q=colorName:blue&range=7d")
    assert answer.headers["Location"] == f"{DOCUMENTS}?q=colorName%3Ablue&range=7d"
    assert client.get("/admin/console/documents/").headers["Location"] == DOCUMENTS


def test_a_search_that_elasticsearch_gives_up_is_told_in_a_sentence() -> None:
    cause = {"type": "search_timeout_exception", "reason": "Time exceeded"}  # as 9.5.3 answers, with status 429
    body = {"error": {"root_cause": [cause], "type": "search_phase_execution_exception"}, "status": 429}
    meta = ApiResponseMeta(429, "1.1", HttpHeaders(), 0.1, NodeConfig("http", "localhost", 1))
    _sink, target = search.document_sinks()["elasticsearch"]
    with pytest.raises(ServerError, match="It gave this search up after 4 s"), search._server(target):
        raise ApiError("search_phase_execution_exception", meta, body)


def test_an_export_waits_no_longer_than_a_panel_and_is_ended(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    ended: list[bool] = []

    def scan(_client: object, *, request_timeout: float, **_options: object) -> Iterator[dict[str, object]]:
        waited.append(request_timeout)
        try:
            yield from ({"_index": "i", "_id": str(number)} for number in range(9))
        finally:
            ended.append(True)

    monkeypatch.setattr(search.helpers, "scan", scan)
    stored = search.StoredDocument("i", "0", None, {})
    monkeypatch.setattr(search, "_by_place", lambda *_: {("i", "0"): stored})
    answer = operator().get(f"{DOCUMENTS}export/?format=ndjson")
    next(answer.streaming_content)  # type: ignore[attr-defined]
    answer.close()
    assert waited == [conf.console_settings().elasticsearch_timeout_seconds]
    assert ended == [True]
