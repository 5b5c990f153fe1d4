"""The notations of a time that a record's field may have; docs/configuration.md, Times, lists them for users."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from events.event import parse_timestamp

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_SECONDS = (10**8, 10**10)
"""From 3 March 1973 to 20 November 2286. Smaller numbers may be dates, as 20261120."""

_MILLISECONDS = (10**11, 10**13)
"""The same days. No number is in both ranges, so the number itself says which unit it has."""

_NUMBER = re.compile(r"\d{10}(?:\d{3})?(?:\.\d+)?")
"""A number that is written as a text. With other numbers of digits it may be a date, as 20261120101530."""

Unread = Callable[[Any], None]
"""Called with a value that is there but is no time."""


def no_unread(value: Any) -> None:
    """For callers that do not count values that are no time."""


def moment_of(value: Any) -> datetime | None:
    """The moment (aware) that a value of JSON names; None for one that is no time."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            try:
                return parse_timestamp(value)
            except ValueError:
                return None
        value = float(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if _SECONDS[0] <= value < _SECONDS[1]:
        return _EPOCH + timedelta(seconds=value)
    if _MILLISECONDS[0] <= value < _MILLISECONDS[1]:
        return _EPOCH + timedelta(milliseconds=value)
    return None


def time_zone(key: str, name: str) -> ZoneInfo:
    """The time zone that a setting names. Raises ValueError, which names the setting's key."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{key} is {name!r}, which is no IANA time zone") from error
