"""The notations of a time by which records are stored, in files and in Elasticsearch."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from sinks.elasticsearch.names import IndexNames
from sinks.files.naming import Folders
from sinks.records import Columns, Partition, Record, Run
from sinks.reporting.metrics import SinkMetrics, UnreadTimes
from sinks.times import moment_of

KAFKA = datetime(2031, 5, 6, 7, tzinfo=UTC)
MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
READ = [
    "2023-11-14T22:13:20.000+0000",
    "2023-11-15T07:13:20+09:00",
    "2023-11-14t22:13:20z",
    "2023-11-14 22:13:20Z",
    1700000000000,
    1700000000000.0,
    1700000000000.7,
    1700000000,
    1700000000.0,
    1700000000.123,
    "1700000000000",
    "1700000000",
    "1700000000.123",
]
UNREAD = [
    *(
        "soon",
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "1700000000 ",
        "20231114",
        "20231114221320",
        "1.7e9",
        "-1700000000",
    ),
    *(0, -1, 12, 20231114, 99_999_999, 10**10, 20231114221320, 1700000000000000, 1e300, True, [1700000000], {"at": 1}),
]


def record(value: Any) -> Record:
    return Record(7, json.dumps({"ts": value}).encode(), int(KAFKA.timestamp() * 1000))


def folder_of(value: Any, unread: Callable[[Any], None]) -> str:
    return Folders("%Y-%m-%d-%H", time="ts", zone="UTC").of(record(value), unread)


def index_of(value: Any, unread: Callable[[Any], None]) -> str:
    return IndexNames("%Y-%m-%d-%H", time="ts").of(record(value), unread)


def index_of_run(value: Any, unread: Callable[[Any], None]) -> str:
    one = record(value)
    (index,) = IndexNames("%Y-%m-%d-%H", time="ts").all(Run(Columns([7], [one.value], [one.timestamp])), unread)
    return index


FILING = [folder_of, index_of, index_of_run]


@pytest.mark.parametrize("value", READ)
@pytest.mark.parametrize("file", FILING)
def test_a_record_is_stored_by_the_time_of_its_field(value: Any, file: Callable[..., str]) -> None:
    unread: list[Any] = []
    assert file(value, unread.append) == "2023-11-14-22"
    assert unread == []


@pytest.mark.parametrize("value", UNREAD)
@pytest.mark.parametrize("file", FILING)
def test_a_record_whose_field_is_no_time_is_stored_by_kafkas_time_and_told(
    value: Any, file: Callable[..., str]
) -> None:
    unread: list[Any] = []
    assert file(value, unread.append) == "2031-05-06-07"
    assert unread == [value]


@pytest.mark.parametrize("value", [b'{"ts":null}', b"{}"])
@pytest.mark.parametrize(
    "of", [Folders("%Y", time="ts", zone="UTC").of, IndexNames("%Y", time="ts").of, IndexNames("%Y", time="kafka").of]
)
def test_a_record_without_the_field_is_stored_by_kafkas_time_without_a_word(
    value: bytes, of: Callable[..., str]
) -> None:
    unread: list[Any] = []
    assert of(Record(7, value, int(KAFKA.timestamp() * 1000)), unread.append) == "2031"
    assert unread == []


def test_a_number_that_python_can_not_hold_is_told_as_it_is_written() -> None:
    unread: list[Any] = []
    Folders("%Y", time="ts", zone="UTC").of(Record(7, b'{"ts":1e999}', 0), unread.append)
    assert unread == ["1e999"]


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (100_000_000, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (100_000_000_000, datetime(1973, 3, 3, 9, 46, 40, tzinfo=UTC)),
        (9_999_999_999, datetime(2286, 11, 20, 17, 46, 39, tzinfo=UTC)),
        (9_999_999_999_999, datetime(2286, 11, 20, 17, 46, 39, 999000, tzinfo=UTC)),
    ],
)
def test_seconds_and_milliseconds_are_told_apart_by_their_size(value: int, moment: datetime) -> None:
    assert moment_of(value) == moment


def test_what_is_no_time_is_counted_and_told_once_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    metrics = SinkMetrics("clicks")
    times = UnreadTimes("ts", metrics, clock=lambda: now)
    partition = Partition("t", 3)
    metrics.add_partition(partition)

    def counted() -> float | None:
        labels = {"sink": "clicks", "topic": "t", "partition": "3"}
        return metrics.registry.get_sample_value("sink_unread_times_total", labels)

    assert counted() == 0
    times.note(partition, [])
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        times.note(partition, ["soon"])
        times.note(partition, ["later", "never"])
        now = 10.0
        times.note(partition, ["a word " * 100])
    assert counted() == 4
    first, second = caplog.messages
    assert "t-3: the field ts of 1 records is no time, as 'soon'" in first
    assert "of 3 records is no time, as 'a word" in second
    assert len(second) < 300
