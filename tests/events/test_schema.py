"""What makes a Kafka record usable for a sink."""

import itertools

import msgspec
import pytest

from events.schema import ANY_JSON, Check, InvalidRecord, as_lines, check_for
from tests.support import event


def refusals(check: Check, values: list[bytes | None]) -> dict[int, str]:
    return check.refusals(values, as_lines(values))


def test_accepts_an_event() -> None:
    check_for("select-color")(event(1))


def test_accepts_fields_that_it_does_not_know() -> None:
    check_for("select-color")(event(1, referrer="https://shop.example/"))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "the text is empty"),
        (b" \n", "the text is empty"),
        (b"\x00\x01", "begins with a byte 0, as the values of a schema registry"),
        (b"\x00\x00\x00\x00\x07" + event(1), "begins with a byte 0, as the values of a schema registry"),
        (b"\xef\xbb\xbf" + event(1), "begins with a byte order mark"),
        *((event(1).decode().encode(code), "is UTF-16 or UTF-32") for code in ("utf-16", "utf-16-le", "utf-16-be")),
        *((event(1).decode().encode(code), "is UTF-16 or UTF-32") for code in ("utf-32", "utf-32-le", "utf-32-be")),
        (event(1)[:-1] + b',"s":"\\ud800"}', "half of a character"),
        (event(1)[:-1] + b',"s":"\\ud800 and more text behind it"}', "half of a character"),
        (event(1)[:-1] + b',"s":"\\udc00"}', "half of a character"),
        (event(1).replace(b"user-1", b"\\ud800\\u0041"), "half of a character"),
        (event(1)[:-1] + b',"s":"\\\\ud800"', "truncated"),
        *((event(1)[:-1] + b',"n":%b}' % name, f"{name.decode()} is no JSON") for name in (b"NaN", b"-Infinity")),
        (event(1)[:-1] + b',"n":nan}', "malformed"),
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
        (b'{"extra":' + b"[" * 100_000, "nested too deep"),
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


@pytest.mark.parametrize(
    "value",
    [
        event(1),
        event(1, userName="김하늘\u2028"),
        b' {"a":1}',
        b"",
        None,
        event(1)[:-1],
        event(1) + event(1),
        event(1) + b"\n" + event(1),
        event(1).replace(b",", b",\n"),
        event(1).replace(b"user-1", b"us\ner-1"),
        event(1).replace(b"user-1", b"\xff\xfe"),
        event(1, timestamp="0001-01-01T00:00:00Z"),
        event(1, timestamp="2026-11-20T10:15:30.123"),
        event(1, extra={"a": [{}]})[:-3],
        b"}" + event(1)[1:],
        b"{",
        b"}",
    ],
)
def test_many_values_are_judged_as_each_of_them_alone(value: bytes | None) -> None:
    check = check_for("select-color")
    reason = None
    try:
        check(value)
    except InvalidRecord as invalid:
        reason = str(invalid)
    expected = {} if reason is None else {1: reason}
    assert refusals(check, [event(0), value, event(2)]) == expected
    assert refusals(check, [event(0), value]) == expected


@pytest.mark.parametrize("parts", [(b"{}{}", b"{"), (b"{}{}", b""), (b'{"a":{}', b'"b":1}'), (b'{"a":"}', b'{"}')])
def test_values_that_are_objects_only_together_are_refused(parts: tuple[bytes, bytes]) -> None:
    check = check_for(ANY_JSON)
    assert set(refusals(check, [b"{}", *parts])) == {1, 2}


def test_times_are_judged_alike_one_by_one_and_together() -> None:
    check = check_for("select-color")
    clock = ("10:15:30", "10:15", "101530", "24:00:00", "23:59:60", "10:15:30.1", "10:15:30.1234567", "10:15:30,5")
    zones = ("Z", "z", "+09:00", "+0900", "+09", "-00:00", "+23:59", "+24:00", "+09:60", "")
    days = ("2026-11-20", "0001-01-01", "9999-12-31", "2023-02-29", "20261120", "2026-W01-1")
    for day, letter, time, zone in itertools.product(days, "Tt ", clock, zones):
        value = event(1, timestamp=day + letter + time + zone)
        try:
            check(value)
        except InvalidRecord:
            assert refusals(check, [value])
        else:
            assert not refusals(check, [value])


def test_what_is_accepted_can_be_read_further_down_the_stack() -> None:
    check = check_for(ANY_JSON)

    def decode(frames: int, text: bytes) -> object:
        return decode(frames - 1, text) if frames else msgspec.json.decode(text)

    accepted = [b'{"x":%s%s}' % (b"[" * depth, b"]" * depth) for depth in range(500, 1000)]
    for text in accepted:
        if not refusals(check, [text]):
            decode(50, text)


@pytest.mark.parametrize("value", [b"apple,3", b"", b"{", b"\xff", "김".encode()])
def test_any_line_is_a_text(value: bytes) -> None:
    check_for("text")(value)


@pytest.mark.parametrize("value", [None, b"two\nlines", b"carriage\rreturn", b"end\n"])
def test_what_a_reader_would_take_for_several_lines_is_no_text(value: bytes | None) -> None:
    with pytest.raises(InvalidRecord):
        check_for("text")(value)


def test_texts_are_checked_together() -> None:
    values = [b"one", b"two\r", b"", b"x\ny", None]
    assert sorted(check_for("text").refusals(values, as_lines(values))) == [1, 3, 4]
    good = [b"one", b"two"]
    assert check_for("text").refusals(good, as_lines(good)) == {}
