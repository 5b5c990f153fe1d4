"""What `manage.py setup_pipeline` tells of topics that would not take what the collector sends."""

import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devstack.stack import Stack
from events import conf
from events.conf import events_settings, largest_batch
from kafka_client.producer import EventProducer
from tests.support import set_topic, wait_until


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


@pytest.mark.integration
def test_a_topic_that_takes_too_little_at_once_is_named_and_what_is_advised_works(
    servers: Stack, topic: str, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def set_up(**events: Any) -> None:
        settings.SINKS = {}
        settings.EVENTS = {**settings.EVENTS, "topic": topic, **events}
        conf.events_settings.cache_clear()
        conf.kinds.cache_clear()
        call_command("setup_pipeline", skip_checks=True)

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
