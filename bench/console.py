"""The main page's poll, with many documents and 500 partitions: how long one request for all panels takes."""

import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client, override_settings
from django.utils import timezone
from elasticsearch import Elasticsearch
from elasticsearch.dsl.connections import connections

from bench.report import Figure, Report
from devstack.stack import Stack
from events.event import format_timestamp
from pipeline.console.statistics.views import panels_of
from pipeline.live import live_reads
from pipeline.statistics import EVENT
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.setup import prepare
from sinks.elasticsearch.user_agents import AddingAgent
from sinks.models import SinkLag, SinkProcess
from sinks.reporting.reports import PartitionReport, SinkReport
from worker.reports import TaskReport

DOCUMENTS = 500_000
PARTITIONS = 500
DAYS = 30
POLLS = 10
SAMPLES = 240

_BULK = 5_000
_TOPIC = "bench-console"


def run(stack: Stack, report: Report, scale: float) -> None:
    """--scale 20 is 10,000,000 documents, some minutes and 2 GB."""
    count = int(DOCUMENTS * scale)
    sinks = {
        "hdfs": {"kind": "hdfs", "topics": [_TOPIC], "target": {"path": "/bench"}},
        "elasticsearch": {
            "kind": "elasticsearch",
            "topics": [_TOPIC],
            "target": {"index": _TOPIC, "replicas": 0, "user_agent_field": "userAgent"},
        },
    }
    elasticsearch: dict[str, Any] = {"default": {"hosts": [stack.elasticsearch_url], "request_timeout": 60}}
    with override_settings(
        KAFKA={"default": {"bootstrap.servers": stack.bootstrap_servers}},
        HDFS={"default": {"url": stack.webhdfs_url, "user": "hdfs", "timeout_seconds": 30.0}},
        ELASTICSEARCH_DSL=elasticsearch,
        EVENTS={**settings.EVENTS, "topic": _TOPIC},
        SINKS=sinks,
        CONSOLE={"elasticsearch_timeout_seconds": 30, "kafka_timeout_seconds": 30},
    ):
        connections.configure(**elasticsearch)
        call_command("migrate", verbosity=0)
        _fill_kafka(stack, list(sinks))
        _fill_database(list(sinks))
        _fill_index(stack, count)
        client = Client()
        client.force_login(User.objects.create_superuser("bench"))
        elasticsearch_client = connections.get_connection()
        for span in ("15m", "24h", "30d"):
            _poll(client, span)
            polls = []
            for _ in range(POLLS):
                elasticsearch_client.indices.clear_cache(index=_TOPIC, request=True)  # as an index that grows has it
                live_reads.cache_clear()  # what another page has just asked is not read again
                polls.append(_poll(client, span))
            name = f"polls of {span}, {count:,} documents, {PARTITIONS} partitions"
            first, whole = (statistics.median(seconds) for seconds in zip(*polls, strict=True))
            worst = max(first for first, _ in polls)
            detail = f"median {first:.3f} s, worst {worst:.3f} s; all panels after {whole:.3f} s"
            report.add(Figure(name, 1 / first, "polls/s", detail=detail))
        for id in panels_of(EVENT):
            report.add(_panel(client, id))


def _poll(client: Client, span: str) -> tuple[float, float]:
    """Seconds of the first answer, and until all panels were there: the page asks again for those that are late."""
    started = time.perf_counter()
    answer = _ask(client, f"range={span}")
    first = time.perf_counter() - started
    while None in answer.values():
        time.sleep(0.1)
        answer = _ask(client, f"range={span}")
    return first, time.perf_counter() - started


def _panel(client: Client, id: str) -> Figure:
    """How long one panel takes alone, over 30 days."""
    found = []
    for _ in range(3):
        live_reads.cache_clear()
        started = time.perf_counter()
        while None in _ask(client, f"range=30d&panel={id}").values():
            pass
        found.append(time.perf_counter() - started)
    seconds = statistics.median(found)
    return Figure(f"panel {id} alone, 30d", 1 / seconds, "polls/s", detail=f"median {seconds:.3f} s")


def _ask(client: Client, query: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/admin/events/selectcolorevent/panels/?{query}").json()
    wrong = {name: panel for name, panel in answer.items() if panel is not None and "error" in panel}
    if wrong:
        raise RuntimeError(f"not read: {wrong}")
    return answer


def _fill_kafka(stack: Stack, sinks: list[str]) -> None:
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    topics = [NewTopic(_TOPIC, PARTITIONS, 1), NewTopic(f"{_TOPIC}.dlq", 3, 1)]
    for future in admin.create_topics(topics, request_timeout=60).values():
        future.result()
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for number in range(PARTITIONS):
        producer.produce(_TOPIC, b"{}", partition=number)  # so each sink is behind everywhere
    if left := producer.flush(60):
        raise RuntimeError(f"{left} records were not taken")
    for sink in sinks:
        consumer = Consumer({"bootstrap.servers": stack.bootstrap_servers, "group.id": f"sink-{sink}"})
        consumer.commit(offsets=[TopicPartition(_TOPIC, n, 0) for n in range(PARTITIONS)], asynchronous=False)
        consumer.close()


def _fill_database(sinks: list[str]) -> None:
    now = timezone.now()
    common: dict[str, Any] = {"state": "running", "since": now, "healthy": True, "reason": "", "tries": 0}
    partitions = [
        PartitionReport(
            topic=_TOPIC,
            partition=n,
            task="bench/0",
            position=123_456_500,
            stored=123_456_000,
            committed=123_456_000,
            end=123_456_789,
            lag=789,
            **common,
        )
        for n in range(PARTITIONS)
    ]
    parts = msgspec.json.encode([(_TOPIC, n, 123_456_789, 123_456_000) for n in range(PARTITIONS)]).decode()
    for sink in sinks:
        found = SinkReport(
            sink=sink,
            healthy=True,
            since=now,
            buffered_bytes=0,
            records=0,
            tasks=[TaskReport(task="bench/0", **common)],
            partitions=partitions,
        )
        SinkProcess.objects.create(
            sink=sink,
            host="bench",
            pid=1,
            started=now,
            version="0",
            heard_at=now + timedelta(hours=1),
            report=msgspec.json.encode(found).decode(),
        )
        SinkLag.objects.bulk_create(
            SinkLag(sink=sink, sampled_at=now - timedelta(seconds=15 * n), parts=parts) for n in range(SAMPLES)
        )


def _fill_index(stack: Stack, count: int) -> None:
    with Elasticsearch(stack.elasticsearch_url, request_timeout=120, connections_per_node=3) as client:
        prepare(client, ElasticsearchTarget(index=_TOPIC, replicas=0), event="select-color")
        # Loading is not what is measured: it writes as few segments, and waits for the disk as rarely, as it may.
        loading = {"refresh_interval": "-1", "translog.durability": "async", "translog.flush_threshold_size": "1gb"}
        client.indices.put_settings(index=_TOPIC, settings=loading)
        with ThreadPoolExecutor(3) as pool:
            for answer in pool.map(lambda body: client.bulk(index=_TOPIC, operations=body), _bodies(count)):
                if answer["errors"]:
                    raise RuntimeError("a document was refused")
        client.indices.refresh(index=_TOPIC)
        while client.indices.stats(index=_TOPIC, metric="merge")["_all"]["total"]["merges"]["current"]:
            time.sleep(1)


def _bodies(count: int) -> Iterator[list[bytes]]:
    """Bulk requests of events of the last days, of 10,000 users with 300 user agents; the later, the more."""
    chance = random.Random(7)
    now = timezone.localtime()
    moments = [format_timestamp(now - timedelta(minutes=n)).encode() for n in range(DAYS * 24 * 60)]
    add_agent = AddingAgent("userAgent")
    tails = [
        add_agent(
            b'{"timestamp":"@","userAgent":"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) '
            b'Chrome/%d.0.0.0 Safari/537.36","colorName":"%s","userName":"user-%d"}'
            % (n % 300, (b"red", b"yellow", b"green", b"blue")[n % 4], n % 10_000)
        ).partition(b"@")[2]
        for n in range(12_000)
    ]
    for begin in range(0, count, _BULK):
        operations: list[bytes] = []
        for _ in range(min(_BULK, count - begin)):
            moment = moments[int(len(moments) * chance.random() ** 2)]
            operations += (b'{"index":{}}', b'{"timestamp":"%b%b' % (moment, chance.choice(tails)))
        yield operations
