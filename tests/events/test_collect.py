"""From what a caller sends to an event on its way to Kafka, or to the reason why not."""

from datetime import UTC, datetime

import pytest

from events.collect import Answer, collect
from tests.events.fakes import FakeProducer

RECEIVED_AT = datetime(2026, 11, 20, 10, 15, 30, 123_000, tzinfo=UTC)


def send(producer: FakeProducer, **params: object) -> Answer:
    return collect(params, user_agent="agent/1", received_at=RECEIVED_AT, topic="t", producer=producer)


def test_a_choice_becomes_one_event() -> None:
    producer = FakeProducer()
    assert send(producer, color="red", user="Ada") == Answer(202, {"status": "accepted"})
    assert producer.records == [
        (
            "t",
            b'{"timestamp":"2026-11-20T10:15:30.123+0000","userAgent":"agent/1","colorName":"red","userName":"Ada"}',
        )
    ]


@pytest.mark.parametrize("user", ["x" * 256, "김" * 256, "👩‍💻 Zoë", " Ada ", "O'Brien", "<script>", "50%"])
def test_text_is_taken_as_it_is(user: str) -> None:
    producer = FakeProducer()
    assert send(producer, color="red", user=user).status == 202
    assert producer.events[0]["userName"] == user


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
    producer = FakeProducer()
    assert send(producer, color="red", user=user) == Answer(400, {"status": "rejected", "errors": {"user": error}})
    assert producer.records == []


def test_every_bad_field_is_named() -> None:
    assert send(FakeProducer(), color="").body == {
        "status": "rejected",
        "errors": {"color": "Must not be empty.", "user": "This field is required."},
    }


def test_when_kafka_does_not_keep_up_the_caller_is_told_to_come_again() -> None:
    producer = FakeProducer()
    producer.refuse("the queue to Kafka is full")
    assert send(producer, color="red", user="Ada") == Answer(
        503, {"status": "unavailable", "detail": "the queue to Kafka is full"}, {"Retry-After": "5"}
    )
