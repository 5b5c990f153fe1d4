"""Copies of rejected events: with the reason, no more than the rate allows, and never at the cost of an answer."""

import json
import logging
from typing import Any

import pytest

from devstack.stack import Stack
from events import conf, process_collector
from events.bad_events import BadEvents
from events.counters import Counters
from events.metrics import BAD_EVENTS, REJECTED
from kafka_client.producer import Record
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery
from tests.support import make_topics, read_topic

ADA = {"colorName": "red", "userName": "Ada"}


@pytest.fixture
def bad_topic(settings: Any) -> str:
    """The setting names a topic."""
    settings.EVENTS = {**settings.EVENTS, "bad_events": {"topic": "bad", "per_second": 100.0, "max_bytes": 100}}
    conf.events_settings.cache_clear()
    return "bad"


def post(path: str, body: object) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Client().post(
        path, data, "application/json", headers={"User-Agent": "agent/1"}, CONTENT_TYPE="application/json"
    )


# --- Through both doors


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize(
    ("path", "body", "value", "reason"),
    [
        ("/api/events", [ADA, {"colorName": "red"}], {"colorName": "red"}, "userName: This field is required."),
        ("/api/events", [5, ADA], 5, "event: Must be a JSON object."),
        ("/api/events", {"event": "no-such"}, {"event": "no-such"}, "event: Must be one of select-color."),
        ("/api/events", b"<xml/>", b"<xml/>", "The body must be an event or an array of events, in JSON (Expecting"),
        ("/api/select", {"color": "red", "user": ""}, {"color": "red", "user": ""}, "user: Must not be empty."),
        ("/api/select", b"{", b"{", "The body must be a JSON object with the fields color and user (Input data"),
        (
            "/api/events",
            b'{"colorName": "red", "userName": "\\ud800"}',
            {"colorName": "red", "userName": "\ud800"},
            "userName: Must be valid Unicode (U+D800 is half a character).",
        ),
    ],
)
def test_what_was_rejected_is_sent_with_the_reason(
    delivery: FakeDelivery, bad_topic: str, path: str, body: object, value: object, reason: str
) -> None:
    post(path, body)
    (sent,) = delivery.bad
    told = dict(sent.headers or ())
    assert sent.topic == bad_topic
    assert (sent.value if isinstance(value, bytes) else json.loads(sent.value or b"")) == value
    assert told.pop("bad.reason").decode().startswith(reason)
    assert told.pop("bad.timestamp").decode()[:2] == "20"
    assert told == {"bad.path": path.encode(), "bad.user_agent": b"agent/1"}


@pytest.mark.usefixtures("door")
def test_a_query_that_was_rejected_is_sent_too(delivery: FakeDelivery, bad_topic: str) -> None:
    Client().get("/api/select?color=red&more=1")
    assert json.loads(delivery.bad[0].value or b"") == {"color": "red", "more": "1"}


@pytest.mark.usefixtures("door")
def test_a_large_one_is_cut_off_and_marked(delivery: FakeDelivery, bad_topic: str) -> None:
    event = {"event": "no-such", "text": "x" * 1000}
    post("/api/events", event)
    (sent,) = delivery.bad
    whole = json.dumps(event).encode()
    assert sent.value == whole[:100]
    assert dict(sent.headers or ())["bad.size"] == b"%d" % len(whole)


@pytest.mark.usefixtures("door")
def test_by_default_nothing_is_sent(delivery: FakeDelivery) -> None:
    post("/api/events", [ADA, {}])
    assert delivery.bad == []


@pytest.mark.usefixtures("door")
@pytest.mark.parametrize("body", [[ADA, {}], b"[" + b"[" * 400 + b"]" * 401, b'[{"event": 1' + b"0" * 5000 + b"}]"])
def test_the_answer_is_the_same_whether_a_copy_can_be_sent_or_not(
    delivery: FakeDelivery, settings: Any, body: object
) -> None:
    without = post("/api/events", body)
    settings.EVENTS = {**settings.EVENTS, "bad_events": {"topic": "bad"}}
    conf.events_settings.cache_clear()
    process_collector.close_process_collector()
    for takes in (True, False):
        delivery.takes_bad = takes
        answer = post("/api/events", body)
        assert (answer.status_code, answer.json()) == (without.status_code, without.json())


@pytest.mark.usefixtures("door")
def test_rejections_are_counted_by_kind_and_reason(delivery: FakeDelivery) -> None:
    post("/api/events", [ADA, {}, {"event": "x"}, {"event": ["y"]}, 5, {**ADA, "id": "1"}, {**ADA, "userName": ""}])
    counts = {key[1:]: number for key, number in delivery.counters.values().items() if key[0] == REJECTED}
    assert counts == {
        ("select-color", "fields"): 2,
        ("unknown", "kind"): 2,
        ("unknown", "json"): 1,
        ("select-color", "id"): 1,
    }


# --- The rate


def test_no_more_than_the_rate_allows_are_sent_and_the_rest_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[Record] = []
    now = [1000.0]
    counters = Counters(None)

    def send(records: Any) -> int:
        sent.extend(records)
        return len(records)

    bad = BadEvents("bad", per_second=5, max_bytes=100, send=send, counters=counters, clock=lambda: now[0])

    def flood() -> int:
        before = len(sent)
        for _ in range(100):
            bad.note({}, "why", path="/api/events", timestamp="", user_agent="")
        return len(sent) - before

    caplog.set_level(logging.WARNING)
    assert flood() == 5
    assert counters.values()[(BAD_EVENTS, "dropped")] == 95
    now[0] += 0.5
    assert flood() == 2
    now[0] += 3600
    assert flood() == 5
    assert counters.values()[(BAD_EVENTS, "dropped")] == 288
    assert caplog.messages == ["bad events were left out of bad: too many, or Kafka does not take them"]


# --- To Kafka


@pytest.mark.integration
def test_bad_events_reach_kafka_and_good_ones_are_not_among_them(servers: Stack, topic: str, settings: Any) -> None:
    make_topics(servers, f"{topic}.bad", partitions=1)
    settings.EVENTS = {**settings.EVENTS, "topic": topic, "bad_events": {"topic": f"{topic}.bad"}}
    conf.events_settings.cache_clear()
    assert post("/api/events", [ADA, {"userName": "Ada"}, ADA]).json()["accepted"] == 2
    (message,) = read_topic(servers, f"{topic}.bad", 1)
    assert json.loads(message.value()) == {"userName": "Ada"}
    headers = dict(message.headers())
    assert headers["bad.reason"] == b"colorName: This field is required."
    assert headers["bad.path"] == b"/api/events"
    assert len(read_topic(servers, topic, 2)) == 2
