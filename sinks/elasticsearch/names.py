"""Into which index a record goes: one for all, or one a year, month, day or hour of the record's own time."""

import re
from calendar import isleap, monthrange
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import repeat
from typing import Any

from events.event import parse_timestamp
from events.schema import InvalidRecord
from sinks.elasticsearch.fields import FieldReader
from sinks.records import Record, Run
from sinks.times import Unread, moment_of, no_unread

_CODES = {"Y": r"(?P<Y>\d{4})", "m": r"(?P<m>\d\d)", "d": r"(?P<d>\d\d)", "H": r"(?P<H>\d\d)"}

# Where the event's own format (2026-11-20T10:15:30.123+0900) has its minute and its zone.
_OWN_LENGTH, _MINUTE, _ZONE = 28, slice(16), slice(23, None)


class IndexNames:
    """Gives the index of each record.

    pattern: a name, with %Y, %m, %d and %H for the record's time in UTC, for example `select-color-%Y.%m.%d`; time: the
    field that holds the time, or "kafka"; where the field holds none, Kafka's time is taken. Raises ValueError.

    fixed: the index, when there is only one. template: the name of the index template; wildcard: what it applies to.

    Where a record goes depends on the record alone, so it goes there again when it is read again.
    """

    def __init__(self, pattern: str, *, time: str) -> None:
        codes = re.findall("%(.)", pattern)
        if sorted(codes) != sorted(list(_CODES)[: len(codes)]):
            raise ValueError(f"index {pattern!r} must have %Y alone, or with %m, with %m and %d, or with all and %H")
        self.pattern = pattern
        self.fixed = None if codes else pattern
        self.wildcard = re.sub("%.", "*", pattern)
        self.template = re.sub("%(.)", r"(\1)", pattern).lower()  # no index, so no other pattern, has such a name
        self._finest = list(_CODES)[len(codes) - 1] if codes else ""
        parts = enumerate(re.split("%(.)", pattern))
        self._regex = re.compile("".join(_CODES[part] if place % 2 else re.escape(part) for place, part in parts))
        self.time = time
        self._read_time = FieldReader(time) if time != "kafka" else None
        self._of_minute = lru_cache(4096)(lambda text: self._of_moment(parse_timestamp(text).astimezone(UTC)))
        self._of_hour = lru_cache(4096)(lambda y, m, d, h: datetime(y, m, d, h, tzinfo=UTC).strftime(pattern))

    def of(self, record: Record, unread: Unread = no_unread) -> str:
        """The index of a record that is a valid event, or has no value. unread: called with a time that can't be read.

        Raises InvalidRecord as FieldReader, and when Kafka's time is no date.
        """
        if self.fixed is not None:
            return self.fixed
        value = self._read_time(record.value) if self._read_time is not None and record.value is not None else None
        return self._of_time(value, record.timestamp, unread)

    def all(self, run: Run, unread: Unread = no_unread) -> Sequence[str]:
        """The index of each record of a run that has lines. Raises as `of`."""
        if self.fixed is not None:
            return [self.fixed] * len(run.offsets)
        values = self._read_time.all(run.lines or b"") if self._read_time is not None else repeat(None)
        times = zip(values, run.timestamps, strict=False)
        return [self._of_time(value, timestamp, unread) for value, timestamp in times]

    def _of_time(self, value: Any, timestamp: int, unread: Unread) -> str:
        if isinstance(value, str) and len(value) == _OWN_LENGTH:
            try:
                return self._of_minute(value[_MINUTE] + value[_ZONE])
            except ValueError:
                pass  # another format of this length
        if (moment := moment_of(value)) is not None:
            return self._of_moment(moment.astimezone(UTC))
        if value is not None:
            unread(value)
        try:
            return self._of_moment(datetime.fromtimestamp(timestamp / 1000, UTC))
        except (ValueError, OverflowError, OSError) as error:
            raise InvalidRecord(f"its Kafka time {timestamp} names no index: {error}") from error

    def _of_moment(self, moment: datetime) -> str:
        return self._of_hour(moment.year, moment.month, moment.day, moment.hour)

    def end(self, name: str) -> datetime | None:
        """When the time of an index ends (aware); None for a name that the pattern does not give, or a fixed one."""
        match = self._regex.fullmatch(name)
        if match is None or self.fixed is not None:
            return None
        found = {code: int(number) for code, number in match.groupdict().items()}
        try:
            start = datetime(found["Y"], found.get("m", 1), found.get("d", 1), found.get("H", 0), tzinfo=UTC)
            days = {"Y": 366 if isleap(start.year) else 365, "m": monthrange(start.year, start.month)[1]}
            return start + (timedelta(hours=1) if self._finest == "H" else timedelta(days=days.get(self._finest, 1)))
        except (ValueError, OverflowError):
            return None

    def gives(self, name: str) -> bool:
        """Whether an index is one of these."""
        return name == self.fixed or self.end(name) is not None
