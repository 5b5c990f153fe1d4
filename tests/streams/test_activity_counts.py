"""What an event counts for, and what is no event. No Kafka here; test_exactly_once.py runs the whole stream."""

import json

import msgspec
import pytest

from streams.activity_counts import VALUE_LENGTH, Counted, key_of, keys_of, read_event
from streams.stream import BadRecord, Record
from worker.dead_letters import LARGEST, fitting, letter_headers


def record(value: bytes | None, timestamp: int = 1_800_000_000_000) -> Record:
    return Record(value, None, timestamp, ())


def keys(fields: list[str], **event: object) -> list[object]:
    return [json.loads(key) for key in keys_of("select-color", fields, event)]


def test_an_event_counts_for_its_topic_and_for_the_value_of_each_field() -> None:
    found = keys(["colorName", "userName"], colorName="red", userName="kim", userAgent="x")
    assert found == [
        ["select-color", None, None],
        ["select-color", "colorName", "red"],
        ["select-color", "userName", "kim"],
    ]


@pytest.mark.parametrize("value", ["", 0, 1.5, True, None, 10**30, "색깔", 'a"b|c'])
def test_values_of_all_plain_types_are_counted_as_they_are(value: object) -> None:
    assert keys(["colorName"], colorName=value)[1] == ["select-color", "colorName", value]


def test_an_event_without_the_field_is_counted_with_null() -> None:
    assert keys(["colorName"])[1] == ["select-color", "colorName", None]


@pytest.mark.parametrize("value", [[], {"a": 1}])
def test_lists_and_objects_are_no_values_to_count_by(value: object) -> None:
    assert keys(["colorName"], colorName=value) == [["select-color", None, None]]


def test_a_long_value_is_told_apart_by_its_beginning() -> None:
    assert keys(["a"], a="x" * 30_000)[1] == ["select-color", "a", "x" * VALUE_LENGTH]


def test_one_value_written_in_two_ways_has_one_key() -> None:
    events = [read_event(record(value)) for value in (b'{"a":"\\u0072ed"}', b'{"a": "red"}')]
    assert len({key for event in events for key in keys_of("t", ["a"], event)}) == 2


@pytest.mark.parametrize(
    "value",
    [
        *(None, b"", b"red", b"[1]", b"7", b'"text"', b"null"),
        *(b'{"a":', b"\xff\xfe", b'{"a": NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}'),
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_what_is_no_json_object_is_bad(value: bytes | None) -> None:
    with pytest.raises(BadRecord, match=r"\w"):
        read_event(record(value))


def test_a_record_without_a_time_is_bad() -> None:
    with pytest.raises(BadRecord, match="no time"):
        read_event(record(b"{}", timestamp=-1))


def test_the_counts_of_all_windows_of_a_value_have_one_key() -> None:
    windows = [Counted(begin, begin + 10_000, "select-color", "colorName", "red", 3) for begin in (0, 10_000)]
    assert {key_of(counted) for counted in windows} == {b'["select-color","colorName","red"]'}


def test_a_count_is_json() -> None:
    counted = Counted(0, 10_000, "select-color", None, None, 3)
    expected = {"begin": 0, "end": 10_000, "kind": "select-color", "field": None, "value": None, "count": 3}
    assert json.loads(msgspec.json.encode(counted)) == expected


def test_a_dead_letter_keeps_the_records_own_headers_and_says_where_it_was() -> None:
    own = [("id", b"1"), ("dlq.topic", b"older"), ("empty", None)]
    headers = letter_headers(own, reason="why", by=("stream", "s"), origin=("t", 2, 5), timestamp=7)
    assert headers == [
        ("id", b"1"),
        ("empty", None),
        ("dlq.reason", b"why"),
        ("dlq.stream", b"s"),
        ("dlq.topic", b"t"),
        ("dlq.partition", b"2"),
        ("dlq.offset", b"5"),
        ("dlq.timestamp", b"7"),
    ]


def test_a_dead_letter_that_kafka_might_refuse_keeps_reason_and_origin() -> None:
    headers: list[tuple[str, bytes | None]] = [("id", b"1"), ("dlq.reason", b"why")]
    assert fitting(b"x" * 100, b"k", headers) == (b"x" * 100, b"k", headers)
    size = b"%d" % (LARGEST + 1)
    assert fitting(b"x" * (LARGEST + 1), b"k", headers) == (None, None, [("dlq.reason", b"why"), ("dlq.size", size)])
