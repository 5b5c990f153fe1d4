"""The mode acknowledged: what one topic lacks is no matter of another."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from events import delivery as delivery_module
from events.delivery import Delivery, Mode
from events.spool.log import Spool
from kafka_client.producer import Record
from tests.events.fakes import FakeProducer
from tests.support import wait_until


@pytest.fixture
def kafka() -> FakeProducer:
    return FakeProducer()


@pytest.fixture
def delivery(kafka: FakeProducer, tmp_path: Path) -> Iterator[Delivery]:
    spool = Spool(tmp_path, max_bytes=2**20, segment_bytes=4096, fsync="never")
    feeder = SimpleNamespace(asides={}, full_topics=frozenset())
    yield Delivery(kafka, lambda: kafka, spool, feeder, acknowledge_seconds=0.3)  # type: ignore[arg-type, return-value]
    spool.close()


def refused(delivery: Delivery, *topics: str, value: bytes = b"{}") -> list[int]:
    refusal = delivery.take([Record(topic, value) for topic in topics], Mode.ACKNOWLEDGED)
    return [] if refusal is None else list(refusal.indexes)


@pytest.mark.parametrize("fault", ["missing", "silent"])
def test_a_topic_that_is_not_acknowledged_is_refused_alone(delivery: Delivery, kafka: FakeProducer, fault: str) -> None:
    getattr(kafka, fault).add("stuck")
    assert refused(delivery, "stuck") == [0]
    assert refused(delivery, "other") == []
    assert refused(delivery, "other", "stuck", "other") == [1]


def test_while_a_topic_is_broken_its_callers_and_those_beside_them_do_not_wait(
    delivery: Delivery, kafka: FakeProducer
) -> None:
    kafka.silent.add("stuck")
    assert refused(delivery, "stuck") == [0]
    started_at = time.monotonic()
    assert refused(delivery, "stuck", "other") == [0]
    assert time.monotonic() - started_at < 0.2
    assert kafka.asked == ["stuck", "other"]


def test_a_topic_that_is_acknowledged_again_is_taken_again(
    delivery: Delivery, kafka: FakeProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_module, "BREAK_SECONDS", 0.05)
    kafka.missing.add("stuck")
    assert refused(delivery, "stuck") == [0]
    kafka.missing.clear()
    wait_until(lambda: not refused(delivery, "stuck"))
    assert refused(delivery, "stuck", "other") == []


def test_a_record_that_kafka_never_takes_is_refused_alone(delivery: Delivery) -> None:
    assert refused(delivery, "t", value=b"x" * (FakeProducer.largest + 1)) == [0]
    assert refused(delivery, "t") == []
