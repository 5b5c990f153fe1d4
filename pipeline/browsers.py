"""Counts browsers by the user agents that they sent. No Django here."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sinks.user_agents import agent_of


@dataclass(frozen=True)
class BrowserCount:
    """How many events a browser sent; `browser` is None where the user agent names none that is known."""

    browser: str | None
    count: int


def count_browsers(agents: Iterable[tuple[str, int]]) -> list[BrowserCount]:
    """Adds up (user agent, events) by browser, the most frequent first, those of equal count by name."""
    counts: Counter[str | None] = Counter()
    for user_agent, count in agents:
        counts[agent_of(user_agent).browser] += count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
    return [BrowserCount(browser, count) for browser, count in ordered]
