"""Where a stream begins, what comes too late, and a Kafka or topics that are not there."""

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from pipeline.setup import set_up
from tests.sinks.monitor import Monitor
from tests.streams.running import BEGIN, RunningStream, read_committed, send
from tests.support import kafka_killed, make_topics, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("streams")]


def shouting(kafka: Stack, folder: Path, *, made: bool = True) -> tuple[RunningStream, str, str]:
    """A stream that makes texts loud, and its two topics."""
    read, to = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("quiet", "loud"))
    entry = {"type": "tests.streams.shouting.Shouting", "settings": {"read": read, "to": to}}
    return RunningStream(kafka, folder, entry, *([read, to] if made else [read])), read, to


def test_setup_pipeline_makes_the_topics_of_streams(kafka: Stack, settings: Any) -> None:
    settings.KAFKA = {"default": {"bootstrap.servers": kafka.bootstrap_servers}}
    settings.SINKS = {}
    settings.STREAMS = {"activity-counts": {}}
    told = list(set_up())
    for topic in ("select-color", "activity.counts", "activity-counts.dlq"):
        assert f"Kafka topic {topic}: made, 3 partitions" in told


def test_from_says_where_a_new_stream_begins_and_is_refused_later(kafka: Stack, tmp_path: Path) -> None:
    stream, read, to = shouting(kafka, tmp_path)
    send(kafka, read, [(0, BEGIN + number * 1000, b"text %d" % number) for number in range(10)])
    moment = datetime.fromtimestamp(BEGIN / 1000 + 7, UTC).isoformat()
    with stream.running("--from", moment) as process:
        read_committed(kafka, to, at_least=3)
        assert process.stop() == 0, process.text
    assert sorted(m.value() for m in read_committed(kafka, to)) == [b'"TEXT 7"', b'"TEXT 8"', b'"TEXT 9"']
    with stream.running("--from", "earliest") as process:
        assert process.wait() == 1
        assert "has begun already" in process.text


def test_a_stream_goes_on_when_kafka_or_a_missing_topic_is_there_and_tells_it(kafka: Stack, tmp_path: Path) -> None:
    stream, read, to = shouting(kafka, tmp_path, made=False)
    monitor = Monitor()
    with stream.running("--metrics-port", str(monitor.port)) as process:
        process.wait_for(f"topic {to} is missing: run `manage.py setup_pipeline`")
        make_topics(kafka, to)
        send(kafka, read, [(0, BEGIN, b"one")])
        stream.wait_read_all(read, process)
        with kafka_killed(kafka):
            process.wait_for("brokers are down")
        send(kafka, read, [(1, BEGIN, b"two"), (2, BEGIN, None)])
        stream.wait_read_all(read, process)
        assert monitor.health()[0] == 200
        # A record whose transaction was given up and begun again counts once.
        wait_until(lambda: monitor.total("stream_records_total", stream=stream.name) == 3, what="the last commit")
        assert monitor.total("stream_dead_letters_total", stream=stream.name) == 1
        assert process.stop() == 0, process.text
    assert sorted(m.value() for m in read_committed(kafka, to)) == [b'"ONE"', b'"TWO"']
    (letter,) = read_committed(kafka, stream.dead_letters)
    assert (letter.value(), dict(letter.headers())["dlq.reason"]) == (None, b"the record has no value")


def test_what_comes_after_the_grace_period_is_not_counted_and_is_told(kafka: Stack, tmp_path: Path) -> None:
    topic, to = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("events", "counts"))
    settings = {"topics": {topic: []}, "to": to, "grace_seconds": 5}
    entry = {"type": "streams.activity_counts.ActivityCounts", "settings": settings}
    stream = RunningStream(kafka, tmp_path, entry, topic, to)
    # The third comes when a window of 10 seconds may be 5 seconds old, the last one later.
    send(kafka, topic, [(0, BEGIN + 1000 * second, b"{}") for second in (1, 14, 2, 16, 3)])
    with stream.running() as process:
        process.wait_for("came 8000 ms too late for the window")
        read_committed(kafka, to, at_least=4)
        assert process.stop() == 0
    counts = [json.loads(message.value()) for message in read_committed(kafka, to)]
    assert [(count["begin"] - BEGIN, count["count"]) for count in counts] == [(0, 1), (10_000, 1), (0, 2), (10_000, 2)]
