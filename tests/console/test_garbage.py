"""Whatever stands in the address of a page, the site answers without an error of its own."""

import re
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote

import pytest
from django.test import Client
from django.urls import URLPattern
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import conf
from pipeline.console.documents import search
from pipeline.console.urls import urlpatterns
from pipeline.time_range import to_milliseconds
from tests.console.test_files import name_of, write
from tests.pipeline.conftest import PAGE, PANELS, index_events
from tests.support import event, produce

Operator = Callable[..., Client]
Query = dict[str, str]

PARAMETERS = (
    *("action", "after", "before", "begun", "by", "cursor", "end", "event", "format", "from", "id", "index", "kind"),
    *("offset", "page", "panel", "partition", "path", "q", "range", "reached", "reason", "text", "time", "to", "topic"),
    "user",
)
"""All parameters that a page of the console or of the statistics reads."""

MEANT = (
    *("newest", "oldest", "offset", "time", "15m", "all", "pause", "restart", "ndjson", "select-color", "read", "0:0"),
    *("0", "1", "colorName:blue", "1767225600000", "2026-11-20T10:15", "sinks", *PANELS),
)
"""Values that are right for some parameter, so that what stands behind them is reached."""

WRONG = (
    *(
        "",
        "abc",
        "-1",
        "1.5",
        "1e400",
        "NaN",
        "٣",
        "²",
        "\0",
        "a\0b",
        "😀",
        "%",
        "\r\n",
        "../..",
        "a//b",
        "{}",
        "[",
        '"',
    ),
    *("99999999999999999999", "9" * 5000, "x" * 5000, "9223372036854775807", "999999999999999999", "2147483648"),
    *("0001-01-01T00:00", "9999-12-31T23:59:59", "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "1900-01-01"),
    *("0:", ":1", "0:99999999999999999999", "7:1", "-62135596800000", "253402300799999", "8640000000000001"),
)

VALUES = st.sampled_from([*MEANT, *WRONG]) | st.text(max_size=20)
QUERIES = st.dictionaries(st.sampled_from(PARAMETERS), VALUES, max_size=5)
NUMBERS = st.sampled_from([0, 1, 2**31, 2**63, 10**40])

FAILED_ONCE = (
    {"from": "2026-11-20T10:15", "end": "abc"},
    {"from": "0001-01-01T00:00", "to": "9999-12-31T23:59:59"},
    {"from": "0001-01-02T00:00", "to": "0001-01-03T00:00"},
    {"from": "9999-12-29T00:00", "to": "9999-12-30T00:00"},
)

FEW = 5
MANY = 20


def filled(pattern: URLPattern, names: Query, text: str, number: int) -> str:
    """An address that the pattern takes; names: what stands for its clusters and topics."""
    path = str(pattern.pattern)
    sink = "elasticsearch" if path.startswith("documents/") else "hdfs"

    def value(match: re.Match[str]) -> str:
        kind, name = match.groups()
        known = {"cluster": "default", "sink": sink, **names}
        return str(number) if kind == "int" else quote(known.get(name) or text or "x", safe="")

    return "/admin/console/" + re.sub(r"<(\w+):(\w+)>", value, path)


def statuses(client: Client, query: Query, *, names: Query, text: str = "x", number: int = 0) -> dict[str, int]:
    """What each page answers to a query."""
    found = {}
    for address in (PAGE, f"{PAGE}panels/", *(filled(pattern, names, text, number) for pattern in urlpatterns)):
        answer = client.get(address, query)
        found[address] = answer.status_code
        if answer.streaming:
            deque(answer.streaming_content, maxlen=0)  # type: ignore[attr-defined]
    return found


def failed_without_servers(client: Client, query: Query, text: str, number: int) -> dict[str, int]:
    """Pages that fail; downloads can't be begun without their server: 503 with "try again" is their right answer."""
    found = statuses(client, query, names={}, text=text, number=number)
    return {
        one: status
        for one, status in found.items()
        if status >= 500 and not (status == 503 and one.endswith(("/download/", "/export/", "/value/")))
    }


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
def test_no_page_fails_whatever_its_address_says_while_no_server_answers(reader: Client, count: int) -> None:
    @given(query=QUERIES, text=VALUES, number=NUMBERS)
    @examples(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(query: Query, text: str, number: int) -> None:
        assert failed_without_servers(reader, query, text, number) == {}

    for query in FAILED_ONCE:
        assert failed_without_servers(reader, query, "x", 0) == {}
    check()


def test_bars_that_begin_before_the_calendar_or_end_after_it_lead_to_the_range_that_was_asked_for(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
    week = 7 * 24 * 3600 * 1000
    begin, end = to_milliseconds(first), to_milliseconds(last)
    bars = [search.Bar(begin - week, begin + week, 1), search.Bar(end - week, end + week, 1)]
    monkeypatch.setattr(search, "histogram", lambda _target, _query: (2, bars))
    query = {"from": "0001-01-02T00:00", "to": "9999-12-30T00:00"}
    answer = operator().get("/admin/console/documents/elasticsearch/histogram/", query)
    assert answer.status_code == 200
    assert "from=0001-01-02T00%3A00%3A00&to=0001-01-09T00%3A00%3A00" in unescape(answer.json()["html"])
    assert "from=9999-12-23T00%3A00%3A00&to=9999-12-30T00%3A00%3A00" in unescape(answer.json()["html"])


def test_a_bar_that_has_just_begun_leads_to_its_documents(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = to_milliseconds(datetime(2026, 11, 20, 10, 15, tzinfo=UTC))
    monkeypatch.setattr(search, "histogram", lambda _target, _query: (1, [search.Bar(begin, begin + 30_000, 1)]))
    query = {"from": "2026-11-20T10:00", "to": "2026-11-20T10:15:00.400"}
    answer = operator().get("/admin/console/documents/elasticsearch/histogram/", query)
    assert "from=2026-11-20T10%3A15%3A00&to=2026-11-20T10%3A15%3A01" in unescape(answer.json()["html"])


@pytest.fixture
def reader(operator: Operator, settings: Settings) -> Client:
    """May do everything; a server that is away is asked once."""
    settings.CONSOLE = {"away_seconds": 300, "kafka_timeout_seconds": 0.2, "wait_seconds": 0.01}
    conf.console_settings.cache_clear()
    return operator("audit", "control", "produce", "replay")


@pytest.mark.integration
@pytest.mark.parametrize("time_zone", ["America/New_York", "Asia/Seoul"])  # the first and the last day end elsewhere
def test_no_page_fails_whatever_its_address_says(
    console: Stack, topic: str, operator: Operator, settings: Settings, time_zone: str
) -> None:
    settings.TIME_ZONE = time_zone
    produce(console, topic, [event(0), b"no JSON", b"[]"], partition=0)
    write(console, f"/{topic}/{name_of(topic, 0, 0)}", event(0) + b"\n")
    days = ("0001-01-02T12:00:00+0000", "2026-11-20T10:15:00+0000", "9999-12-29T12:00:00+0000")
    index_events(topic, [{"userName": "kim", "colorName": "blue", "timestamp": day} for day in days])
    client = operator("audit", "control", "produce", "replay")
    names = {"name": topic, "topic": topic}

    @given(query=QUERIES, number=NUMBERS)
    @examples(max_examples=MANY, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def check(query: Query, number: int) -> None:
        found = statuses(client, query, names=names, number=number)
        assert {one: status for one, status in found.items() if status >= 500} == {}

    for number, query in enumerate(FAILED_ONCE):
        found = statuses(client, query, names=names, number=number)
        assert {one: status for one, status in found.items() if status >= 500} == {}
    check()
