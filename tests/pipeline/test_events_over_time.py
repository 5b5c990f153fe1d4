"""The chart's bars add up also when its two searches do not agree."""

from datetime import UTC, datetime

import pytest
from django.template.loader import render_to_string
from django.utils import timezone

from pipeline import statistics
from pipeline.console.statistics import chart
from pipeline.statistics import EventsOverTime, Series
from pipeline.time_range import to_milliseconds


def test_no_bar_is_less_than_its_series(monkeypatch: pytest.MonkeyPatch) -> None:
    found = EventsOverTime("colorName", 12, [0, 1], [9, 5], [Series("red", [10, 3])], None)
    monkeypatch.setattr(statistics, "events_over_time", lambda *_args, **_options: found)
    data = chart.read({"range": "1h"})
    red, others = data["series"]
    assert (data["counts"], others["counts"], data["total"]) == ([10, 5], [0, 2], 15)
    assert (red["name"], others["name"]) == ("red", None)


@pytest.mark.parametrize("newest", [253402300800000, 10**18, -(10**18)])
def test_a_newest_event_of_a_time_that_no_calendar_has_takes_nothing_from_the_chart(
    newest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = EventsOverTime("colorName", 0, [0], [0], [], newest)
    monkeypatch.setattr(statistics, "events_over_time", lambda *_args, **_options: found)
    html = render_to_string("console/statistics/chart.html", chart.read({"range": "1h"}))
    assert str(newest) in html
    assert "Go to newest" not in html


@pytest.mark.parametrize("zone", ["Asia/Seoul", "America/New_York"])
def test_the_first_bar_of_a_range_may_begin_before_the_calendar(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, last = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)
    starts = [to_milliseconds(first) - 7 * 24 * 3600 * 1000, to_milliseconds(last)]
    found = EventsOverTime("colorName", 2, starts, [1, 1], [Series("red", [1, 1])], 0)
    monkeypatch.setattr(statistics, "events_over_time", lambda *_args, **_options: found)
    with timezone.override(zone):
        data = chart.read({"from": "0001-01-03T00:00", "to": "9999-12-29T12:00"})
    assert "Jan 3, 0001" in data["drawn"]["titles"][0]
    assert "Dec 29, 9999" in data["drawn"]["titles"][1]
