"""The table of topics, partitions and sinks, from offsets that are given."""

from typing import Any

import pytest
from django.template.loader import render_to_string
from pytest_django import Settings

from pipeline import offsets as pipeline_offsets
from pipeline.console.statistics import topics
from pipeline.console.topics.lag import lag_table, topic_entry
from pipeline.errors import ServerError
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets, PartitionOffsets
from pipeline.offsets import PipelineTopic, pipeline_topics
from sinks import registry as sinks_registry
from sinks.config import SinkConfig
from sinks.registry import sinks


@pytest.fixture
def sink() -> SinkConfig:
    return sinks()["hdfs"]


def test_topics_of_the_pipeline_are_listed_once_with_their_dead_letters() -> None:
    listed = pipeline_topics(sinks().values())
    assert [(topic.name, topic.is_dead_letters, [sink.name for sink in topic.sinks]) for topic in listed] == [
        ("select-color", False, ["hdfs", "elasticsearch"]),
        ("select-color.dlq", True, []),
    ]


def test_without_a_commit_the_lag_is_all_that_a_partition_holds(sink: SinkConfig) -> None:
    offsets = ClusterOffsets(
        topics={"t": [PartitionOffsets(0, 0, 100), PartitionOffsets(1, 5, 50), PartitionOffsets(2, 3, 10)]},
        groups={sink.group: GroupOffsets({("t", 0): 90, ("t", 1): 45})},
    )
    entry = topic_entry(PipelineTopic("default", "t", False, (sink,)), offsets, limit=10)
    assert entry["sinks"] == {"hdfs": {"error": None, "lag": 22, "uncommitted": 1}}
    assert [row["sinks"]["hdfs"]["lag"] for row in entry["partitions"]] == [10, 5, 7]


def test_partitions_beyond_the_limit_are_counted_but_not_listed(sink: SinkConfig) -> None:
    offsets = ClusterOffsets(
        topics={"t": [PartitionOffsets(number, 0, 10) for number in range(500)]},
        groups={sink.group: GroupOffsets({("t", number): 8 for number in range(500)})},
    )
    entry = topic_entry(PipelineTopic("default", "t", False, (sink,)), offsets, limit=200)
    assert len(entry["partitions"]) == 200
    assert entry["partition_count"] == 500
    assert entry["sinks"]["hdfs"]["lag"] == 1000


def test_a_group_that_can_not_be_read_shows_its_error_beside_the_offsets(sink: SinkConfig) -> None:
    offsets = ClusterOffsets(
        topics={"t": [PartitionOffsets(0, 0, 100)]}, groups={sink.group: GroupOffsets(error="no coordinator")}
    )
    entry = topic_entry(PipelineTopic("default", "t", False, (sink,)), offsets, limit=10)
    assert entry["sinks"] == {"hdfs": {"error": "no coordinator", "lag": None, "uncommitted": 0}}
    assert entry["partitions"][0]["end"] == 100
    table = lag_table([(PipelineTopic("default", "t", False, (sink,)), offsets)], [sink])
    html = render_to_string("console/statistics/topics.html", {**table, "lag": None, "uncommitted": 0})
    assert "no coordinator" in html
    assert "not read by this sink" not in html


def test_one_cluster_away_leaves_the_other_one_visible(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.KAFKA = {**settings.KAFKA, "far": {"bootstrap.servers": "far:9092"}}
    settings.SINKS = {**settings.SINKS, "far": {**settings.SINKS["hdfs"], "kafka": "far", "group": "far"}}
    sinks_registry.sinks.cache_clear()

    def read_offsets(cluster: str, **_: Any) -> ClusterOffsets:
        if cluster == "far":
            raise ServerError("Kafka (far:9092)", "no route")
        groups = {"sink-hdfs": GroupOffsets(), "sink-elasticsearch": GroupOffsets()}
        return ClusterOffsets({"select-color": [PartitionOffsets(0, 0, 1)]}, groups)

    monkeypatch.setattr(pipeline_offsets, "read_offsets", read_offsets)
    entries = topics.read({})["topics"]
    assert [(entry["cluster"], entry["exists"], entry["error"]) for entry in entries] == [
        ("default", True, None),
        ("default", False, None),
        ("far", False, "Kafka (far:9092): no route"),
        ("far", False, "Kafka (far:9092): no route"),
    ]
