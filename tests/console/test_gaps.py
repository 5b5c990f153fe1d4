"""Topics whose offsets are no records: compacted ones, and ones with aborted transactions."""

import html
import re
import uuid
from collections.abc import Callable

import pytest
from confluent_kafka import Producer
from django.test import Client
from pytest_django import Settings

from devstack.stack import Stack
from pipeline import conf
from tests.console.support import shown
from tests.console.test_topics import following, offsets, url
from tests.support import COMPACTED, compact, event, make_compactable_topic, make_topics, produce

pytestmark = pytest.mark.integration

Operator = Callable[..., Client]


@pytest.fixture
def topic(stack: Stack) -> str:
    """A topic with 2,002 offsets, of which compaction has left the last 6."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    make_topics(stack, f"{name}.dlq", partitions=1)
    make_compactable_topic(stack, name)
    compact(stack, name)
    return name


def test_offsets_are_not_called_records(console: Stack, topic: str, operator: Operator) -> None:
    client = operator()
    assert f"{topic} 1 1 0 2,002 the website" in shown(client, "/admin/console/topics/default/")
    assert "1 partition, 2,002 records at most" in shown(client, url(topic, "partitions/"))


def test_all_records_that_are_left_are_shown_and_counted(console: Stack, topic: str, operator: Operator) -> None:
    client = operator()
    left = [(0, offset) for offset in COMPACTED]
    assert offsets(client, url(topic, "messages/")) == left[::-1]
    assert "All 6 records have" in shown(client, url(topic, "messages/"))
    for start in ("oldest", "offset&offset=0&partition=0"):
        assert offsets(client, url(topic, f"messages/?from={start}")) == left


def test_pages_hold_records_and_not_offsets(console: Stack, topic: str, operator: Operator, settings: Settings) -> None:
    settings.CONSOLE = {"records": 4}
    conf.console_settings.cache_clear()
    client = operator()
    first = url(topic, "messages/?from=oldest")
    assert offsets(client, first) == [(0, offset) for offset in range(1_996, 2_000)]
    second = url(topic, f"messages/?{following(client, first)}")
    assert offsets(client, second) == [(0, 2_000), (0, 2_001)]
    assert "cursor=" not in client.get(second).json()["html"]


def test_the_newest_records_are_found_below_an_aborted_transaction(
    console: Stack, operator: Operator, settings: Settings
) -> None:
    settings.CONSOLE = {"records": 4}
    conf.console_settings.cache_clear()
    name = f"t-{uuid.uuid4().hex[:8]}"
    make_topics(console, name, partitions=1)
    produce(console, name, [event(0), event(1)], partition=0)
    producer = Producer({"bootstrap.servers": console.bootstrap_servers, "transactional.id": name})
    producer.init_transactions(30)
    producer.begin_transaction()
    for number in range(20):
        producer.produce(name, event(number), partition=0)
    assert producer.flush(30) == 0
    producer.abort_transaction(30)
    answer = operator().get(url(name, "messages/")).json()["html"]
    assert re.findall(r'/(\d+)/(\d+)/">', html.unescape(answer)) == [("0", "1"), ("0", "0")]
