"""What a sink's process tells the database and is told by it; the sink goes on without one."""

import threading
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from django.conf import settings
from django.db import OperationalError

from sinks.control import Control, Restart
from sinks.models import SinkLag, SinkPause, SinkProcess, SinkRestart
from sinks.records import Batch, Columns, Partition
from sinks.reporting.heartbeat import LAG_EVERY, LAG_KEPT, SinkHeartbeat
from sinks.reporting.metrics import SinkMetrics
from sinks.reporting.reports import SinkReport
from sinks.reporting.states import SinkStatus, TaskStatus
from tests.support import event, wait_until
from worker import heartbeat as module
from worker.process_row import FORGOTTEN_AFTER

PARTITION = Partition("clicks", 1)


class Sink:
    """A process of the sink `hdfs` that owns one partition; `now` is set by the test."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
        self.task = TaskStatus("hdfs/0", SinkMetrics("hdfs"))
        self.partition = self.task.assign(PARTITION)
        self.status = SinkStatus("hdfs", [self.task], lambda: 0)
        self.control = Control()
        self.heartbeat = SinkHeartbeat(
            "hdfs", self.status.report, self.control, every_seconds=0.02, now=lambda: self.now
        )

    def beat(self, *, after: timedelta = timedelta()) -> None:
        self.now += after
        self.heartbeat.beat()

    def store(self, count: int) -> None:
        batch = Batch(PARTITION, 0, 0, opened_at=0.0)
        batch.add(Columns(range(count), [event(n) for n in range(count)], [0] * count), {})
        self.partition.stored(batch)


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.mark.django_db
def test_a_process_has_one_row_which_tells_what_it_does_and_how_fast(sink: Sink) -> None:
    sink.partition.running()
    sink.beat()
    sink.store(50)
    sink.beat(after=timedelta(seconds=5))
    row = SinkProcess.objects.get()
    assert (row.sink, row.stopped, row.heard_at, row.version) == ("hdfs", False, sink.now, settings.VERSION)
    assert row.records_per_second == 10
    report = msgspec.json.decode(row.report, type=SinkReport)
    assert [(p.partition, p.state, p.records) for p in report.partitions] == [(1, "running", 50)]


@pytest.mark.django_db
def test_a_host_that_gets_another_name_is_no_other_process(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    sink.beat()
    monkeypatch.setattr("socket.gethostname", lambda: "renamed")
    sink.beat()
    assert SinkProcess.objects.count() == 1


@pytest.mark.django_db
def test_when_a_sink_wrote_last_outlives_its_process_and_the_moves_of_its_partitions(sink: Sink) -> None:
    def told() -> tuple[datetime | None, list[datetime | None]]:
        report = msgspec.json.decode(SinkProcess.objects.get().report, type=SinkReport)
        return report.last_write, [part.last_write for part in report.partitions]

    sink.beat()
    assert told() == (None, [None])
    sink.store(50)
    sink.beat()
    write = told()[0]
    assert write is not None
    sink.task.leave(PARTITION)
    sink.beat()
    assert told() == (write, [])
    sink.task.assign(PARTITION)
    sink.beat()
    assert told() == (write, [write])
    Sink().beat()  # the next process
    assert told() == (write, [None])


@pytest.mark.django_db
def test_what_is_to_be_paused_is_asked_with_each_beat(sink: Sink) -> None:
    pause = SinkPause.objects.create(sink="hdfs", topic="clicks", partition=1, asked_by="kim")
    SinkPause.objects.create(sink="other", asked_by="kim")
    sink.beat()
    assert sink.control.is_paused(PARTITION)
    assert not sink.control.is_paused(Partition("clicks", 0))
    pause.delete()
    SinkPause.objects.create(sink="hdfs", asked_by="kim")
    sink.beat()
    assert sink.control.is_paused(Partition("clicks", 0))
    SinkPause.objects.all().delete()
    sink.beat()
    assert not sink.control.is_paused(PARTITION)


@pytest.mark.django_db
def test_a_wish_goes_to_the_owner_once_and_its_outcome_is_written_down(sink: Sink) -> None:
    wish = SinkRestart.objects.create(sink="hdfs", topic="clicks", partition=1, offset=5, asked_by="kim")
    SinkRestart.objects.create(sink="hdfs", topic="clicks", partition=2, offset=5, asked_by="kim")
    sink.beat()
    assert sink.control.take_restart(Partition("clicks", 2)) is None  # another process owns it
    assert sink.control.take_restart(PARTITION) == Restart(wish.pk, PARTITION, 5)
    sink.beat()
    assert sink.control.take_restart(PARTITION) is None
    sink.control.done(wish.pk, "why not")
    sink.beat()
    wish.refresh_from_db()
    assert (wish.done_at, wish.error) == (sink.now, "why not")
    assert sink.control.outcomes() == {}


@pytest.mark.django_db
def test_lag_is_sampled_and_what_is_old_is_forgotten(sink: Sink) -> None:
    started = sink.now
    SinkProcess.objects.create(sink="hdfs", host="gone", pid=1, started=started, heard_at=started, report="{}")
    SinkProcess.objects.create(sink="other", host="gone", pid=1, started=started, heard_at=started, report="{}")
    sink.partition.progress(position=9, stored=7, committed=7, end=10)
    sink.beat()
    sink.beat(after=LAG_EVERY / 2)
    assert [msgspec.json.decode(row.parts) for row in SinkLag.objects.all()] == [[["clicks", 1, 10, 7]]]
    assert SinkProcess.objects.count() == 3
    sink.beat(after=max(LAG_KEPT, FORGOTTEN_AFTER))
    assert [row.sampled_at for row in SinkLag.objects.all()] == [sink.now]
    assert sorted((row.sink, row.host == "gone") for row in SinkProcess.objects.all()) == [
        ("hdfs", False),
        ("other", True),  # nobody has taken its place
    ]


PARTS = ("_report", "_ask_pauses", "_ask_restarts", "_sample_lag")


def test_a_database_that_is_away_is_told_once_and_asked_again(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    beats: list[bool] = []
    is_away = True

    def report(*, stopped: bool = False) -> None:
        beats.append(stopped)
        ask()

    def ask() -> None:
        if is_away:
            raise OperationalError("connection refused")

    for part in PARTS:
        monkeypatch.setattr(sink.heartbeat, part, report if part == "_report" else ask)
    with caplog.at_level("INFO", logger=module.__name__):
        sink.heartbeat.start(wait_seconds=5)
        wait_until(lambda: len(beats) > 3, what="more tries")
        is_away = False
        wait_until(lambda: "asks it again" in caplog.text, what="the database is back")
        sink.heartbeat.stop(wait_seconds=5)
    assert caplog.text.count("connection refused") == 1
    assert beats[-1] is True


@pytest.mark.parametrize("broken", [*PARTS, "status"])
@pytest.mark.django_db
def test_a_part_of_a_beat_that_fails_is_told_by_its_own_words_and_stops_no_other(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("a mistake")

    SinkPause.objects.create(sink="hdfs", topic="clicks", partition=1, asked_by="kim")
    SinkRestart.objects.create(sink="hdfs", topic="clicks", partition=1, offset=5, asked_by="kim")
    with monkeypatch.context() as patch:
        patch.setattr(sink.heartbeat, broken, fails)
        for _ in range(3):
            sink.beat()
        done = {
            "_report": SinkProcess.objects.exists(),
            "_ask_pauses": sink.control.is_paused(PARTITION),
            "_ask_restarts": sink.control.take_restart(PARTITION) is not None,
            "_sample_lag": SinkLag.objects.exists(),
        }
    needs_status = {"_report", "_ask_restarts", "_sample_lag"} if broken == "status" else {broken}
    assert {part for part in PARTS if not done[part]} == needs_status
    assert [record.exc_text.splitlines()[-1] for record in caplog.records if record.exc_text] == [
        "RuntimeError: a mistake"
    ]
    assert len(caplog.records) == 1
    assert "database" not in caplog.messages[0]


def test_the_thread_outlives_every_error(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[str] = []

    def fails(**_: object) -> None:
        beats.append("")
        raise ValueError(f"error {len(beats)}")

    for part in PARTS:
        monkeypatch.setattr(sink.heartbeat, part, fails)
    sink.heartbeat.start(wait_seconds=5)
    wait_until(lambda: len(beats) > 12, what="more beats")
    sink.heartbeat.stop(wait_seconds=5)


@pytest.mark.parametrize("report", ["", "no JSON", '{"last_write": "yesterday"}', "[]", '{"last_write": 5}'])
@pytest.mark.django_db
def test_the_report_of_an_earlier_process_that_can_not_be_decoded_is_passed_over(sink: Sink, report: str) -> None:
    written = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    for pid, text in enumerate([report, msgspec.json.encode({"last_write": written}).decode()]):
        SinkProcess.objects.create(sink="hdfs", host="gone", pid=pid, started=sink.now, heard_at=sink.now, report=text)
    sink.beat()
    told = msgspec.json.decode(SinkProcess.objects.exclude(host="gone").get().report, type=SinkReport)
    assert told.last_write == written


def test_a_database_that_hangs_holds_nobody(sink: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(sink.heartbeat, "beat", lambda **_: answered.wait(30))
    sink.heartbeat.start(wait_seconds=0.05)
    sink.heartbeat.stop(wait_seconds=0.05)
    answered.set()
    sink.heartbeat.stop(wait_seconds=5)


@pytest.mark.django_db
def test_a_goodbye_is_told(sink: Sink) -> None:
    sink.heartbeat.beat(stopped=True)
    row = SinkProcess.objects.get()
    assert (row.stopped, row.records_per_second) == (True, 0)
