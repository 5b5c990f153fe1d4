"""A record becomes a line that says what the record says, or a dead letter that says why not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.schema import InvalidRecord
from sinks.records import Partition, Record
from sinks.timeseries.config import TimeseriesTarget
from sinks.timeseries.lines import Lines
from sinks.timeseries.times import nanoseconds
from tests.sinks.line_protocol import Point, parsed

PARTITION = Partition("sensors", 7)
KAFKA_TIME = 1_795_144_523_123

any_text = st.text(alphabet=st.one_of(st.sampled_from(' ,="\\#\n\tät'), st.characters(codec="utf-8")), max_size=6)
names = st.one_of(*[st.text(alphabet=" ,=#äb;", min_size=1, max_size=6)] * 5, any_text)
scalars = st.one_of(
    any_text, st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), st.none()
)


def line(record: Any, *, offset: int = 5, timestamp: int = KAFKA_TIME, **target: Any) -> str:
    value = record if isinstance(record, bytes) else json.dumps(record).encode()
    settings = TimeseriesTarget(**{"url": "http://influx:8086", "database": "d", "measurement": "m", **target})
    text = Lines(settings).of(PARTITION, Record(offset, value, timestamp)).decode()
    assert text.endswith("\n")
    return text[:-1]


def point(record: Any, **how: Any) -> Point:
    return parsed(line(record, **how))


def refusal(record: Any, **how: Any) -> str:
    with pytest.raises(InvalidRecord) as refused:
        line(record, **how)
    return str(refused.value)


def test_tags_fields_and_kafkas_time_are_written() -> None:
    record = {"host": "a", "load": 1.5, "up": True, "note": "fine"}
    expected = f'm,host=a load=1.5,up=true,note="fine" {KAFKA_TIME}000000'
    assert line(record, tags=("host",)) == expected


def test_what_lines_use_is_escaped() -> None:
    record = {"a b": 'x,y=z \\"q', "t,=": "u v,w=x\\y"}
    expected = r'm\ \,=,t\,\==u\ v\,w\=x\y a\ b="x,y=z \\\"q"'
    assert line(record, measurement="m ,=", tags=("t,=",)).startswith(expected + " ")


def test_fields_in_objects_have_dotted_names_and_arrays_and_nulls_are_left_out() -> None:
    record = {"answer": {"heap": {"used": 1}, "name": "x"}, "list": [1], "none": None, "empty": {}}
    assert point(record, tags=("answer.name",)) == Point(
        "m", {"answer.name": "x"}, {"answer.heap.used": 1.0}, KAFKA_TIME * 10**6
    )


def test_fields_that_are_named_are_the_only_ones() -> None:
    record = {"a": 1, "b": 2, "c": {"d": 3}}
    assert point(record, fields=("b", "c.d", "missing")).fields == {"b": 2.0, "c.d": 3.0}


def test_a_named_field_that_is_an_object_or_an_array_is_refused() -> None:
    assert refusal({"a": [1], "b": 1}, fields=("a", "b")) == "its field a is an array, which can't be stored as a field"
    assert "an object" in refusal({"a": {}}, fields=("a",))


def test_what_is_used_otherwise_is_no_field() -> None:
    record = {"host": "a", "at": 1, "kind": "cpu", "time": 5, "load": 2}
    how: dict[str, Any] = {"tags": ("host",), "time": "at", "time_unit": "s", "measurement": "field:kind"}
    assert point(record, **how) == Point("cpu", {"host": "a"}, {"load": 2.0}, 10**9)


def test_a_tag_without_a_value_is_left_out() -> None:
    assert point({"a": "", "b": None, "v": 1}, tags=("a", "b", "c")).tags == {}


def test_tags_are_texts_numbers_and_booleans() -> None:
    tags = point({"a": 1, "b": 1.5, "c": False, "v": 1}, tags=("a", "b", "c")).tags
    assert tags == {"a": "1", "b": "1.5", "c": "false"}
    assert refusal({"a": [1], "v": 1}, tags=("a",)) == "its field a is an array, which can't be a tag or a measurement"


def test_numbers_are_floats_unless_they_are_said_to_be_integers() -> None:
    record = {"a": 1, "b": 1, "c": 2.0, "d": 2**63 - 1}
    assert line(record, integers=("b", "c", "d")).startswith(f"m a=1.0,b=1i,c=2i,d={2**63 - 1}i ")


@pytest.mark.parametrize("value", [1.5, 2**63, 1e300])
def test_a_number_that_is_no_integer_where_one_is_wanted_is_refused(value: float) -> None:
    assert refusal({"a": value}, integers=("a",)) == "its field a is no integer of 64 bits"


@pytest.mark.parametrize("number", [b"9" * 400, b"9" * 5000, b"1e400", b"NaN", b"Infinity"])
def test_numbers_that_no_float_holds_are_refused(number: bytes) -> None:
    assert refusal(b'{"a":%b}' % number)


def test_victoriametrics_gets_no_texts() -> None:
    assert point({"a": "x", "b": 1}, server="victoriametrics").fields == {"b": 1.0}
    assert "a text" in refusal({"a": "x"}, server="victoriametrics", fields=("a",))


@pytest.mark.parametrize("record", [{}, {"a": None}, {"a": []}, {"host": "x"}])
def test_a_record_without_a_field_is_refused(record: dict[str, Any]) -> None:
    assert refusal(record, tags=("host",)) == "none of its fields can be a field of a point, which needs one"


@pytest.mark.parametrize("text", ["a\nb", "tab\t", "\0", "end\\", "a\\ b", "a\\,b", "a\\=b", "\\\\server", "x" * 4001])
def test_what_a_server_would_read_otherwise_is_refused_in_tags_and_names(text: str) -> None:
    assert refusal({"t": text, "v": 1}, tags=("t",))
    assert refusal({text: 1})
    assert refusal({"kind": text, "v": 1}, measurement="field:kind")


def test_further_names_that_a_server_would_read_otherwise_are_refused() -> None:
    assert "quotation mark" in refusal({'a"b': 1})
    assert "is empty" in refusal({"": 1})
    assert "begins with #" in refusal({"kind": "#x", "v": 1}, measurement="field:kind")
    assert refusal({"v": 1}, measurement="field:kind") == "it has no measurement: the field kind is missing or empty"


def test_json_that_is_nested_too_deep_is_refused() -> None:
    assert refusal(b'{"a":' * 100_000 + b"1" + b"}" * 100_000) == "JSON is nested too deep"
    assert point(b'{"a":' * 500 + b"1" + b"}" * 500).fields == {".".join(["a"] * 500): 1.0}


@given(
    st.dictionaries(names, scalars, max_size=6),
    st.lists(names.filter(bool), unique=True, max_size=2),
    st.sampled_from(["m", "a b", "a,b", "a=b"]),
)
def test_a_line_says_what_its_record_says_or_the_record_is_refused(
    record: dict[str, Any], tags: list[str], measurement: str
) -> None:
    try:
        text = line(record, tags=tuple(tags), measurement=measurement)
    except InvalidRecord:
        return
    found = parsed(text)
    values = {name: value for name, value in record.items() if value is not None}
    expected = {name: values[name] for name in values if name not in tags and name != "time"}
    assert found.measurement == measurement
    assert found.fields == {name: float(value) if type(value) is int else value for name, value in expected.items()}
    assert set(found.tags) == {name for name in tags if values.get(name, "") != ""}
    assert all(found.tags[name] == values[name] for name in found.tags if isinstance(values[name], str))


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("2026-11-20T10:15:30.123456789+09:00", "ms", 1_795_137_330_123_456_789),
        ("2026-11-20t01:15:30z", "ms", 1_795_137_330_000_000_000),
        ("2026-11-20T10:15:30.5+0900", "ms", 1_795_137_330_500_000_000),
        ("1969-12-31T23:59:59.25Z", "ms", -750_000_000),
        (1_795_137_330, "s", 1_795_137_330_000_000_000),
        (1_795_137_330.123, "s", 1_795_137_330_123_000_000),
        (1_795_137_330_123, "ms", 1_795_137_330_123_000_000),
        (1_795_137_330_123_456, "us", 1_795_137_330_123_456_000),
        (1_795_137_330_123_456_789, "ns", 1_795_137_330_123_456_789),
        (-1, "s", -1_000_000_000),
    ],
)
def test_times_are_read_to_the_nanosecond(value: Any, unit: str, expected: int) -> None:
    assert nanoseconds("at", value, unit) == expected


@pytest.mark.parametrize("value", ["yesterday", "2026-11-20", "2026-11-20T10:15:30", "1795137330", True, None, [1], {}])
def test_what_is_no_time_is_refused(value: Any) -> None:
    assert "time" in refusal({"at": value, "v": 1}, time="at")


@pytest.mark.parametrize("value", [10**15, -(10**15), "1500-01-01T00:00:00Z"])
def test_a_time_that_no_server_stores_is_refused(value: Any) -> None:
    assert "before 1677 or after 2262" in refusal({"at": value, "v": 1}, time="at")


def test_a_record_without_kafkas_time_is_refused() -> None:
    assert refusal({"v": 1}, timestamp=-1) == "it has no time: Kafka has none of it"


def test_times_are_cut_to_the_precision() -> None:
    at = "2026-11-20T10:15:30.123456789+09:00"
    times = [point({"at": at, "v": 1}, time="at", precision=precision).time for precision in ("s", "ms", "us", "ns")]
    assert times == [1_795_137_330, 1_795_137_330_123, 1_795_137_330_123_456, 1_795_137_330_123_456_789]


def test_spread_gives_records_of_one_millisecond_and_series_times_of_their_own_within_it() -> None:
    def times(number: int) -> list[int]:
        lines = Lines(TimeseriesTarget(url="http://i", database="d", measurement="m", spread=True))
        records = [Record(offset, b'{"v":1}', KAFKA_TIME) for offset in range(5_000, 6_000)]
        return [parsed(lines.of(Partition("t", number), record).decode()).time for record in records]

    found = [time for number in (0, 1, 999) for time in times(number)]
    assert len(set(found)) == 3_000
    assert {time // 10**6 for time in found} == {KAFKA_TIME}
