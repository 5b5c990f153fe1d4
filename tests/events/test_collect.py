"""From what a caller sends to an event on its way to Kafka, or to the reason why not."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from events.collect import Answer, Collector, Limits
from events.delivery import Mode
from events.event import SelectColor, format_timestamp
from events.kinds import Kind
from kafka_client.producer import Record
from tests.events.fakes import FakeDelivery
from tests.events.page_view import PageView

RECEIVED_AT = datetime(2026, 11, 20, 10, 15, 30, 123_000, tzinfo=UTC)


def collector(delivery: FakeDelivery, mode: Mode = Mode.ACCEPTED) -> Collector:
    return Collector(
        kinds={"select-color": Kind("select-color", SelectColor, "t"), "page-view": Kind("page-view", PageView, "v")},
        take=delivery.take,
        mode=mode,
        limits=Limits(65_536, 2**20, 1000, 32_768),
        honours_privacy_signals=False,
        now=lambda: format_timestamp(RECEIVED_AT),
        counters=delivery.counters,
    )


def send(delivery: FakeDelivery, *, mode: Mode = Mode.ACCEPTED, **params: object) -> Answer:
    return collector(delivery, mode).select(params, user_agent="agent/1")


def test_a_choice_becomes_one_event() -> None:
    delivery = FakeDelivery()
    assert send(delivery, color="red", user="Ada") == Answer(202, {"status": "accepted"})
    assert delivery.taken == [
        Record(
            "t",
            b'{"timestamp":"2026-11-20T10:15:30.123+0000","userAgent":"agent/1","colorName":"red","userName":"Ada"}',
        )
    ]


@pytest.mark.parametrize("user", ["x" * 256, "김" * 256, "👩‍💻 Zoë", " Ada ", "O'Brien", "<script>", "50%", "a\u3000b"])
def test_text_is_taken_as_it_is(user: str) -> None:
    delivery = FakeDelivery()
    assert send(delivery, color="red", user=user).status == 202
    assert delivery.events[0]["userName"] == user


@pytest.mark.parametrize(
    ("user", "error"),
    [
        (None, "This field is required."),
        ("", "Must not be empty."),
        (" \t\u3000", "Must not be empty."),
        ("x" * 257, "Must be at most 256 characters long, not 257."),
        ("a\x00b", "Must not contain control characters (U+0000)."),
        ("a\nb", "Must not contain control characters (U+000A)."),
        ("a\x85b", "Must not contain control characters (U+0085)."),
        ("a\ud800b", "Must be valid Unicode (U+D800 is half a character)."),
        ("a\ufffdb", "Must be valid UTF-8."),
        (5, "Must be one string."),
        (True, "Must be one string."),
        (["Ada", "Grace"], "Must be one string."),
        ({"name": "Ada"}, "Must be one string."),
    ],
)
def test_a_bad_field_is_refused_by_its_name(user: object, error: str) -> None:
    delivery = FakeDelivery()
    assert send(delivery, color="red", user=user) == Answer(400, {"status": "rejected", "errors": {"user": error}})
    assert delivery.taken == []


def test_every_bad_field_is_named() -> None:
    assert send(FakeDelivery(), color="").body == {
        "status": "rejected",
        "errors": {"color": "Must not be empty.", "user": "This field is required."},
    }


def test_an_event_that_can_not_be_taken_is_told_with_a_time_to_come_again() -> None:
    delivery = FakeDelivery()
    delivery.refuse("the spool is full")
    assert send(delivery, color="red", user="Ada") == Answer(
        503, {"status": "unavailable", "detail": "the spool is full"}, {"Retry-After": "5"}
    )


def test_an_acknowledged_event_is_created() -> None:
    assert send(FakeDelivery(), mode=Mode.ACKNOWLEDGED, color="red", user="Ada").status == 201


ids = st.sampled_from([None, "0A1B2C3D-0000-4000-8000-000000000001", "no id", 7])
values = st.sampled_from(
    ["/a", "x" * 257, "", " ", "\u3000", "\ufffd", "\ud800", "김", "a\nb", None, 5, -1, 2.5, True, [], {}]
)
fields = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(("path", "title", "seconds", "share", "isNew", "colorName", "userName"), values)
    | {"id": ids, "event": st.sampled_from(["page-view", "select-color", "unknown", None, []])},
)
good = st.sampled_from(
    [
        {"event": "page-view", "path": "/a", "id": "0A1B2C3D-0000-4000-8000-000000000001"},
        {"event": "page-view", "path": "/b", "title": None, "seconds": 3, "share": 1, "isNew": True},
        {"colorName": "blue", "userName": "Ada", "userAgent": "another"},
    ]
)


@examples(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(good | fields, min_size=1, max_size=5))
def test_a_batch_becomes_what_its_events_become_one_by_one(sent: list[Any]) -> None:
    together = FakeDelivery()
    answer = collector(together).batch(sent, user_agent="bot/1", mode=Mode.ACCEPTED)
    alone = FakeDelivery()
    answers = [collector(alone).batch([event], user_agent="bot/1", mode=Mode.ACCEPTED) for event in sent]
    assert together.taken == alone.taken
    rejected = [
        {**rejection, "index": index} for index, one in enumerate(answers) for rejection in one.body["rejected"]
    ]
    assert answer.body["rejected"] == rejected
    assert answer.body["accepted"] == len(sent) - len(rejected)
