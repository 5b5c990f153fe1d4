"""The pages of consumer groups: what Kafka tells of them, on a real one, and what it does not tell."""

import html
import re
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupType, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from django.test import Client
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import conf
from pipeline.console.groups import asking, child
from pipeline.errors import ServerAway, ServerError
from tests.console.groups import GROUPS, commit, group_page, living
from tests.console.support import shown
from tests.support import event, produce, wait_until

Operator = Callable[..., Client]
HOSTILE = ('<img src=x onerror="alert(1)">', "a/b/../c", "?name=x&y#z", "그룹 ü", "..", "%2F", " ")


@pytest.mark.integration
@pytest.mark.parametrize("protocol", ["classic", "consumer"])
def test_a_group_of_two_consumers_has_its_members_partitions_and_lag(
    console: Stack, topic: str, operator: Operator, protocol: str
) -> None:
    produce(console, topic, [event(number) for number in range(30)])
    group = f"{topic}-{protocol}"
    commit(console, {0: 4, 1: 10}, group, topic=topic)
    client = operator()
    with living(console, group, topic, count=2, **{"group.protocol": protocol}) as assigned:
        details = group_page(group, "details/")
        wait_until(lambda: "2 members" in shown(client, details), what="the members")
        text = wait_until(lambda: "none" not in (text := shown(client, details)) and text, what="all partitions")
        assert f"Protocol {protocol} " in text
        assert "Lag 16 " in text
        for number, parts in enumerate(assigned):
            listed = ", ".join(f"{topic}-{part}" for part in parts)
            assert f"client-{number} 127.0.0.1 {listed} " in text
        owner = {part: f"client-{number}" for number, parts in enumerate(assigned) for part in parts}
        assert f"{topic} 0 0 4 10 6 {owner[0]}" in text
        assert f"{topic} 1 0 10 10 0 {owner[1]}" in text
        assert f"{topic} 2 0 no commit yet 10 10 {owner[2]}" in text
        row = shown(client, f"{GROUPS}?q={group}")
        assert re.search(rf"{group} {protocol} .+ 2 {topic} 16 ", row), row
    wait_until(lambda: "empty: no members" in shown(client, details), what="the group without members")


@pytest.mark.integration
def test_300_groups_are_listed_by_pages_that_ask_for_their_own_groups_alone(
    console: Stack, topic: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    produce(console, topic, [event(number) for number in range(9)])
    names = [f"{topic}-many-{number:03}" for number in range(300)]
    commit(console, {0: 1, 2: 3}, *names, topic=topic)
    client, found, seconds = operator(), [], 0.0
    wait_until(lambda: "of 300" in shown(client, f"{GROUPS}?q={topic}-many"), what="the groups")
    for page in range(1, 7):
        begun = time.monotonic()
        answer = client.get(f"{GROUPS}?q={topic}-MANY&page={page}").json()["html"]
        seconds = max(seconds, time.monotonic() - begun)
        found += re.findall(r"<bdi>(.*?many.*?)</bdi>", answer)
        assert len(re.findall(r'<td class="console-number">2</td>', answer)) == 50, "the lag of each"
        assert ("Next page" in answer) == (page < 6)
    assert found == names
    assert seconds < 5
    described: list[int] = []

    class Counting(AdminClient):
        def describe_consumer_groups(self, group_ids: list[str], **given: Any) -> Any:
            described.append(len(group_ids))
            return super().describe_consumer_groups(group_ids, **given)

    listing = child.list_page(
        Counting({"bootstrap.servers": console.bootstrap_servers}),
        time.monotonic() + 20,
        text=f"{topic}-many",
        number=2,
        size=50,
        most_partitions=1,
    )
    assert described == [50]
    assert not any(group.is_counted for group in listing.groups), "two partitions are more than the bound of one"
    assert "No group’s name has this text" in shown(client, f"{GROUPS}?q={topic}-none")


@pytest.mark.integration
@pytest.mark.parametrize("name", HOSTILE)
def test_a_group_may_have_any_name(console: Stack, topic: str, operator: Operator, name: str) -> None:
    produce(console, topic, [event(0)], partition=1)
    commit(console, {1: 0}, f"{topic}{name}", name, topic=topic)
    client = operator()
    listed = client.get(f"{GROUPS}?q={topic}").json()["html"]
    assert html.escape(f"{topic}{name}") in listed.replace("&#x27;", "'")
    assert "<img" not in listed
    [address] = re.findall(rf'href="([^"]*group/[^"]*{topic}[^"]*)"', listed)
    assert client.get(html.unescape(address)).status_code == 200
    for group in (f"{topic}{name}", name):
        assert client.get(group_page(group)).status_code == 200
        assert f"{topic} 1 0 0 1 1 none" in shown(client, group_page(group, "details/"))


@pytest.mark.integration
def test_pages_of_topics_groups_and_sinks_lead_to_each_other(console: Stack, topic: str, operator: Operator) -> None:
    commit(console, {0: 0}, f"{topic}-hdfs", topic=topic)
    client = operator()
    of_topic = client.get(f"/admin/console/topics/default/{topic}/groups/").json()["html"]
    assert f'href="{group_page(f"{topic}-hdfs")}"' in of_topic
    details = client.get(group_page(f"{topic}-hdfs", "details/")).json()["html"]
    assert f'href="/admin/console/topics/default/{topic}/"' in details
    assert 'href="/admin/console/sinks/hdfs/"' in client.get(group_page(f"{topic}-hdfs")).content.decode()
    assert 'href="/admin/console/sinks/hdfs/"' in client.get(f"{GROUPS}?q={topic}").json()["html"]


@pytest.mark.integration
def test_a_group_that_is_not_there_is_said_not_to_be(console: Stack, topic: str, operator: Operator) -> None:
    client = operator()
    assert "no consumer group of this name" in shown(client, group_page(f"{topic}-none", "details/"))
    assert "INVALID_GROUP_ID" in shown(client, group_page("", "details/"))
    assert client.get(group_page("")).status_code == 200


class _Admin:
    """A client to which Kafka does not tell everything: of the groups that are in `refused` nothing."""

    def __init__(self, refused: set[str]) -> None:
        self._refused = refused

    def describe_consumer_groups(self, names: list[str], **_: Any) -> dict[str, "Future[Any]"]:
        about = {"members": [], "is_simple_consumer_group": False, "partition_assignor": "", "coordinator": None}
        kind = {"type": ConsumerGroupType.CLASSIC, "state": ConsumerGroupState.EMPTY}
        return {name: self._answer(name, SimpleNamespace(**about, **kind)) for name in names}

    def list_consumer_group_offsets(self, asked: list[Any], **_: Any) -> dict[str, "Future[Any]"]:
        return {one.group_id: self._answer(one.group_id, SimpleNamespace(topic_partitions=[])) for one in asked}

    def _answer(self, name: str, answer: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        if name in self._refused:
            future.set_exception(KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, "not for you")))
        else:
            future.set_result(answer)
        return future


def test_what_kafka_refuses_to_tell_of_a_group_stands_in_its_place(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = _Admin({"secret"})
    groups = child.read_groups(client, time.monotonic() + 5, names=["open", "secret", "other"])
    assert [group.errors for group in groups] == [[], ["GROUP_AUTHORIZATION_FAILED: not for you"], []]
    assert [group.state for group in groups] == ["empty", "", "empty"]
    monkeypatch.setattr(asking, "list_groups", lambda *_, **__: child.Listing(groups, 1, 3, ["broker 2 is away"]))
    text = shown(operator(), GROUPS)
    assert "secret ⚠ GROUP_AUTHORIZATION_FAILED: not for you other classic empty" in text
    assert "A broker did not tell its groups: broker 2 is away" in text


def test_a_client_that_ends_its_process_ends_no_more_than_one_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = subprocess.run

    def aborting(command: list[str], **given: Any) -> Any:
        return run([command[0], "-c", "import os; os.abort()"], **given)

    monkeypatch.setattr(subprocess, "run", aborting)
    with pytest.raises(ServerError, match=signal.strsignal(signal.SIGABRT)) as raised:
        asking.read_group("default", "x")
    assert not isinstance(raised.value, ServerAway), "the next one is asked for at once"


@pytest.mark.usefixtures("kafka_is_away")
def test_a_cluster_that_is_away_is_an_answer(operator: Operator) -> None:
    answer = operator().get(GROUPS).json()
    assert answer["error"]["server"] == "Kafka (localhost:1)"


def test_a_cluster_that_is_not_configured_is_not_found(operator: Operator, settings: Settings) -> None:
    settings.KAFKA = {**settings.KAFKA, "far": {"bootstrap.servers": "localhost:2"}}
    conf.console_settings.cache_clear()
    client = operator()
    assert client.get("/admin/console/groups/?cluster=none").status_code == 404
    assert client.get("/admin/console/groups/none/").status_code == 404
    page = client.get("/admin/console/groups/").content.decode()
    assert re.findall(r'data-url="([^"?]*)', page) == ["/admin/console/groups/default/", "/admin/console/groups/far/"]
