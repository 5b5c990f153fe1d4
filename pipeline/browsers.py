"""Counts browsers and systems by the user agents that they sent. No Django here."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sinks.elasticsearch.user_agents import Agent, agent_of


@dataclass(frozen=True)
class AgentCount:
    """How many events a browser or system sent; `name` is None where the user agent names none that is known."""

    name: str | None
    count: int


def count_agents(agents: Iterable[tuple[str, int]], named: Callable[[Agent], str | None]) -> list[AgentCount]:
    """Adds up (user agent, events) by what `named` reads, the most frequent first, those of equal count by name."""
    counts: Counter[str | None] = Counter()
    for user_agent, count in agents:
        counts[named(agent_of(user_agent))] += count
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0] or ""))
    return [AgentCount(name, count) for name, count in ordered]
