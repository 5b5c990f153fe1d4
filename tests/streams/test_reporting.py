"""What a stream's process tells of itself: status, health, metrics, heartbeats."""

from datetime import UTC, datetime

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from streams.heartbeat import StreamHeartbeat
from streams.models import StreamProcess
from streams.reports import StreamReport
from streams.states import StreamCollector, StreamStatus
from worker.errors import Fatal
from worker.states import UNHEALTHY_SECONDS


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def metrics(status: StreamStatus) -> str:
    registry = CollectorRegistry()
    registry.register(StreamCollector(status.stream_report))
    return generate_latest(registry).decode()


def test_what_a_stream_has_done_is_counted() -> None:
    status = StreamStatus("s", Clock())
    for _ in range(3):
        status.processed()
    status.late()
    status.late()
    status.dead_letter()
    assert status.stream_report().records == 0  # nothing is committed yet
    status.committed()
    report = status.stream_report()
    assert (report.records, report.late, report.dead_letters, report.healthy) == (3, 2, 1, True)
    assert report.last_record == datetime.fromtimestamp(Clock.now, UTC)
    text = metrics(status)
    for line in ("records_total", "late_total", "dead_letters_total"):
        assert f'stream_{line}{{stream="s"}}' in text
    assert 'stream_healthy{stream="s"} 1.0' in text


def test_a_stream_that_waits_for_kafka_for_long_is_unhealthy_until_it_goes_on() -> None:
    clock = Clock()
    status = StreamStatus("s", clock)
    status.backing_off("kafka", "away")
    assert status.stream_report().healthy
    clock.now += UNHEALTHY_SECONDS
    (task,) = status.stream_report().unhealthy()["tasks"]
    assert (task.state, task.reason) == ("backing off", "away")
    status.goes_on("kafka")
    assert status.stream_report().healthy


def test_a_stream_that_has_failed_says_why() -> None:
    status = StreamStatus("s", Clock())
    status.failed(Fatal("no"))
    (task,) = status.stream_report().unhealthy()["tasks"]
    assert (task.state, task.reason) == ("failed", "no")
    assert 'stream_healthy{stream="s"} 0.0' in metrics(status)


@pytest.mark.django_db
def test_a_process_has_one_row() -> None:
    status = StreamStatus("s")
    heartbeat = StreamHeartbeat("s", status.stream_report, every_seconds=1)
    heartbeat.beat()
    status.processed()
    status.committed()
    heartbeat.beat(stopped=True)
    row = StreamProcess.objects.get()
    assert (row.stream, row.stopped) == ("s", True)
    assert msgspec.json.decode(row.report, type=StreamReport).records == 1
