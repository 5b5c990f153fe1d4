"""Reads of topics by name, on a real cluster that would make a topic for whoever asks for it."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from devstack import kafka as devstack_kafka
from devstack.stack import Stack
from pipeline import kafka_reads
from pipeline.console.topics import describe
from pipeline.console.topics.browse import Query, browse
from pipeline.errors import ServerError
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets, describe_topics, list_topics, read_brokers, read_offsets
from tests.support import produce, three_brokers, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three brokers."""
    written = devstack_kafka._properties
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            devstack_kafka, "_properties", lambda *given: written(*given) + "auto.create.topics.enable=true\n"
        )
        with three_brokers(tmp_path_factory.mktemp("brokers")) as cluster:
            yield cluster


@pytest.fixture
def topic(kafka: Stack, settings: Any) -> str:
    """A topic of two partitions with two replicas each, on the brokers 1 and 2, and 2 and 3."""
    settings.KAFKA = {"default": {"bootstrap.servers": kafka.bootstrap_servers}}
    name = f"t-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    [future] = admin.create_topics([NewTopic(name, 2, replica_assignment=[[1, 2], [2, 3]])]).values()
    future.result(timeout=30)
    wait_until_known(kafka, name)
    return name


def wait_until_known(kafka: Stack, topic: str) -> None:
    """Each broker knows it."""
    for address in kafka.bootstrap_servers.split(","):
        broker = AdminClient({"bootstrap.servers": address})
        wait_until(lambda broker=broker: topic in broker.list_topics(timeout=10).topics)  # type: ignore[misc]


def test_a_topic_that_is_asked_for_by_name_is_not_made(topic: str) -> None:
    missing = f"{topic}-missing"
    assert list(describe_topics("default", [topic, missing, topic], timeout=10)) == [topic]
    offsets = read_offsets("default", topics=[missing], groups={"g": [missing]}, timeout=10)
    assert offsets == ClusterOffsets({}, {"g": GroupOffsets()})
    assert describe.partition_states("default", missing) == []
    assert describe.partition_numbers("default", missing) == []
    assert missing not in list_topics("default", timeout=10)


def test_a_name_that_no_topic_can_have_is_a_topic_that_is_missing(topic: str) -> None:
    assert list(describe_topics("default", [topic, "a/b", ".."], timeout=10)) == [topic]
    assert describe_topics("default", [], timeout=10) == {}


def test_a_topic_is_the_same_by_its_name_and_in_the_list(kafka: Stack, topic: str) -> None:
    produce(kafka, topic, [b"1", b"2", b"3"], partition=1)
    by_name = wait_until(lambda: describe_topics("default", [topic], timeout=10))
    assert by_name == {topic: list_topics("default", timeout=10)[topic]}
    states = describe.partition_states("default", topic)
    assert [(replicas.all, part.held) for part, replicas in states] == [((1, 2), 0), ((2, 3), 3)]


def test_brokers_that_are_away_are_told_of_the_partitions_that_they_had(kafka: Stack, topic: str) -> None:
    one_alone = f"{topic}-alone"
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    [future] = admin.create_topics([NewTopic(one_alone, 1, replica_assignment=[[3]])]).values()
    future.result(timeout=30)
    wait_until_known(kafka, one_alone)
    assert read_brokers("default", timeout=10).count == 3
    kafka.kafka[2].kill()
    try:

        def without_a_leader() -> bool:
            found = describe_topics("default", [one_alone], timeout=10)
            return bool(found) and found[one_alone][0].leader is None

        wait_until(without_a_leader, seconds=60, what="a partition without a leader")
        assert describe_topics("default", [one_alone], timeout=10)[one_alone][0].all == (3,)
        parts = describe_topics("default", [topic], timeout=10)[topic].values()
        assert [part.all for part in parts] == [(1, 2), (2, 3)]
        assert read_brokers("default", timeout=10).count == 2
        wait_until(
            lambda: describe_topics("default", [topic], timeout=10)[topic][1].in_sync == (2,),
            seconds=60,
            what="a replica that lags behind",
        )
    finally:
        kafka.kafka[2].start()
        kafka.kafka[2].wait_ready(120)


def test_a_cluster_that_does_not_answer_is_an_error(settings: Any) -> None:
    settings.KAFKA = {"default": {"bootstrap.servers": "localhost:1"}}
    with pytest.raises(ServerError, match="Kafka"):
        describe_topics("default", ["t"], timeout=0.3)


def test_a_panel_asks_for_its_own_topic_once_and_the_list_alone_for_all(
    topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    metadata = kafka_reads._metadata

    def ask(cluster: str, name: str | None, timeout: float) -> Any:
        asked.append(name)
        return metadata(cluster, name, timeout)

    monkeypatch.setattr(kafka_reads, "_metadata", ask)
    describe.partition_states("default", topic)
    assert asked == [topic]
    browse("default", topic, Query())
    assert asked == [topic] * 2
    describe.topic_summaries("default")
    assert asked == [topic, topic, None]
