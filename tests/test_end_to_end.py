"""The main job: a click in a browser becomes one line in HDFS and one document in Elasticsearch."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from elasticsearch import Elasticsearch, helpers

from devstack.stack import Stack
from events.event import parse_timestamp
from events.process_collector import process_collector
from tests.events.web import Web
from tests.support import Process, end_offsets, hdfs_lines, stack_env, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def site(stack: Stack, topic: str) -> Iterator[str]:
    """The production web server with the project on it; its address."""
    web = Web(stack_env(stack, EVENTS_TOPIC=topic))
    yield web.url
    if web.process.is_running():
        web.process.stop()


@pytest.fixture
def both_sinks(topic: str, index: str, run_sink: Callable[..., Process]) -> str:
    """Both sinks read the topic; the HDFS folder's path. The index is the `index` fixture's."""
    shared = {"topics": [topic], "tasks": 3}
    options = {"flush_seconds": 0.3}
    hdfs = {"kind": "hdfs", "target": {"path": f"/t/{topic}"}, "options": {**options, "flush_records": 200}}
    run_sink({**shared, **hdfs})
    run_sink(
        {**shared, "kind": "elasticsearch", "target": {"index": index}, "options": {**options, "flush_records": 500}},
        name="other",
    )
    return f"/t/{topic}"


def documents(stack: Stack, index: str) -> list[dict[str, Any]]:
    with Elasticsearch(stack.elasticsearch_url, request_timeout=30) as client:
        client.indices.refresh(index=index)
        return [hit["_source"] for hit in helpers.scan(client, index=index)]


def canonical(events: list[dict[str, Any]]) -> Counter[str]:
    return Counter(json.dumps(event, sort_keys=True) for event in events)


@pytest.mark.browser
def test_a_click_becomes_one_line_and_one_document(
    stack: Stack, topic: str, index: str, site: str, both_sinks: str, page: Any
) -> None:
    before = datetime.now(UTC)
    page.goto(site)
    page.get_by_label("name").fill("김하늘 & <b>Ann</b>")
    with page.expect_response(lambda response: "/api/events" in response.url) as answer:
        page.get_by_role("button", name="green").click()
    assert answer.value.status == 202
    wait_until(lambda: hdfs_lines(stack, both_sinks), what="the line in HDFS")
    wait_until(lambda: documents(stack, index), what="the document")
    (line,) = hdfs_lines(stack, both_sinks)
    (document,) = documents(stack, index)
    event = json.loads(line)
    assert event == document
    assert list(event) == ["timestamp", "userAgent", "colorName", "userName"]
    assert event["colorName"] == "green"
    assert event["userName"] == "김하늘 & <b>Ann</b>"
    assert event["userAgent"] == page.evaluate("navigator.userAgent")
    assert abs((parse_timestamp(event["timestamp"]) - before).total_seconds()) < 60
    assert sum(end_offsets(stack, topic)) == 1


def test_10000_events_are_in_both_stores_once(servers: Stack, topic: str, index: str, both_sinks: str) -> None:
    with override_settings(EVENTS={**settings.EVENTS, "topic": topic}):
        for number in range(10_000):
            answer = process_collector().select(
                {"color": ("red", "blue")[number % 2], "user": f"user-{number}"}, user_agent="test"
            )
            assert answer.status == 202
    wait_until(lambda: len(hdfs_lines(servers, both_sinks)) >= 10_000, seconds=120, what="10,000 lines")
    wait_until(lambda: len(documents(servers, index)) >= 10_000, seconds=120, what="10,000 documents")
    lines = [json.loads(line) for line in hdfs_lines(servers, both_sinks)]
    assert sorted(event["userName"] for event in lines) == sorted(f"user-{number}" for number in range(10_000))
    assert canonical(lines) == canonical(documents(servers, index))
