"""What operators may ask of sinks, and what is written down of it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from pipeline.console.models import AuditEntry
from pipeline.console.sinks import actions
from pipeline.console.sinks.actions import Action, Plan, carry_out
from pipeline.heartbeats import HeardSink
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets, PartitionOffsets
from sinks.models import SinkLag, SinkPause, SinkRestart
from sinks.registry import sinks

Operator = Callable[..., Client]

CONTROL = "/admin/console/sinks/elasticsearch/control/"


@pytest.fixture(autouse=True)
def _kafka_is_away(kafka_is_away: None) -> None:
    sinks.cache_clear()


def pauses() -> list[tuple[str, str, int, str]]:
    return list(SinkPause.objects.order_by("pk").values_list("sink", "topic", "partition", "asked_by"))


def test_seeing_sinks_does_not_allow_to_control_them(operator: Operator) -> None:
    viewer = operator()
    page = viewer.get("/admin/console/sinks/elasticsearch/").content.decode()
    assert "select-color" in page
    assert "Pause all" not in viewer.get("/admin/console/sinks/elasticsearch/processes/").json()["html"]
    assert viewer.get(f"{CONTROL}?action=pause").status_code == 403
    assert viewer.post(CONTROL, {"action": "pause"}).status_code == 403
    assert pauses() == []


def test_a_pause_needs_a_confirmation_and_is_logged(operator: Operator) -> None:
    controller = operator("control")
    assert "Yes, pause" in controller.get(f"{CONTROL}?action=pause").content.decode()
    assert pauses() == []
    controller.post(CONTROL, {"action": "pause", "topic": "select-color", "partition": "1"})
    name = "operator-control"
    assert pauses() == [("elasticsearch", "select-color", 1, name)]
    controller.post(CONTROL, {"action": "pause"})
    assert pauses() == [("elasticsearch", "", -1, name)]  # which covers the one before
    controller.post(CONTROL, {"action": "resume"})  # everything
    assert pauses() == []
    assert list(AuditEntry.objects.order_by("pk").values_list("user", "what", "outcome")) == [
        (name, "pause select-color-1", "asked for"),
        (name, "pause all partitions", "asked for"),
        (name, "resume all partitions", "asked for"),
    ]


@pytest.mark.django_db
def test_who_asks_for_a_pause_that_is_there_does_not_pass_for_who_asked_then() -> None:
    action = Action(sinks()["elasticsearch"], "pause", None)
    for name in ("Ada", "Bob"):
        assert carry_out(action, HeardSink(action.sink, []), asked_by=name) == ""
    assert pauses() == [("elasticsearch", "", -1, "Ada")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("action", "wishes"),
    [
        (Action(sinks()["elasticsearch"], "pause", None), SinkPause),
        (Action(sinks()["elasticsearch"], "pause", ("select-color", 1)), SinkPause),
        (Action(sinks()["elasticsearch"], "restart", ("select-color", 1), 7), SinkRestart),
    ],
    ids=["pause all", "pause one", "restart"],
)
def test_operators_who_ask_for_the_same_at_once_are_all_answered_and_one_wish_stays(
    monkeypatch: pytest.MonkeyPatch, action: Action, wishes: Any
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("it lets one writer in at a time")
    monkeypatch.setattr(actions, "plan", lambda *_: Plan())  # Kafka is away

    def ask(name: str) -> str:
        try:
            return carry_out(action, HeardSink(action.sink, []), asked_by=name)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            assert list(pool.map(ask, ("Ada", "Bob", "Cem", "Dan"))) == [""] * 4
            assert wishes.objects.count() == 1
            wishes.objects.all().delete()


def test_a_post_without_a_token_is_refused(operator: Operator) -> None:
    operator("control")
    strict = Client(enforce_csrf_checks=True)
    assert strict.login(username="operator-control", password="secret")
    assert strict.post(CONTROL, {"action": "pause"}).status_code == 403
    assert pauses() == []


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"action": "delete"},
        {"action": "restart"},
        {"action": "pause", "topic": "other", "partition": "0"},
        {"action": "pause", "topic": "select-color", "partition": "-1"},
        {"action": "pause", "topic": "select-color", "partition": "x"},
        {"action": "pause", "topic": "select-color", "partition": "9999999999999999999999999"},
        {"action": "restart", "topic": "select-color", "partition": "0", "offset": str(2**63)},
    ],
)
def test_what_can_not_be_asked_is_not_there(operator: Operator, query: dict[str, str]) -> None:
    controller = operator("control")
    assert controller.get(CONTROL, query).status_code == 404
    assert controller.post(CONTROL, query).status_code == 404


def test_a_partition_that_the_topic_does_not_have_is_not_paused(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = {sinks()["elasticsearch"].group: GroupOffsets()}
    known = ClusterOffsets({"select-color": [PartitionOffsets(0, 0, 5)]}, groups)
    monkeypatch.setattr(actions, "progress_now", lambda _sink: (known, None))
    controller = operator("control")
    wish: dict[str, Any] = {"action": "pause", "topic": "select-color", "partition": "77"}
    page = controller.get(CONTROL, wish).content.decode()
    assert "This topic has no partition 77." in page
    assert "Yes, pause" not in page
    controller.post(CONTROL, wish)
    assert pauses() == []
    assert "no partition 77" in AuditEntry.objects.get().outcome
    assert "Yes, pause" in controller.get(CONTROL, {**wish, "partition": "0"}).content.decode()
    controller.post(CONTROL, {**wish, "partition": "0"})
    assert [pause[2] for pause in pauses()] == [0]


def test_nothing_is_restarted_while_kafka_does_not_tell_how_far_the_sink_is(operator: Operator) -> None:
    controller = operator("control")
    wish: dict[str, Any] = {"action": "restart", "topic": "select-color", "partition": "0", "offset": "5"}
    page = controller.get(CONTROL, wish).content.decode()
    assert "Kafka does not tell how far the sink is." in page
    assert "Yes, restart" not in page
    controller.post(CONTROL, wish)
    assert not SinkRestart.objects.exists()
    assert "Kafka does not tell" in AuditEntry.objects.get().outcome


def test_the_lag_of_a_partition_over_time_is_a_chart_and_a_table(operator: Operator) -> None:
    page = "/admin/console/sinks/elasticsearch/lag/select-color/1/"
    viewer = operator()
    assert "<polyline" not in viewer.get(page).content.decode()
    now = timezone.now()
    for minutes, stored in ((1, 4_000), (3, 1_500), (2, 0)):
        parts = f'[["select-color", 0, 9000, 0], ["select-color", 1, 5000, {stored}]]'
        SinkLag.objects.create(sink="elasticsearch", sampled_at=now - timedelta(minutes=minutes), parts=parts)
    shown = viewer.get(page).content.decode()
    assert "at most 5,000" in shown
    assert "No samples since" in shown
    assert shown.count("<polyline") == 3
    assert shown.index(">1,000<") < shown.index(">5,000<") < shown.index(">3,500<")  # the newest first
    assert viewer.get(page.replace("select-color", "other")).status_code == 404
