"""An index that refuses everything is told from records that are bad."""

import re

import pytest

from sinks.refusals import FirstRefusals
from tests.sinks.fake_elasticsearch import FakeElasticsearch, batches_of, partition_of
from tests.sinks.schedules import hasty_retry
from tests.support import event
from worker.errors import Fatal


def number_of(id: str) -> int:
    return int(id.rpartition("-")[2])


def refused(client: FakeElasticsearch, *sizes: int, stop_after: int = 10) -> list[int]:
    """The offsets that are refused when batches of so many records are stored one after the other."""
    partition = partition_of(client, stop_after=stop_after)
    batches = batches_of(*([event(number) for number in range(size)] for size in sizes))
    return [rejected.record.offset for batch in batches for rejected in hasty_retry().run(partition.store([batch]))]


def test_an_index_that_refuses_the_first_records_for_one_reason_stops_the_sink() -> None:
    client = FakeElasticsearch(lambda id, time: (400, "routing_missing_exception"))
    with pytest.raises(Fatal, match=r"refused 20, each for routing_missing_exception.*stop_after_refusals.*: why"):
        refused(client, 20)


def test_refusals_of_several_batches_are_counted_together() -> None:
    client = FakeElasticsearch(lambda id, time: (400, "routing_missing_exception"))
    with pytest.raises(Fatal, match="refused 12"):
        refused(client, 4, 4, 4, 4)
    assert len(client.sent) == 12


def test_bad_records_at_the_beginning_are_dead_letters() -> None:
    client = FakeElasticsearch(lambda id, time: (400, "document_parsing_exception") if number_of(id) < 9 else (201, ""))
    assert refused(client, 5, 4, 5) == list(range(9))


def test_once_a_record_was_taken_any_number_may_be_refused() -> None:
    client = FakeElasticsearch(lambda id, time: (400, "document_parsing_exception") if number_of(id) else (201, ""))
    assert refused(client, 1, 20, 20) == list(range(1, 41))


def test_records_that_are_refused_for_several_reasons_are_what_is_wrong() -> None:
    kinds = ["document_parsing_exception", "strict_dynamic_mapping_exception"]
    client = FakeElasticsearch(lambda id, time: (400, kinds[number_of(id) % 2]))
    assert refused(client, 40) == list(range(40))


def test_an_operator_may_say_that_the_records_are_what_is_wrong() -> None:
    client = FakeElasticsearch(lambda id, time: (400, "routing_missing_exception"))
    assert refused(client, 40, stop_after=0) == list(range(40))


def test_refusals_of_all_partitions_are_counted_together() -> None:
    refusals = FirstRefusals("Elasticsearch", "the index is wrong.", 10)
    refusals.note(taken=0, reasons=["a: 1"] * 9)
    with pytest.raises(Fatal, match=re.escape("refused 11, each for a: the index")):
        refusals.note(taken=0, reasons=["a: 2", "a: 3"])
