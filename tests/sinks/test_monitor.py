"""Metrics and status of a running sink, on real servers, one of which goes away for a while."""

from collections.abc import Callable

import pytest
from elasticsearch import Elasticsearch

from devstack.stack import Stack
from tests.sinks.monitor import Monitor
from tests.support import Process, event, hdfs_files, produce, wait_until

pytestmark = pytest.mark.integration

RunSink = Callable[..., Process]


def test_hdfs_sink_counts_what_it_stores_and_shows_that_hdfs_is_away(
    stack: Stack, topic: str, run_sink: RunSink
) -> None:
    monitor = Monitor()
    entry = {
        "kind": "hdfs",
        "topics": [topic],
        "group": f"g-{topic}",
        "target": {"path": f"/t/{topic}"},
        "options": {"flush_records": 20, "flush_seconds": 0.3, "retry_seconds": 1},
        "metrics_port": monitor.port,
    }
    events = [event(n) for n in range(300)]
    produce(stack, topic, [*events, b"no event", b"{}", b"[1]"])
    sink = run_sink(entry)
    monitor.wait_records(303)
    assert monitor.total("sink_records_total", sink="under-test", topic=topic, partition="0") == 101
    assert monitor.total("sink_dead_letters_total", reason="invalid") == 3
    files = hdfs_files(stack, f"/t/{topic}")
    assert monitor.total("sink_files_total") == len(files)
    assert monitor.total("sink_uploaded_bytes_total") == sum(map(len, files.values()))
    assert monitor.total("sink_upload_seconds_count") == len(files)
    assert monitor.total("sink_flush_seconds_count") >= 3
    for partition in monitor.wait_lag(0):
        assert (partition["state"], partition["committed"], partition["end"]) == ("running", 101, 101)
    assert monitor.health() == (200, {"healthy": True})

    stack.namenode.kill()
    try:
        produce(stack, topic, events)
        _, health = wait_until(
            lambda: answer if (answer := monitor.health())[0] == 503 else None, what="an unhealthy sink"
        )
        assert health["healthy"] is False
        assert health["tasks"] == []
        for partition in health["partitions"]:
            assert (partition["topic"], partition["state"]) == (topic, "backing off")
            assert "Connection refused" in partition["reason"]
            assert partition["tries"] > 1
        monitor.wait_lag(100)
        assert monitor.total("sink_partition_state", state="backing off") == 3
        assert monitor.total("sink_retries_total", reason="unreachable") > 3
    finally:
        stack.namenode.start()
        stack.namenode.wait_ready(60)
    monitor.wait_records(603)
    assert monitor.health()[0] == 200
    assert monitor.total("sink_records_total") == 603
    assert monitor.total("sink_partition_state", state="running") == 3
    assert sink.stop() == 0


def test_elasticsearch_sink_counts_documents_and_what_the_index_refuses(
    stack: Stack, topic: str, index: str, run_sink: RunSink
) -> None:
    monitor = Monitor()
    entry = {
        "kind": "elasticsearch",
        "topics": [topic],
        "group": f"g-{topic}",
        "target": {"index": index},
        "options": {"flush_records": 50, "flush_seconds": 0.3},
        "metrics_port": monitor.port,
    }
    client = Elasticsearch(stack.elasticsearch_url)
    client.indices.put_mapping(index=index, properties={"extra": {"type": "integer"}})
    client.close()
    produce(stack, topic, [*(event(n) for n in range(298)), b"no event", event(298, extra="no number")])
    run_sink(entry)
    monitor.wait_records(300)
    assert monitor.total("sink_documents_total", topic=topic) == 298
    assert monitor.total("sink_dead_letters_total", reason="invalid") == 1
    assert monitor.total("sink_dead_letters_total", reason="refused") == 1
    assert monitor.total("sink_bulk_seconds_count") >= 3
    monitor.wait_lag(0)
