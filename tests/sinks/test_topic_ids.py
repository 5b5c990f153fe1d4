"""What sinks ask Kafka of a topic."""

import time

import pytest
from confluent_kafka import Producer

from devstack.stack import Stack
from sinks.records import Partition
from sinks.topic_ids import TopicAdmin

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("is_one_batch", [False, True])
def test_the_latest_time_of_the_records_below_an_offset_is_known(stack: Stack, topic: str, is_one_batch: bool) -> None:
    now = int(time.time() * 1000)
    times = [now - 5000, now - 9000, now - 1000, now - 7000, now]
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers, "linger.ms": 1000, "compression.type": "zstd"})
    for each in times:
        producer.produce(topic, b"x", partition=0, timestamp=each)
        assert is_one_batch or producer.flush(30) == 0
    assert producer.flush(30) == 0
    latest_time = TopicAdmin({"bootstrap.servers": stack.bootstrap_servers}).latest_time
    expected = [0, now - 5000, now - 5000, now - 1000, now - 1000, now]
    assert [latest_time(Partition(topic, 0), offset) for offset in range(6)] == expected
    assert latest_time(Partition(topic, 1), 0) == 0
