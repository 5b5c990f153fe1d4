"""The list of topics of a real Kafka that has hundreds: searched, in pages, each with a bounded read."""

import re
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from confluent_kafka.admin import AdminClient
from django.test import Client
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import kafka_reads
from pipeline.console.paging import page_number, part_of
from tests.console.support import shown
from tests.support import make_topics, wait_until

Operator = Callable[..., Client]
LIST = "/admin/console/topics/default/"


@pytest.fixture
def many(console: Stack, topic: str) -> Iterator[list[str]]:
    """500 topics of one partition; their names have something in common."""
    names = [f"{topic}.many-{number:03}" for number in range(500)]
    make_topics(console, *names, partitions=1)
    yield names
    admin = AdminClient({"bootstrap.servers": console.bootstrap_servers})
    for future in admin.delete_topics(names).values():
        future.result(timeout=30)


@pytest.mark.integration
def test_500_topics_are_listed_by_pages_of_which_each_asks_for_its_own_offsets(
    many: list[str], operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = kafka_reads.ask_offsets

    def counting(client: Any, partitions: Any, *given: Any) -> Any:
        asked.append(len(partitions))
        return ask(client, partitions, *given)

    monkeypatch.setattr(kafka_reads, "ask_offsets", counting)
    client, found = operator(), []
    wait_until(lambda: "of 500" in shown(client, f"{LIST}?q={many[0][:-3]}"), what="the topics in the list")
    asked.clear()
    for page in range(1, 11):
        begun = time.monotonic()
        html = client.get(f"{LIST}?{urlencode({'q': many[0][:-3].upper(), 'page': page})}").json()["html"]
        assert time.monotonic() - begun < 5
        found += re.findall(r"<bdi>(.*?)</bdi>", html)
        assert ("Next page" in html) == (page < 10)
        assert ("Previous page" in html) == (page > 1)
    assert found == many
    assert asked == [50, 50] * 10, "the first and the end offsets of 50 topics"
    assert "1 to 1 of 1 Topic" in shown(client, f"{LIST}?q={many[321]}")
    assert "No topic’s name has this text" in shown(client, f"{LIST}?q={many[321]}x")


@pytest.mark.integration
def test_topics_of_the_pipeline_come_first_and_internal_ones_when_asked_for(
    console: Stack, topic: str, operator: Operator
) -> None:
    client = operator()
    make_topics(console, f"__{topic}", partitions=1)
    wait_until(lambda: f"__{topic} internal" in shown(client, f"{LIST}?internal=yes&q={topic}"), what="the topic")
    names = re.findall(r"<bdi>(.*?)</bdi>", client.get(LIST).json()["html"])
    assert names[:2] == [topic, f"{topic}.dlq"]
    assert not [name for name in names if name.startswith("__")]


def test_the_page_has_the_list_of_each_configured_cluster_or_of_the_chosen_one(
    operator: Operator, settings: Settings
) -> None:
    settings.KAFKA = {**settings.KAFKA, "far.away": {"bootstrap.servers": "localhost:1"}}
    client = operator()
    page = client.get("/admin/console/topics/?q=%26x&internal=yes&other=1").content.decode()
    assert re.findall(r'data-url="([^"]*)"', page) == [
        "/admin/console/topics/default/?q=%26x&amp;internal=yes",
        "/admin/console/topics/far.away/?q=%26x&amp;internal=yes",
    ]
    page = client.get("/admin/console/topics/?cluster=far.away&page=2").content.decode()
    assert re.findall(r'data-url="([^"]*)"', page) == ["/admin/console/topics/far.away/?cluster=far.away&amp;page=2"]
    assert client.get("/admin/console/topics/?cluster=none").status_code == 404


@pytest.mark.parametrize(
    ("number", "items", "links"),
    [
        (1, "abc", {"before": None, "after": "q=%26&page=2"}),
        (2, "def", {"before": "q=%26&page=1", "after": "q=%26&page=3"}),
        (3, "g", {"before": "q=%26&page=2", "after": None}),
        (99, "g", {"before": "q=%26&page=2", "after": None}),
    ],
)
def test_a_page_of_a_list_has_links_to_its_neighbours(number: int, items: str, links: dict[str, str | None]) -> None:
    part = part_of("abcdefg", number, 3)
    assert part.items == items
    assert part.links({"q": "&"}) == links
    assert part_of("", number, 3).links({}) == {"before": None, "after": None}


@pytest.mark.parametrize(("text", "number"), [("3", 3), ("", 1), ("x", 1), ("-2", 1), ("²", 1), ("9" * 30, 1)])
def test_what_is_no_number_of_a_page_is_the_first(text: str, number: int) -> None:
    assert page_number(text) == number
