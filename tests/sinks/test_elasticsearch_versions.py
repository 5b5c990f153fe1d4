"""Of records with one id the newest stays, whatever is sent again, and by whom."""

import json
from collections.abc import Sequence

import pytest

from sinks.elasticsearch.actions import FIRST, Actions, Versions
from sinks.elasticsearch.names import IndexNames
from sinks.elasticsearch.writer import ElasticsearchPartition
from sinks.records import Batch, Columns, Partition, Record
from tests.sinks import fake_elasticsearch
from tests.sinks.fake_elasticsearch import FakeElasticsearch
from tests.sinks.schedules import hasty_retry

NOW = 1_790_000_000_000
IDS = {"field:id": None, "header:id": [("id", b"x")]}


def partition_of(
    client: FakeElasticsearch, id: str = "field:id", *, number: int = 0, latest: int = 0
) -> ElasticsearchPartition:
    actions = Actions(IndexNames("i", time="kafka"), id=id)
    return fake_elasticsearch.partition_of(
        client, actions=actions, versions=Versions(Partition("t", number), latest=latest)
    )


def batch(*times: int, first: int = 0, partition: int = 0) -> Batch:
    """Records of one id; each tells its place. times: Kafka's, after NOW."""
    read = Batch(Partition("t", partition), first, NOW, opened_at=0.0)
    values: Sequence[bytes] = [
        b'{"id":"x","is":"%d:%d"}' % (partition, offset) for offset in range(first, first + len(times))
    ]
    headers = [[("id", b"x")] for _ in times]
    read.add(Columns(range(first, first + len(times)), values, [NOW + time for time in times], None, headers), {})
    return read


@pytest.mark.parametrize("id", IDS)
def test_an_older_record_that_had_to_wait_does_not_replace_a_newer_one(id: str) -> None:
    """The first one is refused for load, the second one is stored, then the first one is sent again."""
    client = FakeElasticsearch(lambda _, time: (429, "es_rejected_execution_exception") if time % 2 else (201, ""))
    assert hasty_retry().run(partition_of(client, id).store([batch(0, 0)])) == []
    assert client.documents["x"]["is"] == "0:1"


@pytest.mark.parametrize("id", IDS)
def test_an_older_record_that_is_read_again_does_not_replace_a_newer_one(id: str) -> None:
    client = FakeElasticsearch()
    hasty_retry().run(partition_of(client, id).store([batch(0, 5)]))
    hasty_retry().run(partition_of(client, id).store([batch(0)]))
    assert client.documents["x"]["is"] == "0:1"


def test_a_record_that_is_read_again_is_stored_again() -> None:
    """After a change of settings, such as user_agent_field, an operator has the sink read everything again."""
    client = FakeElasticsearch()
    hasty_retry().run(partition_of(client).store([batch(0, 5)]))
    client.documents["x"] = {"was": "stored otherwise"}
    hasty_retry().run(partition_of(client).store([batch(0, 5)]))
    assert client.documents["x"]["is"] == "0:1"


def test_in_a_partition_the_highest_offset_stays_though_times_run_backwards() -> None:
    client = FakeElasticsearch()
    hasty_retry().run(partition_of(client).store([batch(5_000, 0, 2_000)]))
    assert client.documents["x"]["is"] == "0:2"


def test_a_sink_that_goes_on_later_knows_the_times_before() -> None:
    client = FakeElasticsearch()
    hasty_retry().run(partition_of(client).store([batch(5_000)]))
    hasty_retry().run(partition_of(client, latest=NOW + 5_000).store([batch(0, first=1)]))
    assert client.documents["x"]["is"] == "0:1"


@pytest.mark.parametrize("is_reversed", [False, True])
def test_across_partitions_the_later_time_stays_in_whatever_order_they_arrive(is_reversed: bool) -> None:
    """The later one has the lower offset."""
    client = FakeElasticsearch()
    batches = [batch(0, first=1_000_000), batch(1_000, first=3, partition=1)]
    for one in reversed(batches) if is_reversed else batches:
        hasty_retry().run(partition_of(client, number=one.partition.number).store([one]))
    assert client.documents["x"]["is"] == "1:3"


def test_a_document_from_before_there_were_versions_is_replaced() -> None:
    client = FakeElasticsearch()
    client.versions["x"], client.documents["x"] = 12_345, {"is": "old"}
    hasty_retry().run(partition_of(client).store([batch(0)]))
    assert client.documents["x"]["is"] == "0:0"


@pytest.mark.parametrize("time", [-1, 0, NOW, 2**62])
def test_every_version_is_above_those_that_elasticsearch_counts_and_fits_into_its_long(time: int) -> None:
    version = Versions(Partition("t", 0)).of(Record(10**15, b"", time))
    assert FIRST <= version < 2**63


def test_records_of_one_millisecond_and_offset_in_two_partitions_differ() -> None:
    record = Record(0, b"", NOW)
    assert len({Versions(Partition("t", number)).of(record) for number in range(50)}) == 50


def test_the_version_stands_in_the_request() -> None:
    record = Record(3, b'{"id":"x"}', NOW)
    version = Versions(Partition("t", 0)).of(record)
    body = Actions(IndexNames("i", time="kafka"), id="field:id").body(Partition("t", 0), record, version)
    action = json.loads((body or b"").splitlines()[0])["index"]
    assert action == {"_index": "i", "_id": "x", "version": version, "version_type": "external_gte"}
