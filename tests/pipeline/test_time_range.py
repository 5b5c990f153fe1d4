"""The time range of the statistics, and how wide its bars are."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from pipeline.time_range import SPANS, TimeRange, choose_interval, parse_time_range, to_milliseconds

NOW = datetime(2026, 11, 20, 10, 15, 30, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("span", "interval", "bars"),
    [
        ("15m", timedelta(seconds=15), 60),
        ("1h", timedelta(minutes=1), 60),
        ("6h", timedelta(minutes=5), 72),
        ("24h", timedelta(minutes=20), 72),
        ("7d", timedelta(hours=3), 56),
        ("30d", timedelta(hours=12), 60),
    ],
)
def test_a_span_is_cut_into_about_sixty_bars(span: str, interval: timedelta, bars: int) -> None:
    assert choose_interval(SPANS[span].length) == interval
    assert SPANS[span].length / interval == bars


@pytest.mark.parametrize("seconds", [1, 59, 61, 3601, 86_399, 10**6, 10**7, 10**8, 10**9])
def test_any_length_has_at_most_120_bars(seconds: int) -> None:
    length = timedelta(seconds=seconds)
    assert length / choose_interval(length) <= 120


def test_without_a_query_the_last_hour_is_shown() -> None:
    assert parse_time_range({}, now=NOW) == TimeRange(NOW - timedelta(hours=1), NOW, timedelta(minutes=1))


def test_a_range_can_end_in_the_past() -> None:
    end = to_milliseconds(NOW - timedelta(days=3))
    time_range = parse_time_range({"range": "15m", "end": str(end)}, now=NOW)
    assert to_milliseconds(time_range.end) == end
    assert time_range.end - time_range.start == timedelta(minutes=15)
    assert time_range.minutes == 15


@pytest.mark.parametrize(
    "query",
    [{"range": "2h"}, {"end": "yesterday"}, {"end": "9" * 30}, {"end": "-62135596800000"}, {"end": "1e3"}],
)
def test_what_is_no_range_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"range|end"):
        parse_time_range(query, now=NOW)


def test_an_excluded_end_is_rounded_up_to_whole_milliseconds() -> None:
    assert to_milliseconds(NOW) == 1795169730124


def test_a_custom_range_is_in_the_zone_of_the_site() -> None:
    now = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    with timezone.override("Asia/Seoul"):
        found = parse_time_range({"from": "2026-11-20T10:15", "to": "2026-11-20T11:15"}, now=now)
        open_end = parse_time_range({"from": "2026-11-20T20:00"}, now=now)
    assert found.start == datetime(2026, 11, 20, 1, 15, tzinfo=UTC)
    assert found.end == datetime(2026, 11, 20, 2, 15, tzinfo=UTC)
    assert (found.interval, open_end.end) == (timedelta(minutes=1), now)


@pytest.mark.parametrize(
    "query",
    [
        {"from": "yesterday"},
        {"to": "2026-11-20T10:15"},
        {"from": "2026-11-20T10:15", "to": "2026-11-20T10:15"},
        {"from": "0001-01-01T00:00", "to": "2026-11-20T10:15"},
        {"from": "9999-12-31T23:59"},
    ],
)
def test_a_custom_range_that_is_none_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"from|begin"):
        parse_time_range(query, now=datetime(2026, 11, 20, 12, 0, tzinfo=UTC))


@pytest.mark.parametrize("end", ["253402300799999", "253402214400001", "-62135593200000"])
@pytest.mark.parametrize("zone", ["Asia/Seoul", "America/New_York"])
def test_a_range_whose_days_some_zone_does_not_have_is_refused(end: str, zone: str) -> None:
    with timezone.override(zone), pytest.raises(ValueError, match="end"):
        parse_time_range({"range": "1h", "end": end}, now=datetime(2026, 11, 20, 12, 0, tzinfo=UTC))
