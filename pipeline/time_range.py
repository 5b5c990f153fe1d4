"""The time range that statistics look at, and the interval that makes about 60 bars of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.utils import timezone
from django.utils.translation import gettext as translated
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

WANTED_BARS = 60
MAX_BARS = 120

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
INTERVALS = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        *(1, 2, 5, 10, 15, 30),
        *(_MINUTE, 2 * _MINUTE, 5 * _MINUTE, 10 * _MINUTE, 20 * _MINUTE, 30 * _MINUTE),
        *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
        *(_DAY, 2 * _DAY, 7 * _DAY),
    )
)
"""Widths of a bar that people can read off a clock."""


@dataclass(frozen=True)
class Span:
    """A length of time that can be chosen on the page."""

    length: timedelta
    label: "_StrPromise"


SPANS: Mapping[str, Span] = {
    "15m": Span(timedelta(minutes=15), _("15 minutes")),
    "1h": Span(timedelta(hours=1), _("1 hour")),
    "6h": Span(timedelta(hours=6), _("6 hours")),
    "24h": Span(timedelta(hours=24), _("24 hours")),
    "7d": Span(timedelta(days=7), _("7 days")),
    "30d": Span(timedelta(days=30), _("30 days")),
}
DEFAULT_SPAN = "1h"

RANGE_KEYS = ("range", "end", "from", "to")
"""The keys of a query string that choose a time range."""

FIRST_DAY, _LAST_DAY = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Moments between these have a name in every time zone."""


@dataclass(frozen=True)
class TimeRange:
    """From `start` (included) to `end` (excluded), both aware, cut into bars of `interval`."""

    start: datetime
    end: datetime
    interval: timedelta

    @property
    def minutes(self) -> float:
        """Its length in minutes."""
        return (self.end - self.start) / timedelta(minutes=1)


def choose_interval(length: timedelta) -> timedelta:
    """The interval of INTERVALS whose number of bars is nearest to 60, and at most 120; weeks beyond that."""
    fitting = [interval for interval in INTERVALS if length / interval <= MAX_BARS]
    if not fitting:
        return timedelta(weeks=math.ceil(length / timedelta(weeks=MAX_BARS)))
    return min(fitting, key=lambda interval: abs(math.log(length / interval / WANTED_BARS)))


def is_chosen_by_dates(query: Mapping[str, str]) -> bool:
    """Whether a query string names its range by `from` and `to`: `range` and `end` mean nothing then."""
    return bool(query.get("from") or query.get("to"))


def parse_time_range(query: Mapping[str, str], *, now: datetime) -> TimeRange:
    """The range that a query string names.

    `from` and `to`, as 2026-11-20T10:15 in the site's time zone; or `range`, a key of SPANS, and `end` in epoch
    milliseconds (default: now). Raises ValueError saying what is wrong with it.
    """
    if is_chosen_by_dates(query):
        return _custom(query.get("from") or "", query.get("to") or "", now)
    key = query.get("range") or DEFAULT_SPAN
    span = SPANS.get(key)
    if span is None:
        text = translated("“range” must be one of {names}, not “{text}”.")
        raise ValueError(text.format(names=", ".join(SPANS), text=key[:50]))
    end = from_milliseconds(query["end"]) if query.get("end") else now
    if end < FIRST_DAY + span.length:
        raise ValueError(translated("“end” is too early."))
    if end > _LAST_DAY:
        raise ValueError(translated("“end” must be a time in epoch milliseconds."))
    return TimeRange(end - span.length, end, choose_interval(span.length))


def _custom(begin: str, end: str, now: datetime) -> TimeRange:
    start = _moment("from", begin)
    stop = _moment("to", end) if end else now
    if start >= stop:
        raise ValueError(translated("The time range must begin before it ends."))
    return TimeRange(start, stop, choose_interval(stop - start))


def _moment(name: str, text: str) -> datetime:
    try:
        return moment_of(text)
    except ValueError as error:
        text = translated("“{name}” must be a time such as 2026-11-20T10:15.")
        raise ValueError(text.format(name=name)) from error


def moment_of(text: str) -> datetime:
    """The moment (UTC) that a form's field names, in the reader's zone where it names none. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = timezone.make_aware(moment)
        if FIRST_DAY <= moment <= _LAST_DAY:
            return moment.astimezone(UTC)
        raise ValueError("some time zone has no such day")
    except (ValueError, OverflowError) as error:
        raise ValueError(translated("“{text}” is no time.").format(text=text[:50])) from error


def from_milliseconds(text: str) -> datetime:
    """The moment (UTC) of `text`, epoch milliseconds. Raises ValueError."""
    try:
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise ValueError(translated("“end” must be a time in epoch milliseconds.")) from error


def to_milliseconds(moment: datetime) -> int:
    """`moment` (aware) as epoch milliseconds, rounded up, so that an excluded end misses no whole millisecond."""
    return math.ceil(moment.timestamp() * 1000)
