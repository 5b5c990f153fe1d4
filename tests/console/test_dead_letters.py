"""The pages of dead letters on a real Kafka: looking, replaying once, discarding."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from django.test import Client
from elasticsearch.dsl import connections
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import conf
from pipeline.console.models import ActionKind, AuditEntry
from sinks import registry as sinks_registry
from tests.console.support import shown, text_of
from tests.pipeline.conftest import panel_html
from tests.support import end_offsets, event, produce, read_topic, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("dead letters")]  # whose servers take long to fill

Operator = Callable[..., Client]
LETTERS = "/admin/console/dead-letters/"
HDFS = f"{LETTERS}hdfs/"


def bury(
    stack: Stack, topic: str, letters: list[tuple[int, bytes, str]], *, sink: str = "hdfs", key: bytes | None = None
) -> None:
    """Writes dead letters (offset, value, reason) as a sink does."""
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for offset, value, reason in letters:
        headers = {"dlq.reason": reason, "dlq.sink": sink, "dlq.topic": topic, "dlq.partition": "0"}
        headers |= {"dlq.offset": str(offset), "dlq.timestamp": "1763000000000"}
        producer.produce(f"{topic}.dlq", value, key=key, headers=[("own", b"1"), *headers.items()])
    assert producer.flush(30) == 0


@pytest.fixture
def buried(console: Stack, topic: str) -> Stack:
    """Four dead letters of the HDFS sink with two kinds of reasons, and one of another sink."""
    bury(
        console,
        topic,
        [
            (1, b"<b>no", "bad at byte 7"),
            (2, b"{}", "bad at byte 9"),
            (3, b"\xff\x00", "not UTF-8"),
            (4, b"x", "bad at byte 1"),
        ],
    )
    bury(console, topic, [(1, b"es", "es")], sink="elasticsearch")
    return console


def act(client: Client, action: str, topic: str, *, letters: list[int] | None = None, **more: str):
    """Posts what the form posts."""
    data = {"action": action, "topic": topic, "confirmed": "yes", **more}
    data |= {"scope": "all"} if letters is None else {"letter": [f"{topic}/0/{offset}" for offset in letters]}
    return client.post(f"{HDFS}act/", data)


def logged() -> list[tuple[str, str]]:
    """What was done with dead letters, and how it ended."""
    entries = AuditEntry.objects.filter(kind=ActionKind.REPLAY).order_by("pk")
    return list(entries.values_list("what", "outcome"))


def test_letters_are_listed_by_reason_and_shown_byte_for_byte(buried: Stack, topic: str, operator: Operator) -> None:
    client = operator()
    text = shown(client, f"{HDFS}reasons/")
    assert f"bad at byte 1 {topic} 3" in text, "the reason of the newest stands for all that differ in numbers only"
    assert f"not UTF-8 {topic} 1" in text
    page = client.get(f"{HDFS}list/?reason=bad at byte 1&topic={topic}").json()["html"]
    assert [f"{topic}-0-{n}" in page for n in (1, 2, 3, 4)] == [True, True, False, True]
    assert "&lt;b&gt;no" in page
    assert "<b>no" not in page
    assert 'name="letter"' not in page
    text = shown(client, f"{HDFS}{topic}/0/3/bytes/")
    assert "ff 00" in text
    assert "own 1" in text
    assert "no such dead letter" in shown(client, f"{HDFS}{topic}/0/9/bytes/")
    assert "es" in shown(client, f"{LETTERS}elasticsearch/reasons/")
    assert text_of(panel_html(client, "dead-letters")).strip() == "5", "all of them, so without ≈"
    act(operator("replay"), "discard", topic, letters=[2, 3])
    wait_until(lambda: ">3<" in panel_html(client, "dead-letters"), what="the count of what is left")


def test_those_who_may_replay_each_letter_once(buried: Stack, topic: str, operator: Operator) -> None:
    assert act(operator(), "replay", topic).status_code == 403
    assert end_offsets(buried, topic) == [0, 0, 0]
    client = operator("replay")
    confirm = client.post(
        f"{HDFS}act/", {"action": "replay", "scope": "all", "topic": topic, "reason": "bad at byte 1"}
    )
    assert "3 dead letters" in confirm.content.decode()
    assert "elasticsearch, hdfs" in confirm.content.decode() or "hdfs, elasticsearch" in confirm.content.decode()
    assert sum(end_offsets(buried, topic)) == 0, "nothing happens before it is confirmed"
    act(client, "replay", topic, letters=[2])
    act(client, "replay", topic, letters=[2, 3])
    act(client, "replay", topic, reason="bad at byte 1")
    act(client, "replay", topic)
    records = read_topic(buried, topic, 4)
    assert sorted(record.value() for record in records) == [b"<b>no", b"x", b"{}", b"\xff\x00"]
    assert all(record.headers() == [("own", b"1")] for record in records)
    assert min(record.timestamp()[1] for record in records) > (time.time() - 600) * 1000, "Kafka deletes by time"
    assert "No dead letters" in shown(client, f"{HDFS}reasons/")
    assert "es" in shown(client, f"{LETTERS}elasticsearch/reasons/")
    assert logged()[0] == ("replay 1 selected", "1 done")
    assert [outcome for _what, outcome in logged()] == ["1 done", "1 done", "2 done", "0 done"]


def test_an_elasticsearch_sink_stores_its_letters_itself(
    console: Stack, topic: str, index: str, operator: Operator, settings: Settings
) -> None:
    entry = settings.SINKS["elasticsearch"]
    settings.SINKS = {**settings.SINKS, "elasticsearch": {**entry, "target": {"index": index, "replicas": 0}}}
    sinks_registry.sinks.cache_clear()
    bury(console, topic, [(5, event(5), "bad"), (6, b"no JSON", "bad")], sink="elasticsearch")
    client = operator("replay")
    own = f"{LETTERS}elasticsearch/"
    assert "Store in this sink" in shown(client, f"{own}list/")
    form = {"action": "store", "scope": "all"}
    question = client.post(f"{own}act/", form).content.decode()
    assert "Store dead letters?" in question
    assert "This sink alone stores them" in question
    page = client.post(f"{own}act/", {**form, "confirmed": "yes"}, follow=True).content.decode()
    assert "1 dead letter was stored" in page
    assert "replayed" not in page
    assert "1 is still refused" in page
    stored = connections.get_connection().get(index=index, id=f"{topic}-0-5")
    assert stored["_source"]["userName"] == "user-5"
    assert end_offsets(console, topic) == [0, 0, 0]
    assert f"bad {topic} 1" in shown(client, f"{own}reasons/")
    assert logged() == [("store all of topic *, reason *", "1 done")]
    assert client.post(f"{HDFS}act/", {**form, "confirmed": "yes"}).status_code == 400


def test_discarded_letters_are_gone_and_never_replayed(buried: Stack, topic: str, operator: Operator) -> None:
    client = operator("replay")
    act(client, "discard", topic, letters=[1, 2])
    assert "bad at byte 1 " + topic + " 1" in shown(client, f"{HDFS}reasons/")
    act(client, "replay", topic)
    assert sorted(record.value() for record in read_topic(buried, topic, 2)) == [b"x", b"\xff\x00"]
    assert logged()[0] == ("discard 2 selected", "2 done")


def test_records_with_a_key_and_what_no_sink_has_written_are_left_alone(
    buried: Stack, topic: str, operator: Operator
) -> None:
    bury(buried, topic, [(9, b"keyed", "bad")], key=b"k")
    producer = Producer({"bootstrap.servers": buried.bootstrap_servers})
    producer.produce(f"{topic}.dlq", b"?", headers=[("dlq.sink", b"hdfs"), ("dlq.offset", b"x")])
    assert producer.flush(30) == 0
    client = operator("replay")
    assert "1 record says that it is a dead letter of this sink" in shown(client, f"{HDFS}reasons/")
    page = client.post(f"{HDFS}act/", {"action": "replay", "scope": "all", "confirmed": "yes"}, follow=True)
    assert "1 has a key" in page.content.decode()
    assert b"keyed" not in [record.value() for record in read_topic(buried, topic, 4)]
    assert f"bad {topic} 1" in shown(client, f"{HDFS}reasons/")


def test_what_can_not_be_read_whole_is_not_replayed(
    buried: Stack, topic: str, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"search_records": 3}
    conf.console_settings.cache_clear()
    client = operator("replay")
    assert "more records than are read here" in shown(client, f"{HDFS}reasons/")
    answer = client.post(f"{HDFS}act/", {"action": "replay", "scope": "all", "confirmed": "yes"}, follow=True)
    assert "replay_dlq --sink hdfs" in answer.content.decode()
    assert sum(end_offsets(buried, topic)) == 0
    [(_what, outcome)] = logged()
    assert "failed" in outcome


def test_wrong_forms_change_nothing(console: Stack, topic: str, operator: Operator) -> None:
    produce(console, topic, [event(0)])
    client = operator("replay")
    assert act(client, "burn", topic).status_code == 400
    assert act(client, "replay", topic, letters=[]).status_code == 302
    assert client.post(f"{HDFS}act/", {"action": "replay", "letter": "nonsense"}).status_code == 400
    assert client.get(f"{HDFS}act/").status_code == 405
    assert logged() == []
