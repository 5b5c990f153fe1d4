"""The pages of topics on a real Kafka: what they show, what they leave alone."""

import html
import json
import re
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import conf
from pipeline.console.models import ActionKind, AuditEntry
from tests.console.support import shown
from tests.support import committed_offsets, event, produce, set_topic, wait_until

pytestmark = [pytest.mark.integration]

Operator = Callable[..., Client]


def url(topic: str, path: str = "") -> str:
    """An address of a topic's page."""
    return f"/admin/console/topics/default/{topic}/{path}"


def offsets(client: Client, address: str) -> list[tuple[int, int]]:
    """Partition and offset of the records that a panel shows, in its order."""
    answer = client.get(address).json()
    return [(int(p), int(o)) for p, o in re.findall(r'/(\d+)/(\d+)/">[\d,]+</a>', answer["html"])]


def following(client: Client, address: str) -> str:
    """The query of the next page."""
    answer = client.get(address).json()
    return html.unescape(re.search(r'href="[^"?]+\?([^"#]*cursor=[^"#]*)', answer["html"])[1])  # type: ignore[index]


def test_the_list_has_topics_with_records_and_readers(console: Stack, topic: str, operator: Operator) -> None:
    produce(console, topic, [event(number) for number in range(7)])
    text = shown(operator(), "/admin/console/topics/default/")
    assert f"{topic} 3 1 0 7 the website, hdfs, elasticsearch" in text
    assert f"{topic}.dlq dead letters 1 1 0 0" in text


def test_partitions_groups_and_settings(console: Stack, topic: str, operator: Operator) -> None:
    produce(console, topic, [event(number) for number in range(7)])
    set_topic(console, topic, **{"retention.ms": "3600000"})
    client = operator()
    text = shown(client, url(topic, "partitions/"))
    assert "3 partitions, 7 records at most" in text
    assert re.search(r" 0 0 3 3 (\d+) \1 \1 1 0 2 2 ", text)
    # The first groups of a cluster wait for the topic of their offsets to be made.
    wait_until(lambda: f"group {topic}-hdfs · lag 7" in shown(client, url(topic, "groups/")), what="the group")
    text = shown(client, url(topic, "groups/"))
    assert text.count("no commit yet") == 6
    assert "retention.ms 3600000 this topic" in shown(client, url(topic, "settings/"))
    assert "no topic of this name" in shown(client, url("missing", "partitions/"))
    missing = client.get(url("missing", "settings/")).json()
    assert missing == {"error": {"server": "", "text": "There is no topic of this name."}}
    assert len(offsets(client, url(topic, "messages/"))) == 7, "which is no reason not to ask Kafka again"


def test_records_are_found_by_partition_offset_time_and_text_and_paged(
    console: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 4}
    conf.console_settings.cache_clear()
    produce(console, topic, [event(number) for number in range(10)], partition=0)
    produce(console, topic, [event(10), event(11, userName="Zoë")], partition=2)
    client = operator()
    newest = url(topic, "messages/?partition=0")
    assert offsets(client, newest) == [(0, 9), (0, 8), (0, 7), (0, 6)]
    sized = re.search(r"At most 12 records, which have about (\d+)\.\d KB", shown(client, url(topic, "messages/")))
    assert sized and int(sized[1]) == sum(len(event(number)) for number in range(12)) // 1024
    older = url(topic, f"messages/?{following(client, newest)}")
    assert offsets(client, older) == [(0, 5), (0, 4), (0, 3), (0, 2)]
    assert offsets(client, url(topic, f"messages/?{following(client, older)}")) == [(0, 1), (0, 0)]
    on = url(topic, "messages/?partition=0&from=offset&offset=3")
    assert offsets(client, on) == [(0, 3), (0, 4), (0, 5), (0, 6)]
    assert offsets(client, url(topic, f"messages/?{following(client, on)}")) == [(0, 7), (0, 8), (0, 9)]
    everything: list[tuple[int, int]] = []
    query = "from=oldest"
    for _ in range(3):
        everything += offsets(client, url(topic, f"messages/?{query}"))
        query = following(client, url(topic, f"messages/?{query}")) if len(everything) < 12 else ""
    assert sorted(everything) == [*((0, offset) for offset in range(10)), (2, 0), (2, 1)]
    assert offsets(client, url(topic, "messages/?q=zoë")) == [(2, 1)]
    assert offsets(client, url(topic, "messages/?q=USER-4&from=oldest")) == [(0, 4)]
    assert offsets(client, url(topic, "messages/?from=time&time=2020-01-01T00:00&partition=2")) == [(2, 0), (2, 1)]
    assert offsets(client, url(topic, "messages/?from=time&time=2099-01-01T00:00")) == []
    assert "no partition 9" in client.get(url(topic, "messages/?partition=9")).json()["error"]["text"]
    for wrong, text in (("from=never", "from"), ("partition=x", "whole number"), ("time=x&from=time", "no time")):
        answer = client.get(url(topic, f"messages/?{wrong}"))
        assert answer.status_code == 400
        assert text in answer.json()["error"]["text"]


def test_a_search_ends_at_its_bound_and_goes_on_from_there(
    console: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"search_records": 30}
    conf.console_settings.cache_clear()
    produce(console, topic, [event(number) for number in range(100)], partition=1)
    client = operator()
    first = url(topic, "messages/?from=oldest&q=user-42&partition=1")
    assert "Looked at 30 records" in shown(client, first)
    assert "The search ended at its bound of 30 records" in shown(client, first)
    assert offsets(client, first) == []
    assert offsets(client, url(topic, f"messages/?{following(client, first)}")) == [(1, 42)]


def test_a_live_tail_goes_on_from_its_cursor_and_tells_what_it_left_out(
    console: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 2}
    conf.console_settings.cache_clear()
    produce(console, topic, [event(number) for number in range(3)])
    client = operator()
    answer = client.get(url(topic, "tail/?cursor=0:1,1:1,2:1")).json()
    assert answer == {"html": "\n", "cursor": "0:1,1:1,2:1", "skipped": 0}
    produce(console, topic, [event(number) for number in range(20)], partition=1)
    answer = client.get(url(topic, "tail/?cursor=0:1,1:1,2:1")).json()
    assert answer["cursor"] == "0:1,1:21,2:1"
    assert answer["skipped"] == 18
    assert offsets(client, url(topic, "tail/?cursor=1:1")) == [(1, offset) for offset in range(20, 12, -1)]
    assert client.get(url(topic, "tail/?cursor=nonsense")).status_code == 400


def test_one_record_is_shown_whole_as_text_whatever_it_says(console: Stack, topic: str, operator: Operator) -> None:
    hostile = '<img src=x onerror="alert(1)">'
    producer = Producer({"bootstrap.servers": console.bootstrap_servers})
    value = json.dumps({"a": {"b": hostile}}).encode()
    producer.produce(topic, value, key=hostile, headers=[(hostile, hostile.encode())], partition=0)
    producer.produce(topic, b"\xff\x00binary", partition=0)
    producer.flush()
    client = operator()
    for path in ("0/0/record/", "messages/"):
        page = client.get(url(topic, path)).json()["html"]
        assert "<img" not in page
        assert "&lt;img" in page
    assert '{ "a": { "b": ' in shown(client, url(topic, "0/0/record/"))
    assert "ff 00 62 69" in shown(client, url(topic, "0/1/record/"))
    assert "no record at this offset" in shown(client, url(topic, "0/2/record/"))
    answer = client.get(url(topic, "0/0/value/"))
    assert answer.content == value
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert client.get(url(topic, "0/2/value/")).status_code == 404


def test_browsing_joins_no_group_and_commits_nothing(console: Stack, topic: str, operator: Operator) -> None:
    produce(console, topic, [event(number) for number in range(7)])
    client = operator()
    for path in ("messages/", "tail/?cursor=0:0", "0/0/record/", "groups/", "partitions/"):
        client.get(url(topic, path)).json()
    admin = AdminClient({"bootstrap.servers": console.bootstrap_servers})
    groups = {group.group_id for group in admin.list_consumer_groups(request_timeout=30).result().valid}
    assert not groups & {"console", f"{topic}-hdfs", f"{topic}-es"}
    assert all(offset < 0 for offset in committed_offsets(console, f"{topic}-hdfs", topic))


def test_a_record_is_produced_by_those_who_may_and_logged(console: Stack, topic: str, operator: Operator) -> None:
    form = {"kind": "json", "value": '{"a": 1,\n "b": "ü"}', "key": "k", "headers": "trace: 7", "partition": "2"}
    assert operator().post(url(topic, "produce/"), form).status_code == 403
    client = operator("produce")
    answer = client.post(url(topic, "produce/"), form)
    assert answer.headers["Location"] == url(topic, "2/0/")
    text = shown(client, url(topic, "2/0/record/"))
    assert '"b": "ü"' in text
    assert "trace 7" in text
    assert client.get(url(topic, "2/0/value/")).content == '{"a":1,"b":"ü"}'.encode()
    entry = AuditEntry.objects.get(kind=ActionKind.PRODUCE)
    assert entry.subject == f"topic {topic} (default)"
    assert (entry.what, entry.outcome) == ("16 bytes", "partition 2, offset 0")
    assert client.post(url(topic, "produce/"), {"kind": "text", "value": "not {json"}).status_code == 302
    answer = client.post(url(topic, "produce/"), {"kind": "tombstone", "key": "k", "partition": "0"})
    place = answer.headers["Location"].removeprefix(url(topic))
    assert "Value none (null)" in shown(client, url(topic, f"{place}record/"))
    answer = client.post(url(topic, "produce/"), {"kind": "empty", "key": "k", "partition": "0"})
    place = answer.headers["Location"].removeprefix(url(topic))
    assert "Value empty" in shown(client, url(topic, f"{place}record/"))
    for wrong, error in (
        ({"kind": "json", "value": "{nope"}, "This is not JSON"),
        ({"kind": "text", "value": "x", "headers": "no colon"}, "must be a line"),
        ({"kind": "text", "value": "x", "partition": "77"}, "This topic has no partition"),
    ):
        answer = client.post(url(topic, "produce/"), wrong)
        assert answer.status_code == 200
        assert error in html.unescape(answer.content.decode())
    assert "no topic of this name" in client.post(url("missing", "produce/"), form).content.decode()
    assert client.get(url(topic, "produce/")).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get(username=entry.user))
    assert strict.post(url(topic, "produce/"), form).status_code == 403
