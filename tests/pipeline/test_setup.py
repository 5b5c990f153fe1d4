"""What `manage.py setup_pipeline` tells of topics that are there and differ from the settings, and what it changes."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError
from django.core.management import CommandError, call_command

from devstack.stack import Stack
from events import conf
from events.conf import events_settings, largest_batch
from kafka_client.producer import EventProducer
from pipeline.setup import _compare
from sinks.registry import sinks
from tests.support import Process, committed_offsets, event, produce, set_topic, wait_assigned, wait_until


@pytest.mark.parametrize(
    ("options", "largest"),
    [
        ({}, 1_000_000),
        ({"message.max.bytes": 50_000}, 50_000),
        ({"message.max.bytes": 50_000, "batch.size": "40000"}, 40_000),
        ({"batch.size": 10_000}, 32 * 1024 + 1024),
    ],
)
def test_what_is_sent_at_once_is_as_large_as_the_options_and_the_largest_event_allow(
    settings: Any, options: dict[str, Any], largest: int
) -> None:
    settings.EVENTS = {**settings.EVENTS, "producer": options}
    conf.events_settings.cache_clear()
    assert largest_batch(events_settings()) == largest


@pytest.fixture
def set_up(servers: Stack, topic: str, settings: Any) -> Callable[..., None]:
    """Runs `setup_pipeline` with some keys of EVENTS and arguments, for a topic of 3 partitions."""

    def run(*arguments: str, **events: Any) -> None:
        settings.EVENTS = {**settings.EVENTS, "topic": topic, **events}
        conf.events_settings.cache_clear()
        conf.kinds.cache_clear()
        call_command("setup_pipeline", *arguments, skip_checks=True)

    settings.SINKS = {}
    return run


@pytest.mark.integration
def test_partitions_are_added_when_asked_for_and_a_running_sink_reads_them(
    servers: Stack,
    topic: str,
    index: str,
    set_up: Callable[..., None],
    run_sink: Callable[..., Process],
    capsys: pytest.CaptureFixture[str],
) -> None:
    target = {"index": index, "replicas": 0}
    sink = run_sink({"kind": "elasticsearch", "topics": [topic], "group": f"{topic}-group", "target": target})
    wait_assigned(sink)
    set_up(topic_partitions=5)
    told = capsys.readouterr().out
    assert f"Kafka topic {topic}: there already, 3 partitions where EVENTS_TOPIC_PARTITIONS is 5 (setup_pip" in told
    set_up("--add-partitions", topic_partitions=5)
    assert f"Kafka topic {topic}: there already, 3 partitions made 5\n" in capsys.readouterr().out
    set_up(topic_partitions=5)
    assert f"Kafka topic {topic}: there already, 5 partitions\n" in capsys.readouterr().out
    produce(servers, topic, [event(0), event(1)], partition=4)
    wait_until(lambda: committed_offsets(servers, f"{topic}-group", topic, 5)[4] == 2, what="the new partition")
    assert sink.stop() == 0


@pytest.mark.integration
def test_what_can_not_be_changed_here_is_told(
    servers: Stack, topic: str, set_up: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up("--add-partitions", topic_partitions=2, topic_replication=3)
    assert (
        f"Kafka topic {topic}: there already, 3 partitions where EVENTS_TOPIC_PARTITIONS is 2 (Kafka takes none away), "
        "1 replicas of each where EVENTS_TOPIC_REPLICATION is 3"
    ) in capsys.readouterr().out


@pytest.mark.integration
def test_topics_of_others_keep_their_partitions(
    servers: Stack, topic: str, set_up: Callable[..., None], settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.SINKS = {"hdfs": {"kind": "hdfs", "topics": [topic], "target": {"path": f"/{topic}"}}}
    sinks.cache_clear()
    events = f"{topic}-events"
    set_up("--add-partitions", topic=events, topic_partitions=5)
    told = capsys.readouterr().out
    assert f"Kafka topic {events}: made, 5 partitions\n" in told
    assert f"Kafka topic {topic}: there already, 3 partitions where EVENTS_TOPIC_PARTITIONS is 5\n" in told


@pytest.mark.integration
def test_a_topic_that_takes_too_little_at_once_is_named_and_what_is_advised_works(
    servers: Stack, topic: str, set_up: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    set_up()
    set_topic(servers, topic, **{"max.message.bytes": "20000"})
    with pytest.raises(CommandError, match=f"topic {topic} has a max.message.bytes of 20000, .* up to 1000000") as told:
        set_up()
    assert f"Kafka topic {topic}: there already" in capsys.readouterr().out
    message_max, event_max = map(int, re.findall(r"(?:OPTIONS|BYTES) to (\d+)", str(told.value)))
    set_up(producer={"message.max.bytes": message_max}, max_event_bytes=event_max)
    producer = EventProducer(conf.producer_options(events_settings()), away_seconds=30)
    for size in (event_max, *[100] * 2000):
        producer.produce(topic, b"x" * size)
    wait_until(lambda: not producer.counts().waiting)
    producer.close(10)
    assert (producer.counts().delivered, producer.counts().failed) == (2001, 0)


def test_a_topic_that_was_made_just_now_is_asked_for_until_the_broker_knows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unknown = SimpleNamespace(error=KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), partitions={})
    known = SimpleNamespace(error=None, partitions={0: SimpleNamespace(replicas=[1])})
    answers = iter([unknown, known])
    admin: Any = SimpleNamespace(list_topics=lambda *_, **__: SimpleNamespace(topics={"t": next(answers)}))
    monkeypatch.setattr("pipeline.setup.ASK_AGAIN_SECONDS", 0)
    events = msgspec.structs.replace(events_settings(), topic_partitions=1)
    assert _compare(admin, "t", events, may_grow=False, add_partitions=False) == "there already, 1 partitions"
