"""How numbers and times are written on the console's pages."""

import pytest
from django.utils import timezone

from pipeline.console.templatetags.console import full_time, rate


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0, "0"), (1 / 43200, "0.000023"), (0.05, "0.05"), (1, "1"), (6.66, "6.7"), (99.96, "100"), (12345.6, "12,346")],
)
def test_a_rate_is_written_without_an_exponent_and_without_digits_that_say_nothing(number: float, shown: str) -> None:
    assert rate(number) == shown


@pytest.mark.parametrize("moment", [253402300799999, 253402300800000, 10**18, -62135596800000, -(10**18)])
@pytest.mark.parametrize("zone", ["Asia/Seoul", "America/New_York"])
def test_a_time_that_no_calendar_has_is_shown_as_it_is(moment: int, zone: str) -> None:
    with timezone.override(zone):
        assert full_time(moment)
