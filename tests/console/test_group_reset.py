"""An operator resets the offsets of a consumer group on a real Kafka; nobody's reading is disturbed by it."""

import html
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from django.test import Client
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from devstack.stack import Stack
from pipeline.console.groups import asking, child
from pipeline.console.groups.reset import Move, Plan, Refused, Wish, carry_out, parse
from pipeline.console.models import ActionKind, AuditEntry
from tests.accessibility import check_page
from tests.console.groups import commit, group_page, living
from tests.console.support import text_of
from tests.console.test_browser import problems, sign_in
from tests.support import committed_offsets, event, produce

__all__ = ["problems", "sign_in"]

Operator = Callable[..., Client]
HOUR = 3_600_000


def dry_run(client: Client, group: str, **wish: str) -> tuple[str, str]:
    """What the dry run says, and the plan to be confirmed (empty for none)."""
    page = client.get(reset_page(group, **wish)).content.decode()
    sealed = re.search(r'name="plan" value="([^"]*)"', page)
    return text_of(page), html.unescape(sealed[1]) if sealed else ""


def reset_page(group: str, **wish: str) -> str:
    """The address of the page that resets a group."""
    return f"{group_page(group, 'reset/')}&{urlencode(wish)}"


def confirm(client: Client, group: str, sealed: str, **wish: str) -> str:
    """What the page says after the dry run was confirmed."""
    answer = client.post(reset_page(group, **wish), {"plan": sealed}, follow=True)
    assert answer.status_code == 200
    return text_of(answer.content.decode())


def read_by(stack: Stack, group: str, topic: str) -> list[tuple[int, int]]:
    """The places of the records that a new consumer of the group reads, until nothing more comes."""
    config = {"bootstrap.servers": stack.bootstrap_servers, "group.id": group, "enable.partition.eof": True}
    consumer = Consumer({**config, "auto.offset.reset": "error", "enable.auto.commit": False})
    consumer.subscribe([topic])
    places: list[tuple[int, int]] = []
    ended: set[int] = set()
    deadline = time.monotonic() + 30
    while len(ended) < 3 and time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is not None and message.error() is None:
            places.append((message.partition(), message.offset()))
        elif message is not None:
            ended.add(message.partition())
    consumer.close()
    assert ended == {0, 1, 2}
    return sorted(places)


@pytest.fixture
def group(console: Stack, topic: str) -> str:
    """A group that has committed 5, 10 and 2 of the 10 records of each partition; the first 4 are an hour old."""
    for number in range(3):
        old = int(time.time() * 1000) - HOUR
        produce(console, topic, [event(n) for n in range(4)], partition=number, timestamp=old)
        produce(console, topic, [event(n) for n in range(6)], partition=number)
    commit(console, {0: 5, 1: 10, 2: 2}, f"{topic}-group", topic=topic)
    return f"{topic}-group"


HALF_AN_HOUR_AGO = f"{timezone.localtime() - timedelta(minutes=30):%Y-%m-%dT%H:%M:%S}"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("wish", "after", "said"),
    [
        ({"to": "earliest"}, [0, 0, 0], "at most 17 records are read again, at most 0 are skipped"),
        ({"to": "latest"}, [10, 10, 10], "at most 0 records are read again, at most 13 are skipped"),
        ({"to": "offset", "offset": "7"}, [7, 7, 7], "at most 3 records are read again, at most 7 are skipped"),
        ({"to": "offset", "offset": "99"}, [10, 10, 10], "10 ⚠ the nearest that Kafka has"),
        (
            {"to": "time", "time": HALF_AN_HOUR_AGO},
            [4, 4, 4],
            "at most 7 records are read again",
        ),
        ({"to": "time", "time": "2099-01-01T00:00"}, [10, 10, 10], "at most 13 are skipped"),
        ({"to": "shift", "shift": "-3"}, [2, 7, 0], "0 ⚠ the nearest that Kafka has"),
        ({"to": "shift", "shift": "+3"}, [8, 10, 5], "at most 6 are skipped"),
    ],
)
def test_what_the_dry_run_shows_is_done_and_a_new_consumer_reads_from_there(
    console: Stack, topic: str, group: str, operator: Operator, wish: dict[str, str], after: list[int], said: str
) -> None:
    client = operator("reset")
    text, sealed = dry_run(client, group, **wish)
    assert said in text
    assert committed_offsets(console, group, topic) == [5, 10, 2], "a dry run changes nothing"
    produce(console, topic, [b"later"], partition=1)  # what was shown is done, though the end has moved on
    assert "The group’s offsets were reset" in confirm(client, group, sealed, **wish)
    assert committed_offsets(console, group, topic) == after
    expected = [(number, offset) for number, end in enumerate([10, 11, 10]) for offset in range(after[number], end)]
    assert read_by(console, group, topic) == expected
    entry = AuditEntry.objects.get(kind=ActionKind.RESET)
    assert (entry.subject, entry.outcome) == (f"group {group} (default)", "done")
    assert f"{topic}-2 2 -> {after[2]}" in entry.what


@pytest.mark.integration
def test_one_topic_or_partition_is_reset_alone_also_without_a_commit(
    console: Stack, topic: str, group: str, operator: Operator
) -> None:
    client = operator("reset")
    only = {"to": "earliest", "topic": topic, "partition": "2"}
    text, sealed = dry_run(client, group, **only)
    assert f"{topic} 2 2 0 2 0" in text
    confirm(client, group, sealed, **only)
    assert committed_offsets(console, group, topic) == [5, 10, 0]
    new = {"to": "latest", "topic": topic}
    text, sealed = dry_run(client, f"{group}-new", **new)
    assert f"{topic} 0 no commit yet 10 0 0" in text
    confirm(client, f"{group}-new", sealed, **new)
    assert committed_offsets(console, f"{group}-new", topic) == [10, 10, 10]
    for wish, said in (
        ({"to": "earliest", "topic": f"{topic}-none"}, "no topic of this name"),
        ({"to": "earliest", "topic": topic, "partition": "7"}, "no partition 7"),
        ({"to": "shift", "shift": "1", "topic": topic}, "without a commit there is nothing to shift"),
        ({"to": "earliest"}, "has committed nothing: choose a topic"),
    ):
        assert said in dry_run(client, f"{group}-other", **wish)[0]


@pytest.mark.integration
def test_a_group_with_a_member_is_refused_before_and_after_the_dry_run(
    console: Stack, topic: str, group: str, operator: Operator
) -> None:
    client = operator("reset")
    _text, sealed = dry_run(client, group, to="earliest")
    with living(console, group, topic):
        text, none = dry_run(client, group, to="earliest")
        assert "The group has members" in text
        assert none == ""
        assert "The group has members" in confirm(client, group, sealed, to="earliest")
        assert AuditEntry.objects.get(kind=ActionKind.RESET).outcome.startswith("failed: The group has members")
    assert committed_offsets(console, group, topic) == [5, 10, 2]


@pytest.mark.integration
def test_kafka_refuses_when_a_consumer_joins_between_the_last_look_and_the_commit(
    console: Stack, topic: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as joined:

        class Late(AdminClient):
            def alter_consumer_group_offsets(self, asked: Any, **given: Any) -> Any:
                joined.enter_context(living(console, group, topic))
                return super().alter_consumer_group_offsets(asked, **given)

        def change(_cluster: str, name: str, **given: Any) -> child.Changed:
            client = Late({"bootstrap.servers": console.bootstrap_servers})
            return child.change(client, time.monotonic() + 60, name=name, **given)

        monkeypatch.setattr(asking, "change", change)
        with pytest.raises(Refused, match="A consumer joined the group right now"):
            carry_out("default", group, Plan([Move(topic, 0, 5, 0)]))
    assert committed_offsets(console, group, topic) == [5, 10, 2]


@pytest.mark.integration
def test_offsets_that_changed_since_the_dry_run_are_shown_again_first(
    console: Stack, topic: str, group: str, operator: Operator
) -> None:
    client = operator("reset")
    _text, sealed = dry_run(client, group, to="earliest")
    commit(console, {0: 6}, group, topic=topic)
    said = confirm(client, group, sealed, to="earliest")
    assert "The group’s offsets have changed since the dry run; nothing was done." in said
    assert f"{topic} 0 6 0 6 0" in said, "the new dry run"
    assert committed_offsets(console, group, topic) == [6, 10, 2]
    assert "of another group" in confirm(client, f"{group}-other", sealed, to="earliest")
    assert "too old" in confirm(client, group, f"{sealed}x", to="earliest")


@pytest.mark.integration
def test_the_group_of_a_sink_is_left_to_the_sink(console: Stack, topic: str, operator: Operator) -> None:
    group = f"{topic}-hdfs"
    commit(console, {0: 0}, group, topic=topic)
    client = operator("reset")
    for answer in (client.get(reset_page(group, to="latest")), client.post(reset_page(group, to="latest"))):
        page = answer.content.decode()
        assert "This is the group of a sink of this project" in page
        assert 'href="/admin/console/sinks/hdfs/"' in page
        assert 'name="plan"' not in page
    assert committed_offsets(console, group, topic)[0] == 0


def test_only_those_who_may_reset_do_with_a_token(operator: Operator) -> None:
    others = operator("control", "produce", "replay", "audit")
    assert "Reset offsets" not in others.get(group_page("x")).content.decode()
    assert others.get(reset_page("x")).status_code == 403
    assert others.post(reset_page("x")).status_code == 403
    client = operator("reset")
    assert "Reset offsets" in client.get(group_page("x")).content.decode()
    assert client.get(reset_page("x")).status_code == 200
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = client.cookies
    assert strict.post(reset_page("x")).status_code == 403
    assert not AuditEntry.objects.filter(kind=ActionKind.RESET).exists()


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"to": "never"}, "“to” must be one of"),
        ({"to": "offset"}, "to which offset"),
        ({"to": "offset", "offset": "-1"}, "must be a whole number"),
        ({"to": "time", "time": "soon"}, "is no time"),
        ({"to": "time", "time": "1969-01-01T00:00"}, "is before 1970"),
        ({"to": "shift", "shift": "--1"}, "must be a whole number"),
        ({"to": "latest", "partition": "1"}, "together with its topic"),
    ],
)
def test_a_wish_that_can_not_be_read_says_why(query: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(query)


def test_a_shift_may_go_back() -> None:
    assert parse({"to": "shift", "shift": "-5"}) == Wish("shift", number=-5)


@pytest.mark.integration
@pytest.mark.browser
def test_an_operator_resets_a_group(
    sign_in: Callable[..., Page],
    problems: list[str],
    console: Stack,
    topic: str,
    group: str,
    live_server: LiveServer,
) -> None:
    page = sign_in()
    page.get_by_role("link", name="Consumer groups", exact=True).click()
    page.get_by_label("With this text in the name").fill(group)
    page.get_by_role("button", name="Search").click()
    expect(page.locator("tbody tr")).to_have_count(1)
    check_page(page)
    page.get_by_role("link", name=group, exact=True).click()
    expect(page.locator("#group")).to_contain_text("empty: no members")
    check_page(page)
    page.get_by_role("link", name="Reset offsets").click()
    page.get_by_label("Where to").select_option("By a number of records")
    page.get_by_label("By (negative: back)").fill("-2")
    check_page(page)
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.locator("#moves caption")).to_contain_text("at most 6 records are read again")
    check_page(page)
    page.get_by_role("button", name="Yes, reset the offsets").click()
    expect(page.locator(".messagelist")).to_contain_text("The group’s offsets were reset")
    expect(page.locator("#group")).to_contain_text("Lag19")
    assert committed_offsets(console, group, topic) == [3, 8, 0]
    assert problems == []
