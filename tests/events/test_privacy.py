"""Browsers that ask not to be tracked, programs that browse, and what is never stored."""

import json
import tracemalloc
from typing import Any

import pytest

from events.bots import is_bot
from events.synthetic import USER_AGENTS
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery

pytestmark = pytest.mark.usefixtures("door")

BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
EVENT = json.dumps({"colorName": "red", "userName": "Ada"})


def both(**headers: str) -> list[Any]:
    return [
        Client().get("/api/select?color=red&user=Ada", headers=headers),
        Client().post("/api/events", EVENT, "application/json", headers=headers),
    ]


@pytest.mark.parametrize(("name", "value"), [("Sec-GPC", "1"), ("DNT", "1")])
def test_a_browser_that_asks_not_to_be_tracked_is_left_alone_when_the_setting_says_so(
    delivery: FakeDelivery, settings: Any, name: str, value: str
) -> None:
    settings.EVENTS = {**settings.EVENTS, "privacy_signals": True}
    for response in both(**{name: value}):
        assert (response.status_code, response.json()["status"]) == (202, "ignored")
    assert delivery.taken == []
    assert [response.json()["status"] for response in both(**{name: "0"})] == ["accepted", "accepted"]


def test_without_the_setting_they_are_stored(delivery: FakeDelivery) -> None:
    assert [response.json()["status"] for response in both(DNT="1")] == ["accepted", "accepted"]


def test_a_bot_is_flagged_and_not_dropped(delivery: FakeDelivery) -> None:
    both(**{"User-Agent": BOT})
    both(**{"User-Agent": "Mozilla/5.0 Firefox/145.0"})
    assert [record.headers for record in delivery.taken] == [[("event.bot", b"1")]] * 2 + [None, None]


def test_the_address_of_a_client_is_not_stored(delivery: FakeDelivery) -> None:
    both(**{"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"})
    assert "203.0.113.7" not in f"{delivery.taken}"
    assert "127.0.0.1" not in f"{delivery.taken}"


def test_what_is_remembered_of_user_agents_is_bounded() -> None:
    assert is_bot("curl/8 " + "x" * 100_000)
    tracemalloc.start()
    for number in range(1000):
        is_bot(f"{number:05d}" + "x" * 100_000)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 5_000_000


def test_known_browsers_are_people_and_known_bots_are_not() -> None:
    bots = {agent for agent in USER_AGENTS if is_bot(agent)}
    assert len(bots) == 3
    assert all(word in "".join(bots) for word in ("Googlebot", "Yeti", "curl"))
