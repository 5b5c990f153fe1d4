"""What an operator asks of the documents: words, a time range, a page."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from pipeline.console.topics.browse import number_of
from pipeline.time_range import TimeRange, is_chosen_by_dates, parse_time_range

ALL = "all"
"""The range that has no bounds."""

_RESERVED = set('+-=&|><!(){}[]^"~*?:\\/ ')
"""What means something in a query string (https://www.elastic.co/docs/reference/query-languages/query-dsl)."""


@dataclass(frozen=True)
class DocumentQuery:
    """text: in Elasticsearch's query-string syntax; range: None for all time; page: from 0; given: as it came."""

    text: str
    range: TimeRange | None
    page: int
    given: Mapping[str, str]

    def with_values(self, **values: str) -> str:
        """The query string of this query with other values; its page is the first one again."""
        kept = {key: value for key, value in self.given.items() if key != "page" and value}
        return urlencode({**kept, **values})


def parse_query(given: Mapping[str, str], *, now: datetime | None = None) -> DocumentQuery:
    """The query of a page's address. Raises ValueError saying what is wrong with it."""
    now = now or datetime.now(UTC)
    is_unbound = given.get("range") == ALL and not is_chosen_by_dates(given)
    chosen = None if is_unbound else parse_time_range({**given, "end": ""}, now=now)
    return DocumentQuery(given.get("q", "").strip(), chosen, number_of(given.get("page", ""), _("Page")) or 0, given)


def narrowed(text: str, field: str, value: object) -> str:
    """A query text that also wants a field to have a value."""
    name = "".join(f"\\{letter}" if letter in _RESERVED else letter for letter in field)
    shown = str(value).lower() if isinstance(value, bool) else str(value)
    escaped = shown.replace("\\", "\\\\").replace('"', '\\"')
    term = f'{name}:"{escaped}"'
    return f"({text}) AND {term}" if text else term
