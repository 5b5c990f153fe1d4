"""What makes a Kafka record usable for a sink."""

import pytest

from events.schema import ANY_JSON, InvalidRecord, check_for
from tests.support import event


def test_accepts_an_event() -> None:
    check_for("select-color")(event(1))


def test_accepts_fields_that_it_does_not_know() -> None:
    check_for("select-color")(event(1, referrer="https://shop.example/"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "truncated"),
        (b"\x00\x01", "malformed"),
        (b"not json", "malformed"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (event(1) + b"{}", "trailing"),
        (b'{"timestamp":"2026-11-20T10:15:30.123+0900"}', "userAgent"),
        (event(1, userName=None), "userName"),
        (event(1, colorName=5), "colorName"),
        (event(1, timestamp="yesterday"), "yesterday"),
        (event(1, timestamp="2026-11-20T10:15:30.123"), "time zone"),
        (event(1).replace(b"user-1", b"\xff\xfe"), "utf-8"),
        (b'{"extra":' + b"[" * 100_000, "recursion"),
    ],
)
def test_refuses_a_record_and_says_why(value: bytes | None, reason: str) -> None:
    with pytest.raises(InvalidRecord, match=f"(?i){reason}"):
        check_for("select-color")(value)


def test_the_reason_stays_short_for_a_large_record() -> None:
    with pytest.raises(InvalidRecord) as refused:
        check_for("select-color")(event(1, timestamp="x" * 1_000_000))
    assert len(str(refused.value)) <= 300


def test_any_json_object_is_a_kind_of_its_own() -> None:
    check = check_for(ANY_JSON)
    check(b'{"anything":[1,{"goes":null}]}')
    for value in (b"[1]", b"1", b"{", None):
        with pytest.raises(InvalidRecord):
            check(value)


def test_an_unknown_kind_is_an_error() -> None:
    with pytest.raises(KeyError):
        check_for("no-such-kind")
