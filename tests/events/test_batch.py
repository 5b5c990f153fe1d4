"""Records on their way through the spool to Kafka keep all that they have."""

import time
from typing import Any

import msgspec
import pytest
from confluent_kafka import KafkaError

from events.batch import Batch, from_payload, to_payloads
from kafka_client.producer import Record

WHOLE = Record("t", b"{}", [("event.id", b"1")], b"key", 1_700_000_000_123)


@pytest.mark.parametrize("record", [WHOLE, Record("t", None, None, b"a tombstone", 1), Record("t", b"", [], b"", 2)])
def test_the_spool_gives_back_the_record_that_it_took(record: Record) -> None:
    assert [from_payload(payload) for payload in to_payloads([record])] == [record]


def test_a_record_without_a_timestamp_gets_the_time_at_which_the_spool_takes_it() -> None:
    before = int(time.time() * 1000)
    (payload,) = to_payloads([Record("t", b"{}")])
    record = from_payload(payload)
    assert before <= (record.timestamp or 0) <= time.time() * 1000


@pytest.mark.parametrize("headers", [None, [("event.id", b"1")]])
def test_what_an_older_version_has_left_in_the_spool_is_read(headers: Any) -> None:
    payload = msgspec.msgpack.encode(("t", b"{}", headers))  # topic, value and headers
    assert from_payload(payload) == Record("t", b"{}", headers)


def test_a_record_that_is_tried_without_its_time_keeps_it_for_the_spool() -> None:
    given = []

    class Producer:
        def produce(self, *_: Any, timestamp: int | None, on_delivery: Any, **__: Any) -> None:
            given.append(timestamp)
            on_delivery(KafkaError(KafkaError.INVALID_RECORD), None)

    batch = Batch([Record("t", b"{}", timestamp=1_700_000_000_000)], 1, lambda: None)
    for _ in range(3):
        batch.begin()
        batch.send(Producer())  # type: ignore[arg-type]
    assert given == [1_700_000_000_000, None, None]
    assert batch.missing, "it is the topic's fault"
    assert batch.records[0].timestamp == 1_700_000_000_000
