"""The chart's bars add up also when its two searches do not agree."""

import pytest

from pipeline import statistics
from pipeline.console.statistics import chart
from pipeline.statistics import EventsOverTime, Series


def test_no_bar_is_less_than_its_series(monkeypatch: pytest.MonkeyPatch) -> None:
    found = EventsOverTime("colorName", 12, [0, 1], [9, 5], [Series("red", [10, 3])], None)
    monkeypatch.setattr(statistics, "events_over_time", lambda *_args, **_options: found)
    data = chart.read({"range": "1h"})
    red, others = data["series"]
    assert (data["counts"], others["counts"], data["total"]) == ([10, 5], [0, 2], 15)
    assert (red["name"], others["name"]) == ("red", None)
