"""What a reader of the main page has chosen to see, as its address says it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pipeline.statistics import EVENT, stored_kinds, text_fields
from pipeline.time_range import DEFAULT_SPAN, RANGE_KEYS, SPANS, TimeRange, from_milliseconds, parse_time_range

URL = "admin:events_selectcolorevent_panels"
"""The address that answers all panels of the page with one request."""

KEYS = ("event", "by", *RANGE_KEYS)
"""The keys of an address that a choice is made of."""


@dataclass(frozen=True)
class Choice:
    """A kind of event; the field by whose values its chart is stacked, empty where it has none; and a time range.

    range: what the address says of the range, by RANGE_KEYS; it may be wrong.
    """

    event: str
    field: str
    range: Mapping[str, str]

    def time_range(self) -> TimeRange:
        """The range, now. Raises ValueError saying what is wrong with it."""
        return parse_time_range(self.range, now=datetime.now(UTC))

    @property
    def span(self) -> str:
        """The key of the length of time that is shown, also beside dates that were typed."""
        key = self.range.get("range", "")
        return key if key in SPANS else DEFAULT_SPAN

    @property
    def is_by_dates(self) -> bool:
        """Whether the range was typed as dates."""
        return "from" in self.range

    @property
    def begin(self) -> str:
        """The first moment that was typed, for people."""
        return self.range.get("from", "").replace("T", " ")

    @property
    def until(self) -> str:
        """The last one, empty for now."""
        return self.range.get("to", "").replace("T", " ")

    @property
    def end(self) -> datetime:
        """When a range that has an end of its own ends."""
        return from_milliseconds(self.range["end"])

    def query(self, **other: str) -> dict[str, str]:
        """The address's query of this choice; other: another field `by`, or another range in place of this one."""
        kind = {} if self.event == EVENT else {"event": self.event, "by": other.pop("by", self.field)}
        return {**kind, **(other or self.range or {"range": self.span})}

    def query_to(self, newest: int) -> dict[str, str] | None:
        """The query of a range that holds the newest event: in place of dates the shortest until now, else its own.

        newest: in epoch milliseconds. None: no calendar has this time, so no range holds it.
        """
        now = datetime.now(UTC)
        try:
            parse_time_range({"range": self.span, "end": str(newest + 1)}, now=now)
        except ValueError:
            return None
        age = now - from_milliseconds(str(newest))
        holding = next((key for key, span in SPANS.items() if age < span.length), None)
        if self.is_by_dates and holding is not None:
            return self.query(range=holding)
        return self.query(range=self.span, end=str(newest + 1))


def choice_of(query: Mapping[str, str]) -> Choice:
    """The choice of an address: the first kind of event, and its first text, where it names none that is stored."""
    event = query.get("event", EVENT)
    event = event if event in stored_kinds() else EVENT
    fields = text_fields(event)
    field = query.get("by", "")
    chosen = {key: query[key] for key in RANGE_KEYS if query.get(key)}
    return Choice(event, field if field in fields else next(iter(fields), ""), chosen)
