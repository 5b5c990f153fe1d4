"""Counts browsers by the user agents that they sent. No Django here."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ua_parser import parse_user_agent

MAX_PARSED = 512
"""Characters of a user agent that are parsed: real ones are shorter, and a hostile one may cost no time."""


@dataclass(frozen=True)
class BrowserCount:
    """How many events a browser sent; `browser` is None where the user agent names none that is known."""

    browser: str | None
    count: int


def browser_of(user_agent: str) -> str | None:
    """The browser's family, such as "Chrome" or "Mobile Safari"; None when it is unknown."""
    parsed = parse_user_agent(user_agent[:MAX_PARSED])
    return None if parsed is None else parsed.family


def count_browsers(agents: Iterable[tuple[str, int]]) -> list[BrowserCount]:
    """Adds up (user agent, events) by browser, the most frequent first, those of equal count by name."""
    counts: Counter[str | None] = Counter()
    for user_agent, count in agents:
        counts[browser_of(user_agent)] += count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
    return [BrowserCount(browser, count) for browser, count in ordered]
