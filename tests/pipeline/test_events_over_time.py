"""The chart's bars add up also when its two searches do not agree."""

from datetime import UTC, datetime

import pytest

from pipeline import statistics
from pipeline.panels import events_over_time
from pipeline.statistics import EventsOverTime, Series
from pipeline.time_range import parse_time_range


def test_no_bar_is_less_than_its_series(monkeypatch: pytest.MonkeyPatch) -> None:
    found = EventsOverTime("colorName", 12, [0, 1], [9, 5], [Series("red", [10, 3])], None)
    monkeypatch.setattr(statistics, "events_over_time", lambda *_args, **_options: found)
    data = events_over_time.read(
        parse_time_range({"range": "1h"}, now=datetime.now(UTC)), event="select-color", field="colorName"
    )
    assert (data["counts"], data["others"], data["total"]) == ([10, 5], [0, 2], 15)
