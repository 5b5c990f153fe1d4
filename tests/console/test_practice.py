"""The practice page on a real Kafka: a person goes through its exercises."""

import html
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.test import Client
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import conf
from pipeline.console.practice.exercises import AT_A_TIME, GROUP
from tests.console.kafka_tools import Terminal
from tests.console.support import shown, text_of
from tests.support import wait_until

pytestmark = [pytest.mark.integration]

PRACTICE = "/admin/console/practice/"


@pytest.fixture
def practice(console: Stack, topic: str, settings: Settings) -> str:
    """The name of a practice topic that is not there yet."""
    settings.CONSOLE = {"practice_topic": f"{topic}-practice"}
    conf.console_settings.cache_clear()
    return f"{topic}-practice"


def test_the_exercises(practice: str, operator: Callable[..., Client]) -> None:
    partitions = f"/admin/console/topics/default/{practice}/partitions/"
    client = operator("produce")
    assert "no topic of this name" in shown(client, partitions)

    def do(action: str, **form: str) -> str:
        answer = client.post(f"{PRACTICE}act/", {"action": action, **form}, follow=True)
        assert answer.status_code == 200
        return str(urlsplit(answer.redirect_chain[-1][0]).query if answer.redirect_chain else answer.content.decode())

    do("create")
    wait_until(lambda: "3 partitions, 0 records" in shown(client, partitions), what="the topic")
    for number in range(7):
        do("text", kind="text", value=f"hello {number}", partition="1")
    do("json", kind="json", value='{"a": 1}', partition="0")
    assert "This is not JSON" in do("json", kind="json", value="{a")
    assert "3 partitions, 8 records" in shown(client, partitions)
    # A broker that has just started is no coordinator of groups at first.
    wait_until(lambda: f"{GROUP} · group {GROUP} · lag 8" in shown(client, f"{PRACTICE}group/"), what="the group")
    text = shown(client, f"{PRACTICE}group/")
    assert text.count("no commit yet") == 3
    read = shown(client, f"{PRACTICE}read/?{do('read')}")
    assert "hello 3" in read
    assert "hello 4" not in read, "five records of all partitions together, as the command counts"
    assert "lag 3" in shown(client, f"{PRACTICE}group/")
    assert "hello 6" in shown(client, f"{PRACTICE}read/?{do('read')}")
    assert "lag 0" in shown(client, f"{PRACTICE}group/")
    assert "nothing new" in shown(client, f"{PRACTICE}read/?{do('read')}")
    do("again")
    assert "lag 8" in shown(client, f"{PRACTICE}group/")


def test_the_commands_do_what_the_page_does(practice: str, operator: Callable[..., Client]) -> None:
    page = text_of(operator("produce").get(PRACTICE).content.decode())
    assert f"--topic {practice} --partitions 3 --replication-factor 1 " in page
    assert "echo 'hello' | kafka-console-producer.sh" in page
    assert """echo '{"colorName":"blue","userName":"kim"}' | kafka-console-producer.sh""" in page
    assert f"--group {GROUP} --from-beginning --max-messages 5 " in page
    assert f"--group {GROUP} --reset-offsets --to-earliest --execute" in page


def test_only_those_who_may_produce_practise(practice: str, operator: Callable[..., Client]) -> None:
    client = operator()
    page = client.get(PRACTICE).content.decode()
    assert "You may not produce records" in page
    assert client.post(f"{PRACTICE}act/", {"action": "create"}).status_code == 403


def test_the_commands_that_the_page_shows_do_the_same_with_kafkas_own_tools(
    practice: str, operator: Callable[..., Client], console: Stack, tmp_path: Path
) -> None:
    client, terminal = operator("produce"), Terminal(tmp_path, console.config)
    page = client.get(PRACTICE).content.decode()
    commands = [html.unescape(text) for text in re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)]
    create, text, json_, consume_and_reset = commands
    consume, reset = consume_and_reset.splitlines()
    partitions = f"/admin/console/topics/default/{practice}/partitions/"

    assert f"Created topic {practice}" in terminal.run(create)
    wait_until(lambda: "3 partitions, 0 records" in shown(client, partitions), what="the topic")
    for command in (text, json_, text, json_, text, json_):
        terminal.run(command)
    assert "3 partitions, 6 records" in shown(client, partitions)
    assert len(terminal.run(consume).splitlines()) == AT_A_TIME
    assert f"{GROUP} · group {GROUP} · lag 1" in shown(client, f"{PRACTICE}group/")
    assert len(terminal.run(consume).splitlines()) == 1, "the group goes on where it was"
    assert "lag 0" in shown(client, f"{PRACTICE}group/")
    wait_until(lambda: terminal.run(reset).count(practice) == 3, what="a group without members")
    assert "lag 6" in shown(client, f"{PRACTICE}group/")
    assert len(terminal.run(consume).splitlines()) == AT_A_TIME
