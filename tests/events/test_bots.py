"""Whether a User-Agent is a bot's has one answer, at the door and in the index: that of CrawlerDetect."""

import re
import time

import pytest
from crawlerdetect import CrawlerDetect
from crawlerdetect.providers.crawlers import data as patterns

from events.bots import is_bot
from events.synthetic import USER_AGENTS
from sinks.elasticsearch.user_agents import agent_of
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery

BOTS = [
    "masscan/1.3 (https://github.com/robertdavidgraham/masscan)",
    "axios/1.7.9",
    "python-requests/2.32.3",
    "Python/3.12 aiohttp/3.11.11",
    "Mozilla/5.0 (compatible; StatusCakeBot/1.0; +https://www.statuscake.com)",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; Yeti/1.1; +https://naver.me/spd)",
    "Mozilla/5.0 (compatible; YandexMetrika/2.0; +http://yandex.com)",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36",
    "curl/8.14.1",
    "Wget/1.25.0",
    "Go-http-client/2.0",
    "okhttp/4.12.0",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "Zend\\Http\\Client",
]
PEOPLE = [
    "",
    "Mozilla/5.0 (Linux; Android 13; CUBOT X70) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile",
    "Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile YandexSearch/24.1",
]


@pytest.mark.parametrize("user_agent", BOTS)
def test_a_program_is_a_bot_at_the_door_and_in_the_index(delivery: FakeDelivery, user_agent: str) -> None:
    Client().get("/api/select?color=red&user=Ada", headers={"User-Agent": user_agent})
    assert [record.headers for record in delivery.taken] == [[("event.bot", b"1")]]
    assert agent_of(user_agent).bot


@pytest.mark.parametrize("user_agent", PEOPLE)
def test_a_browser_is_no_bot_at_the_door_nor_in_the_index(delivery: FakeDelivery, user_agent: str) -> None:
    Client().get("/api/select?color=red&user=Ada", headers={"User-Agent": user_agent})
    assert [record.headers for record in delivery.taken] == [None]
    assert not agent_of(user_agent).bot


def test_real_user_agents_have_the_answer_of_the_library_in_the_header_and_in_the_index(user_agents: list[str]) -> None:
    library = CrawlerDetect()
    expected = {agent for agent in user_agents if library.is_crawler(agent[:512])}
    assert len(user_agents) / 4 < len(expected) < len(user_agents) * 3 / 4
    assert {agent for agent in user_agents if is_bot(agent)} == expected
    assert {agent for agent in user_agents if agent_of(agent).bot} == expected


def test_each_bot_and_browser_that_is_named_here_has_the_answer_of_the_library() -> None:
    library = CrawlerDetect()
    for agent in [*BOTS, *PEOPLE, *USER_AGENTS]:
        assert is_bot(agent) == library.is_crawler(agent)


def test_the_patterns_of_the_library_mean_the_same_in_small_letters() -> None:
    turned = r"(?<!\\)(?:\\\\)*\\[A-Z]"  # \S becomes \s
    assert [each for each in patterns if re.search(turned, each)] == []


def test_a_hostile_user_agent_costs_little_time() -> None:
    hostile = ["Yandex" * 90, "x-" * 300, "(" * 600, " " * 600, "Mozilla/5.0 (" * 50, "ab/1 (c; " * 60]
    started = time.perf_counter()
    for number in range(100):
        for agent in hostile:
            is_bot(f"{agent[:500]}{number}")
    assert (time.perf_counter() - started) / 600 < 0.005
