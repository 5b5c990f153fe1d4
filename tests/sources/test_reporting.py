"""What a source tells of itself: status, health, metrics, heartbeats."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import generate_latest

from sources.heartbeat import SourceHeartbeat
from sources.metrics import SourceMetrics, StateCollector
from sources.models import SourceProcess
from sources.reports import MOST_PARTS, SourceReport
from sources.states import SourceStatus, TaskStatus
from tests.sources.memory import Ground, source
from tests.sources.numbers import NumbersTarget
from worker.errors import Fatal, Retriable
from worker.monitor import monitor_app
from worker.process_row import FORGOTTEN_AFTER
from worker.states import UNHEALTHY_SECONDS


class Told:
    """A task with two parts, its status and its web pages; `now` is set by the test."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.metrics = SourceMetrics("n")
        self.task = TaskStatus("n/0", self.metrics, lambda: self.now)
        self.parts = [self.task.add_part(name, 1) for name in "ab"]
        self.status = SourceStatus("n", [self.task], lambda: self.now)
        self.metrics.registry.register(StateCollector(self.status.report))
        self._app = monitor_app(self.metrics.registry, self.status.report)

    def get(self, path: str) -> tuple[str, Any]:
        answers: list[str] = []
        body = b"".join(self._app({"PATH_INFO": path}, lambda status, _: answers.append(status)))  # type: ignore[arg-type,return-value,misc]
        return answers[0], json.loads(body)

    def metric(self, name: str) -> str:
        text = generate_latest(self.metrics.registry).decode()
        return next(line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(name))


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_part_that_backs_off_for_long_makes_the_source_unhealthy_and_is_shown_first(told: Told) -> None:
    told.parts[0].running(None)
    told.parts[1].backing_off("reading", Retriable("away", reason="unreachable"))
    assert told.get("/healthz") == ("200 OK", {"healthy": True})
    told.now += UNHEALTHY_SECONDS
    status, health = told.get("/healthz")
    assert (status, [part["part"] for part in health["parts"]]) == ("503 Service Unavailable", ["b"])
    shown = told.get("/status")[1]
    assert [(part["part"], part["state"], part["reason"]) for part in shown["parts"]] == [
        ("b", "backing off", "reading: away"),
        ("a", "running", ""),
    ]
    assert shown["tasks"][0]["errors"][0]["where"] == "b"
    assert told.metric('source_retries_total{reason="unreachable"') == "1.0"
    assert told.metric('source_parts{source="n",state="backing off"}') == "1.0"
    assert told.metric("source_healthy") == "0.0"
    told.parts[1].running({"next": 1})
    assert told.get("/healthz") == ("200 OK", {"healthy": True})


def test_a_task_that_fails_goes_on_showing_its_parts(told: Told) -> None:
    told.task.failed(Fatal("the table is gone"))
    told.task.drop_part("a")
    states = {part["part"]: (part["state"], part["reason"]) for part in told.get("/status")[1]["parts"]}
    assert states == dict.fromkeys("ab", ("failed", "the table is gone"))


def test_a_report_of_many_parts_is_bounded_and_counts_all(told: Told) -> None:
    for number in range(2 * MOST_PARTS):
        told.task.add_part(f"p{number}", 0).running(None)
    report = told.status.report()
    assert (len(report.parts), report.states["running"], report.parts[0].part) == (MOST_PARTS, 2 * MOST_PARTS, "a")


def test_a_position_of_a_megabyte_is_reported_in_short(told: Told) -> None:
    told.parts[0].running({"files": [{"path": "/var/log/a"}] * 3000, "seen": 5})
    assert told.parts[0].report().position == {"files": "3000 items", "seen": 5}


def test_what_is_committed_is_counted() -> None:
    ground = Ground(source(NumbersTarget(topic="t", count=30, chunk=10)))
    ground.step(ground.owner())
    (part,) = ground.status.parts()
    assert (ground.status.records, part.records, part.position) == (30, 30, {"next": 30})
    text = generate_latest(ground.status.metrics.registry).decode()
    assert 'source_records_total{source="n",topic="t"} 30.0' in text
    assert 'source_transactions_total{source="n"} 1.0' in text


@pytest.mark.django_db
def test_a_process_has_one_row_and_those_that_are_gone_are_forgotten(told: Told) -> None:
    now = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    SourceProcess.objects.create(source="n", host="gone", pid=1, started=now, heard_at=now, report="{}")
    heartbeat = SourceHeartbeat("n", told.status.report, every_seconds=1, now=lambda: now)
    heartbeat.beat()
    told.task.committed(50)
    now += timedelta(seconds=5)
    heartbeat.beat()
    row = SourceProcess.objects.exclude(host="gone").get()
    assert (row.records_per_second, row.stopped, row.heard_at) == (10, False, now)
    assert msgspec.json.decode(row.report, type=SourceReport).records == 50
    now += FORGOTTEN_AFTER
    heartbeat.beat(stopped=True)
    row = SourceProcess.objects.get()
    assert (row.stopped, row.records_per_second) == (True, 0)
