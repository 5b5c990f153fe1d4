"""The Elasticsearch sink against plain bulk requests of the same documents, built beforehand."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from elasticsearch import Elasticsearch

from bench.drain import Drained, drain
from bench.records import PARTITIONS, consume_only, event, make_topic
from bench.report import Figure, Report
from devstack.stack import Stack
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.setup import prepare

TASKS = 3
IN_FLIGHT = 1
BULK_RECORDS = 2_000
_TURNS = 5

SINKS: dict[str, dict[str, Any]] = {
    "sink": {},
    "sink, with the agent behind each event": {"user_agent_field": "userAgent"},
}


def run(stack: Stack, report: Report, scale: float) -> None:
    """The same number of documents a request, the same number of connections.

    Each in turn, several times, and the best of each counts: the first ones meet a cold Java.
    """
    count = max(int(300_000 * scale), PARTITIONS * BULK_RECORDS)
    client = Elasticsearch(stack.elasticsearch_url, connections_per_node=TASKS * IN_FLIGHT, request_timeout=60)
    plain = 0.0
    best: dict[str, Drained] = {}
    for _ in range(_TURNS):
        plain = max(plain, _plain_bulk(client, count))
        for name, target in SINKS.items():
            topic, sink = _drain(stack, client, count, target)
            if name not in best or sink.rate > best[name].rate:
                best[name] = sink
    report.add(Figure("plain bulk of documents built beforehand", plain, "documents/s"))
    for name, sink in best.items():
        report.add(Figure(name, sink.rate, "documents/s", "plain bulk", plain, sink.detail))
    reading = consume_only(stack, topic, count, TASKS)
    report.add(Figure("plain confluent-kafka, reading only", reading, "events/s"))


def _drain(stack: Stack, client: Elasticsearch, count: int, target: dict[str, Any]) -> tuple[str, Drained]:
    """The topic that was drained, and how fast."""
    topic = make_topic(stack)
    prepare(client, ElasticsearchTarget(index=topic, replicas=0), event="select-color")
    sink = drain(
        stack,
        "run_es_sink",
        topic,
        count,
        {
            "kind": "elasticsearch",
            "tasks": TASKS,
            "target": {"index": topic, **target},
            "options": {"flush_records": BULK_RECORDS, "flush_seconds": 1, "in_flight": IN_FLIGHT},
        },
    )
    client.indices.refresh(index=topic)
    stored = client.count(index=topic)["count"]
    if stored != count:
        raise RuntimeError(f"{stored} of {count} documents are in the index")
    client.indices.delete(index=topic)  # or it would be merged while the next one is measured
    return topic, sink


def _plain_bulk(client: Elasticsearch, count: int) -> float:
    index = f"bench-plain-{time.monotonic_ns()}"
    prepare(client, ElasticsearchTarget(index=index, replicas=0), event="select-color")
    bodies = [
        [
            line
            for number in range(first, min(first + BULK_RECORDS, count))
            for line in (b'{"index":{"_id":"%s-%d"}}' % (index.encode(), number), event(number))
        ]
        for first in range(0, count, BULK_RECORDS)
    ]

    def send(body: list[bytes]) -> None:
        answer = client.bulk(index=index, operations=body, filter_path="errors")
        if answer["errors"]:
            raise RuntimeError("Elasticsearch refused a document")

    with ThreadPoolExecutor(TASKS * IN_FLIGHT) as pool:
        begin = time.perf_counter()
        for future in [pool.submit(send, body) for body in bodies]:
            future.result()
        seconds = time.perf_counter() - begin
    client.indices.delete(index=index)
    return count / seconds
