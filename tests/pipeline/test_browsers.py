"""Browsers are counted from user agents."""

import time

from pipeline.browsers import AgentCount, count_agents
from sinks.elasticsearch.user_agents import agent_of

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
    " Version/17.5 Mobile/15E148 Safari/604.1"
)


def test_a_browser_is_named_by_its_family() -> None:
    assert [agent_of(agent).browser for agent in (CHROME.format(131), FIREFOX, IPHONE)] == [
        "Chrome",
        "Firefox",
        "Mobile Safari",
    ]


def test_an_agent_that_names_no_browser_is_unknown() -> None:
    assert agent_of("").browser is None
    assert agent_of("<img src=x onerror=alert(1)>").browser is None


def test_versions_of_a_browser_are_added_up() -> None:
    agents = [(CHROME.format(130), 5), (FIREFOX, 7), (CHROME.format(131), 3), ("?", 1), ("", 1)]
    assert count_agents(agents, lambda agent: agent.browser) == [
        AgentCount("Chrome", 8),
        AgentCount("Firefox", 7),
        AgentCount(None, 2),
    ]
    assert count_agents(agents, lambda agent: agent.os)[:2] == [AgentCount("Windows", 8), AgentCount("Linux", 7)]


def test_agents_that_lie_beside_the_project_are_named_as_they_are_there(user_agents: list[str]) -> None:
    named = sum(agent_of(agent).browser is not None for agent in user_agents)
    assert named > len(user_agents) // 2


def test_a_hostile_agent_costs_little_time() -> None:
    started = time.perf_counter()
    for hostile in ("Mozilla/5.0 (" * 2000, ";" * 30_000, "a/1 " * 8000, " " * 30_000):
        agent_of(hostile)
    assert time.perf_counter() - started < 1.0
