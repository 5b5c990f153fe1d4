"""What the console makes of the heartbeats of sinks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import OperationalError, connection
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from pipeline import offsets as pipeline_offsets
from pipeline.console.sinks import views
from pipeline.console.sinks.chart import lag_chart
from pipeline.console.sinks.progress import Known, SinkProgress, partition_progress
from pipeline.console.templatetags.console import full_time
from pipeline.errors import ServerError
from pipeline.heartbeats import (
    Delay,
    HeardSink,
    LagHistory,
    delays,
    read_delays,
    read_heartbeats,
    read_lag_history,
    read_longest_delay,
)
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets, PartitionOffsets
from sinks import registry as sinks_registry
from sinks.control import Control
from sinks.models import SinkLag, SinkPause, SinkProcess
from sinks.registry import sinks
from sinks.reporting.heartbeat import SinkHeartbeat
from sinks.reporting.reports import PartitionReport, SinkReport
from sinks.reporting.states import SinkStatus
from tests.pipeline.conftest import PAGE, panel_data, panel_html, rows_of
from worker.reports import RecentError, State, TaskReport

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _one_sink(settings: Settings) -> None:
    settings.SINKS = {"hdfs": {"kind": "hdfs", "topics": ["t"], "target": {"path": "/t"}}}
    sinks_registry.sinks.cache_clear()


def report(
    *partitions: int,
    state: State = "running",
    held: bool = False,
    now: datetime = NOW,
    last_write: datetime | None = NOW,
) -> SinkReport:
    """Of a process that has stored 7 of 10 records of each of its partitions."""
    common: dict[str, Any] = {"state": state, "since": now, "healthy": True, "reason": "", "tries": 0}
    errors = [RecentError(moment=now, where="t-0", text="uploading: connection refused")]
    offsets = {"position": 9, "stored": 7, "committed": 7, "end": 10, "lag": 3}
    return SinkReport(
        sink="hdfs",
        healthy=True,
        since=now,
        buffered_bytes=0,
        records=7,
        tasks=[TaskReport(task="hdfs/0", errors=errors, **{**common, "state": "running"})],
        partitions=[
            PartitionReport(topic="t", partition=number, task="hdfs/0", held=held, **common, **offsets)
            for number in partitions
        ],
        last_write=last_write,
    )


def heard(pid: int, found: SinkReport, *, at: datetime = NOW, stopped: bool = False) -> None:
    """A heartbeat."""
    SinkProcess.objects.create(
        sink="hdfs",
        host="one",
        pid=pid,
        started=at,
        version="0.1.0",
        heard_at=at,
        stopped=stopped,
        records_per_second=2.5,
        report=msgspec.json.encode(found).decode(),
    )


@pytest.mark.parametrize("damaged", ["", "no JSON", "{}", '[["t", 0, "many", 7]]'])
@pytest.mark.django_db
def test_a_sample_or_a_report_that_can_not_be_decoded_is_passed_over(damaged: str) -> None:
    heard(1, report(0))
    heard(2, report(1))
    SinkProcess.objects.filter(pid=2).update(report=damaged)
    for minutes, parts in enumerate(['[["t", 0, 10, 7]]', damaged, '[["t", 0, 12, 8]]']):
        SinkLag.objects.create(sink="hdfs", sampled_at=NOW + timedelta(minutes=minutes), parts=parts)
    [sink] = read_heartbeats(sinks().values(), now=NOW + timedelta(seconds=3))
    assert (len(sink.processes), len(sink.partitions)) == (2, 1)
    later = NOW + timedelta(minutes=3)
    assert [lag for _, lag in read_lag_history("hdfs").total()] == [3, 4]
    assert set(read_delays("hdfs", {("t", 0): 8}, later)) == {("t", 0)}
    assert read_longest_delay("hdfs", {("t", 0): 8}, later) is not None


@pytest.mark.django_db
def test_a_sink_is_what_its_processes_say() -> None:
    heard(1, report(0, 1))
    heard(2, report(2, state="backing off"))
    [sink] = read_heartbeats(sinks().values(), now=NOW + timedelta(seconds=3))
    assert (sink.state, sink.tasks, len(sink.partitions), sink.records_per_second) == ("backing off", 2, 3, 5.0)
    assert (sink.troubles, sink.last_write, len(sink.errors)) == (1, NOW, 2)


def test_each_process_shows_its_own_worst_state(viewer: Client) -> None:
    now = timezone.now()
    heard(1, report(0), at=now)
    heard(2, report(1, state="backing off"), at=now)
    heard(3, report(2, held=True), at=now)
    heard(4, report(3, state="failed"), at=now - timedelta(minutes=5))
    [sink] = read_heartbeats(sinks().values())
    assert [process.condition for process in sink.processes] == ["running", "backing off", "paused", "silent"]
    shown = viewer.get("/admin/console/sinks/hdfs/processes/").json()["html"]
    assert shown.count('data-state="backing off"') == 2  # of the sink and of the process


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("partitions", "others", "state"),
    [((0, 1), (0, 1, 2), "taken over"), ((0, 1), (0,), "silent"), ((0,), (), "silent"), ((), (), "taken over")],
)
def test_a_killed_process_is_no_failure_any_more_when_another_has_its_partitions(
    partitions: tuple[int, ...], others: tuple[int, ...], state: str
) -> None:
    heard(1, report(*partitions), at=NOW - timedelta(minutes=5))
    heard(2, report(*others))
    [sink] = read_heartbeats(sinks().values(), now=NOW)
    assert [process.state for process in sink.processes] == [state, "running"]


@pytest.mark.parametrize("partitions", [(0,), ()])
def test_without_kafka_the_partitions_of_the_living_processes_are_shown(
    partitions: tuple[int, ...], viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard(1, report(*partitions), at=timezone.now())
    monkeypatch.setattr(views, "shared_progress", lambda _configs: {"hdfs": (None, ServerError("Kafka", "away"))})
    shown = viewer.get("/admin/console/sinks/hdfs/partitions/").json()["html"]
    assert ("What the sink itself said last" in shown) is bool(partitions)
    assert ("No process of the sink owns a partition" in shown) is not bool(partitions)
    assert "Neither Kafka nor" not in shown


@pytest.mark.django_db
def test_the_last_write_is_that_of_any_process_also_of_one_that_stopped() -> None:
    heard(1, report(), stopped=True)
    heard(2, report(last_write=NOW - timedelta(minutes=1)), at=NOW + timedelta(seconds=1), stopped=True)
    [sink] = read_heartbeats(sinks().values(), now=NOW)
    assert (sink.state, [process.pid for process in sink.processes], sink.last_write) == ("stopped", [2], NOW)
    heard(3, report(0, last_write=None))
    [sink] = read_heartbeats(sinks().values(), now=NOW)
    assert (sink.state, sink.last_write) == ("running", NOW)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("seconds", "stopped", "state"),
    [(3, False, "running"), (60, False, "silent"), (3, True, "stopped"), (60, True, "stopped")],
)
def test_a_process_that_does_not_beat_is_silent_unless_it_said_goodbye(seconds: int, stopped: bool, state: str) -> None:
    heard(1, report(0), stopped=stopped)
    [sink] = read_heartbeats(sinks().values(), now=NOW + timedelta(seconds=seconds))
    assert (sink.state, sink.heard_at) == (state, NOW)
    assert (len(sink.partitions) == 1) is (state == "running")


@pytest.mark.django_db
def test_a_sink_that_was_never_heard_is_shown_as_such() -> None:
    [sink] = read_heartbeats(sinks().values(), now=NOW)
    assert (sink.state, sink.heard_at, sink.tasks) == ("never heard", None, 0)


@pytest.mark.django_db
def test_a_wish_is_pending_until_the_owner_has_done_it() -> None:
    heard(1, report(0, 1))
    heard(2, report(2, held=True))
    SinkPause.objects.create(sink="hdfs", topic="t", partition=1, asked_by="kim")
    [sink] = read_heartbeats(sinks().values(), now=NOW)
    assert sink.pending == [("t", 1), ("t", 2)]
    SinkPause.objects.create(sink="hdfs", asked_by="kim")
    [sink] = read_heartbeats(sinks().values(), now=NOW)
    assert sink.pending == [("t", 0), ("t", 1)]


@pytest.mark.usefixtures("kafka_is_away")
def test_a_pause_of_one_partition_is_asked_for_until_its_owner_has_done_it(viewer: Client) -> None:
    SinkPause.objects.create(sink="hdfs", topic="t", partition=1, asked_by="kim")
    heard(1, report(0, 1), at=timezone.now())
    assert (only_sink().held, only_sink().awaits_pause) == (0, True)
    SinkProcess.objects.all().delete()
    heard(1, report(0), at=timezone.now())
    heard(2, report(1, held=True), at=timezone.now())
    assert (only_sink().state, only_sink().held, only_sink().awaits_pause) == ("running", 1, False)
    overview = "/admin/console/sinks/overview/"
    for language, text in (("en", "1 partition paused"), ("ko", "파티션 1개 일시 정지됨")):
        shown = viewer.get(overview, headers={"Accept-Language": language}).json()["html"]
        assert text in shown
    assert "a pause is asked for" not in viewer.get(overview).json()["html"]
    SinkPause.objects.create(sink="hdfs", asked_by="kim")
    assert only_sink().awaits_pause
    SinkProcess.objects.all().delete()
    assert only_sink().awaits_pause


@pytest.mark.django_db
@pytest.mark.parametrize("text", ['{"sink": "hdfs"}', '{"sink', ""])
def test_a_report_of_another_version_is_left_out(text: str) -> None:
    heard(1, report(0))
    SinkProcess.objects.update(report=text)
    [sink] = read_heartbeats(sinks().values(), now=NOW)
    assert (sink.state, sink.partitions) == ("running", {})


@pytest.mark.django_db
def test_lag_joins_kafka_with_the_sink_and_is_never_negative() -> None:
    [sink] = _heard_without_database()
    offsets = ClusterOffsets(
        {"t": [PartitionOffsets(0, 0, 20), PartitionOffsets(1, 0, 5), PartitionOffsets(2, 3, 10)]},
        {"sink-hdfs": GroupOffsets({("t", 0): 15, ("t", 1): 6})},
    )
    rows = partition_progress(sink, offsets)
    assert [(row.partition, row.lag, row.lag_state, row.report is not None) for row in rows] == [
        (0, 5, "ok", True),
        (1, 0, "ahead", False),
        (2, 7, "none", False),
    ]
    [row] = partition_progress(sink, None)  # Kafka is away
    assert (row.committed, row.end, row.lag, row.delay) == (7, 10, 3, None)


def test_a_database_whose_clock_can_not_be_read_is_told_by_the_panel(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> datetime:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr("pipeline.heartbeats.database_now", away)
    error = panel_data(viewer, "sinks")["error"]
    assert "closed the connection" in error["text"]


def _heard_without_database() -> list[Any]:
    from pipeline.heartbeats import HeardProcess, HeardSink

    process = HeardProcess("one", 1, "0.1.0", NOW, NOW, "running", 0.0, report(0))
    return [HeardSink(sinks()["hdfs"], [process])]


def test_how_long_a_sink_is_behind_is_told_by_the_samples() -> None:
    interval = timedelta(seconds=15)
    samples = [(NOW + n * interval, f'[["t", 0, {10 * n}, {5 * n}]]') for n in range(4)]
    now = NOW + 4 * interval

    def delay(done: int) -> Delay:
        return delays(reversed(samples), {("t", 0): done}, now)["t", 0]

    assert delay(15) == Delay(30, "")  # the end was 10 in the second sample, 20 in the third
    assert delay(30) == Delay(15, "≤")
    assert delay(-1) == Delay(60, "≥")
    assert delays(reversed(samples), {("t", 1): 0}, now) == {}
    history = LagHistory((moment, msgspec.json.decode(parts)) for moment, parts in samples)
    assert [lag for _, lag in history.total()] == [lag for _, lag in history.of(("t", 0))] == [0, 5, 10, 15]


@pytest.mark.django_db
def test_the_longest_delay_is_that_of_any_partition_whichever_process_sampled_it() -> None:
    moments = [NOW + timedelta(seconds=15 * n) for n in range(20)]
    now = moments[-1] + timedelta(seconds=5)
    for number, moment in enumerate(moments):
        SinkLag.objects.create(sink="hdfs", sampled_at=moment, parts=f'[["t", 0, {10 * number}, 0]]')
        other = moment + timedelta(seconds=7)
        SinkLag.objects.create(sink="hdfs", sampled_at=other, parts='[["t", 1, 50, 0]]')
    samples = list(SinkLag.objects.order_by("-sampled_at").values_list("sampled_at", "parts"))
    for done in (-1, 0, 5, 42, 120, 185, 190):
        for behind in ({("t", 0): done}, {("t", 0): done, ("t", 1): 50}):
            expected = max(delays(samples, behind, now).values(), key=lambda delay: delay.seconds)
            found = read_longest_delay("hdfs", behind, now)
            assert found is not None
            assert found.bound == expected.bound
            assert abs(found.seconds - expected.seconds) <= 7, done
    assert read_longest_delay("hdfs", {}, now) is None
    assert read_longest_delay("other", {("t", 0): 0}, now) is None


@pytest.mark.django_db
def test_what_came_while_no_process_gave_samples_may_be_as_old_as_the_last_one_before() -> None:
    for minutes, end in ((0, 10), (20, 50)):
        for n in range(4):
            moment = NOW + timedelta(minutes=minutes, seconds=15 * n)
            SinkLag.objects.create(sink="hdfs", sampled_at=moment, parts=f'[["t", 0, {end}, 10]]')
    now = NOW + timedelta(minutes=21)
    assert read_longest_delay("hdfs", {("t", 0): 10}, now) == Delay(1260 - 45, "≤")
    assert read_delays("hdfs", {("t", 0): 10}, now) == {("t", 0): Delay(1260 - 45, "≤")}


def test_a_chart_keeps_the_peaks_of_many_samples() -> None:
    samples = [(NOW + timedelta(seconds=n), 9 if n == 101 else 0) for n in range(240)]
    box: Any = {"gap": timedelta(seconds=45), "now": samples[-1][0], "width": 100, "height": 20}
    chart = lag_chart(samples, **box)
    assert chart is not None
    assert (chart.most, len(chart.rows), len(chart.lines), chart.ended) == (9, 60, 1, None)
    assert lag_chart(samples[:1], **box) is None


def test_a_chart_joins_no_samples_across_an_outage_and_says_when_the_last_one_came() -> None:
    times = [0, 15, 30, 200, 400, 415]
    samples = [(NOW + timedelta(seconds=n), n) for n in times]
    now = NOW + timedelta(seconds=830)
    chart = lag_chart(samples, gap=timedelta(seconds=45), now=now, width=100, height=20)
    assert chart is not None
    assert [line.count(",") for line in chart.lines] == [3, 2, 2]
    assert chart.lines[1] == "24.1,10.3 24.1,10.3"  # a dot
    assert chart.lines[2].split()[-1] == "50.0,1.0"  # the other half is empty
    assert chart.rows == samples
    assert chart.ended == samples[-1][0]


def only_sink() -> HeardSink:
    """What is heard of it now."""
    [sink] = read_heartbeats(sinks().values())
    return sink


def overview_row(monkeypatch: pytest.MonkeyPatch, known: Known) -> Any:
    """The sink's row of the table of sinks, where Kafka says this of it."""
    monkeypatch.setattr(views, "shared_progress", lambda _configs: {"hdfs": known})
    [row] = views.overview_panel.read(HttpRequest())["rows"]
    return row


def test_the_table_shows_kafkas_lag_also_of_a_sink_that_is_down(
    viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    heard(1, report(0, 1, now=now), at=now - timedelta(hours=2))
    offsets = ClusterOffsets(
        {"t": [PartitionOffsets(0, 0, 47), PartitionOffsets(1, 5, 5)]}, {"sink-hdfs": GroupOffsets({("t", 0): 7})}
    )
    row = overview_row(monkeypatch, (offsets, None))
    assert (row["sink"].state, row["progress"].lag, row["progress"].uncommitted) == ("silent", 40, 1)
    shown = panel_html(viewer, "sinks")
    assert rows_of(shown)[0][4:6] == ["–", "40 1 without a commit"], "records a second, and the lag"
    assert '<template data-place="tile-failures">1</template>' in shown
    assert "uploading: connection refused" in shown


@pytest.mark.parametrize(("rate", "shown"), [(0.03, "0.03"), (2.5, "2.5"), (12345.6, "12,346")])
def test_a_sink_that_is_slow_or_large_has_its_numbers_in_full(
    rate: float, shown: str, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    heard(1, report(0, now=now), at=now)
    SinkProcess.objects.update(records_per_second=rate)
    offsets = ClusterOffsets({"t": [PartitionOffsets(n, 0, 1) for n in range(1500)]}, {"sink-hdfs": GroupOffsets()})
    monkeypatch.setattr(views, "shared_progress", lambda configs: {one.name: (offsets, None) for one in configs})
    markup = viewer.get("/admin/console/sinks/overview/").json()["html"]
    assert rows_of(markup)[0][4:6] == [shown, "1,500 1,500 without a commit"]
    assert f'title="{full_time(NOW)}"' in markup, "when it last wrote"
    assert shown in rows_of(viewer.get("/admin/console/sinks/hdfs/processes/").json()["html"])[0]


def test_while_kafka_does_not_answer_the_lag_of_a_sink_is_not_known(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    heard(1, report(0, 1), at=timezone.now())
    for error in (None, ServerError("Kafka", "away")):
        row = overview_row(monkeypatch, (None, error))
        assert (row["sink"].state, row["progress"]) == ("running", SinkProgress())


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "committed"), [(0, 10), (0, 8), (60, 8), (60, 14), (60, 20)])
def test_the_main_page_and_the_page_of_sinks_say_the_same_of_lag_and_delay(
    seconds: int, committed: int, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    heard(1, report(0, now=now), at=now - timedelta(seconds=seconds))  # at 7, which Kafka knows better
    for n in range(8):
        at = now - timedelta(seconds=seconds + 15 * n)
        SinkLag.objects.create(sink="hdfs", sampled_at=at, parts=f'[["t", 0, {17 - n}, 7]]')
    offsets = ClusterOffsets({"t": [PartitionOffsets(0, 0, 20)]}, {"sink-hdfs": GroupOffsets({("t", 0): committed})})
    monkeypatch.setattr(pipeline_offsets, "read_offsets", lambda *_, **__: offsets)
    answers = viewer.get(f"{PAGE}panels/?panel=sinks").json()
    assert list(answers) == ["sinks"]
    [row] = rows_of(answers["sinks"]["html"])
    [other] = rows_of(viewer.get("/admin/console/sinks/overview/").json()["html"])
    assert row[5] == other[5] == str(20 - committed)
    if committed == 20:
        assert row[6] == other[6] == "–"
    else:
        assert row[6].removesuffix(" s") != "–"
        assert row[6][0] == other[6][0]


def test_a_lag_that_is_not_known_yet_is_not_drawn_as_none() -> None:
    moments = [datetime(2026, 11, 20, 10, minute, tzinfo=UTC) for minute in range(3)]
    history = LagHistory(zip(moments, [[], [("t", 0, 7, 4)], []], strict=True))
    assert history.total() == [(moments[1], 3)]


@pytest.mark.django_db
def test_a_host_whose_clock_is_wrong_is_heard_as_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """On SQLite all processes are on one host, with one clock."""
    if connection.vendor == "sqlite":
        pytest.skip("one clock")
    status = SinkStatus("hdfs", [], lambda: 0)
    heartbeat = SinkHeartbeat("hdfs", status.report, Control(), every_seconds=5)
    behind = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(timezone, "now", lambda: behind)
    heartbeat.beat()
    monkeypatch.undo()
    [sink] = read_heartbeats(sinks().values())
    assert sink.state == "running"
