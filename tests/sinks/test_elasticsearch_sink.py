"""The Elasticsearch sink as an operator runs it: a process of its own, on real servers, every document counted."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from devstack.stack import Stack
from tests.support import (
    Process,
    committed_count,
    event,
    produce,
    read_topic,
    wait_until,
)

pytestmark = pytest.mark.integration

RunSink = Callable[..., Process]


@pytest.fixture
def client(stack: Stack) -> Iterator[Elasticsearch]:
    client = Elasticsearch(stack.elasticsearch_url, request_timeout=30)
    yield client
    client.close()


def entry(topic: str, index: str, **changes: Any) -> dict[str, Any]:
    options = {"flush_records": 100, "flush_seconds": 0.3, **changes.pop("options", {})}
    return {
        "kind": "elasticsearch",
        "topics": [topic],
        "group": f"g-{topic}",
        "target": {"index": index},
        "options": options,
        **changes,
    }


def documents(client: Elasticsearch, index: str) -> dict[str, Any]:
    """Every document by its id."""
    client.indices.refresh(index=index)
    return {hit["_id"]: hit["_source"] for hit in helpers.scan(client, index=index, size=2000)}


def expected(topic: str, events: list[bytes]) -> dict[str, Any]:
    """What `produce` going round three partitions must become."""
    return {f"{topic}-{n % 3}-{n // 3}": json.loads(value) for n, value in enumerate(events)}


def wait_count(client: Elasticsearch, index: str, count: int) -> None:
    def counted() -> bool:
        client.indices.refresh(index=index)
        return bool(client.count(index=index)["count"] >= count)

    wait_until(counted, seconds=90, what=f"{count} documents")


def test_each_record_is_one_document(
    stack: Stack, topic: str, index: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    events = [event(n) for n in range(1000)]
    produce(stack, topic, events)
    sink = run_sink(entry(topic, index))
    wait_count(client, index, 1000)
    assert documents(client, index) == expected(topic, events)
    assert sink.stop() == 0
    assert committed_count(stack, f"g-{topic}", topic) == 1000


def test_documents_are_found_by_time_colour_user_and_words_of_the_agent(
    stack: Stack, topic: str, index: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    agent = "Mozilla/5.0 (X11; Linux x86_64) Firefox/145.0"
    produce(stack, topic, [event(1, userName="김하늘", userAgent=agent), event(2)])
    run_sink(entry(topic, index))
    wait_count(client, index, 2)
    for query in (
        {"term": {"userName": "김하늘"}},
        {"term": {"colorName": "yellow"}},
        {"match": {"userAgent": "firefox"}},
        {"term": {"userAgent.keyword": agent}},
        {"range": {"timestamp": {"gte": "2026-11-20T01:15:01.000Z", "lt": "2026-11-20T01:15:01.500Z"}}},
    ):
        assert client.count(index=index, query=query)["count"] == 1, query


def test_sigterm_in_mid_stream_loses_nothing(
    stack: Stack, topic: str, index: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    events = [event(n) for n in range(20_000)]
    produce(stack, topic, events)
    sink = run_sink(entry(topic, index))
    wait_count(client, index, 500)
    assert sink.stop() == 0
    client.indices.refresh(index=index)
    assert committed_count(stack, f"g-{topic}", topic) == client.count(index=index)["count"]
    run_sink(entry(topic, index))
    wait_count(client, index, 20_000)
    assert documents(client, index) == expected(topic, events)


def test_a_missing_index_is_named_and_waited_for(
    stack: Stack, topic: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    sink = run_sink(entry(topic, f"not-made-{topic}"), wait=False)
    sink.wait_for("run `manage.py setup_pipeline`")
    assert sink.is_running()
    assert not client.indices.exists(index=f"not-made-{topic}")
    assert sink.stop() == 0


def test_any_json_of_another_topic_by_settings_alone(
    stack: Stack, topic: str, client: Elasticsearch, run_sink: RunSink
) -> None:
    client.indices.create(index=f"json-{topic}")
    produce(stack, topic, [b'{"page":"/","ms":12}', b"[1]"], partition=0)
    run_sink(entry(topic, f"json-{topic}", event="json", tasks=1))
    wait_count(client, f"json-{topic}", 1)
    (letter,) = read_topic(stack, f"{topic}.dlq", 1)
    assert letter.value() == b"[1]"
    assert documents(client, f"json-{topic}") == {f"{topic}-0-0": {"page": "/", "ms": 12}}
