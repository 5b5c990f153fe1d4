"""The time of a point in nanoseconds since 1970: RFC 3339 and numbers have more digits than Python's datetime holds."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from events.event import parse_timestamp
from events.schema import InvalidRecord
from events.shortening import shortened

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
"""Nanoseconds of each unit."""

FIRST, LAST = -(2**63) + 2, 2**63 - 2
"""The times that InfluxDB stores, 1677 to 2262."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.(\d+))?(?:[Zz]|[+-]\d\d:?\d\d)", re.ASCII)
_DIGITS = 9
_MAX_SHOWN = 100


def nanoseconds(name: str, value: Any, unit: str) -> int:
    """The time that the field `name` of a record holds. Raises InvalidRecord."""
    if isinstance(value, str):
        found = _RFC_3339.fullmatch(value)
        if found is None:
            raise InvalidRecord(f"its time {name} is {shortened(value, _MAX_SHOWN)!r}, which is not RFC 3339")
        try:
            moment = parse_timestamp(value)
        except ValueError as error:
            raise InvalidRecord(f"its time {name}: {error}") from None
        digits = (found[1] or "")[:_DIGITS].ljust(_DIGITS, "0")
        return (moment - _EPOCH) // timedelta(seconds=1) * UNITS["s"] + int(digits)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # The digits as JSON has them: 1795144523.123 times a power of ten would end in digits that nobody wrote.
        return int(Decimal(repr(value)) * UNITS[unit])
    if value is None:
        raise InvalidRecord(f"it has no time: there is no field {name}")
    raise InvalidRecord(f"its time {name} is neither a text nor a number")
