"""The feeder passes nothing over, whatever goes wrong on the way."""

from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError

from events import feeder as feeder_module
from events.batch import to_payloads
from events.feeder import Feeder
from events.spool.log import Spool
from kafka_client.producer import Record
from tests.events.fakes import FakeProducer
from tests.support import wait_until


class Kafka(FakeProducer):
    """A producer that, after its first records, has as many unexpected errors as it is told."""

    def __init__(self, errors: int) -> None:
        super().__init__()
        self.errors = errors

    def produce(self, topic: str, value: bytes, **options: Any) -> None:
        if len(self.delivered) >= 3 and self.errors:
            self.errors -= 1
            raise RuntimeError("unexpected")
        super().produce(topic, value, **options)


def test_an_unexpected_error_costs_a_repeat_and_no_event(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=2**20, segment_bytes=4096, fsync="never")
    values = [b"%d" % number for number in range(10)]
    spool.append(to_payloads(Record("t", value) for value in values))
    kafka = Kafka(errors=2)
    feeder = Feeder(tmp_path, spool, lambda: kafka)  # type: ignore[arg-type, return-value]
    wait_until(lambda: feeder.fed == 10, what="all that is in the spool")
    feeder.stop()
    feeder.close(0)
    spool.close()
    assert {value for _, value in kafka.delivered} == set(values)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "code",
    [
        None,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    ],
)
def test_a_topic_that_kafka_does_not_have_holds_up_no_other_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int | None
) -> None:
    monkeypatch.setattr(feeder_module, "ASIDE_SECONDS", 0.05)
    spool = Spool(tmp_path, max_bytes=2**20, segment_bytes=64 * 1024, fsync="never")
    records = [("missing" if number % 3 == 0 else "t", b"%d" % number) for number in range(60)]
    wanted = {name: [record for record in records if record[0] == name] for name in ("missing", "t")}
    kafka = FakeProducer("missing", code=code)
    feeder = Feeder(tmp_path, spool, lambda: kafka)  # type: ignore[arg-type, return-value]
    for topic, value in records[:30]:
        spool.append(to_payloads([Record(topic, value)]))
    wait_until(lambda: feeder.fed == 30, what="the others' delivery")
    for topic, value in records[30:]:
        spool.append(to_payloads([Record(topic, value)]))
    wait_until(lambda: feeder.fed == 60, what="the others' delivery")
    assert kafka.delivered == wanted["t"]
    assert feeder.aside == 20
    kafka.missing.clear()
    wait_until(lambda: feeder.aside == 0, what="what was set aside")
    wait_until(lambda: spool.used < 64 * 1024)
    feeder.stop()
    feeder.close(0)
    spool.close()
    assert kafka.delivered == wanted["t"] + wanted["missing"]
    assert list(tmp_path.iterdir()) == []
    assert sum("does not take the events for missing" in message for message in caplog.messages) == 1


def test_what_is_set_aside_is_fed_by_the_next_process(tmp_path: Path) -> None:
    processes = [FakeProducer("missing"), FakeProducer("missing"), FakeProducer()]
    for kafka in processes:
        spool = Spool(tmp_path, max_bytes=2**20, segment_bytes=4096, fsync="never")
        feeder = Feeder(tmp_path, spool, lambda kafka=kafka: kafka)  # type: ignore[arg-type, misc]
        if kafka is processes[0]:
            spool.append(to_payloads(Record("missing", b"%d" % number) for number in range(10)))
        wait_until(lambda: feeder.aside == 10 or len(kafka.delivered) == 10)  # noqa: B023
        feeder.stop()
        feeder.close(0)
        spool.close()
    assert kafka.delivered == [("missing", b"%d" % number) for number in range(10)]
    assert list(tmp_path.iterdir()) == []
