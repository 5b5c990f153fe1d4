"""The producer without a Kafka: it never waits, refuses when it can't keep up, and loses nothing silently."""

import errno
import json
import logging
import multiprocessing
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from django.core.exceptions import ImproperlyConfigured

from events import conf, metrics, process_collector, process_delivery
from events.batch import from_payload
from events.checks import check_events_settings
from events.counters import read_counters
from events.delivery import Mode
from events.spool.ownership import orphans
from events.spool.reader import SpoolReader
from kafka_client.producer import (
    DEFAULTS,
    REACHED_SECONDS,
    STATISTICS,
    DeliveryCounts,
    EventProducer,
    KafkaUnavailable,
    Record,
    check_options,
)
from kafka_client.statistics import BrokerStatistics
from tests.support import wait_until

NOWHERE = {"bootstrap.servers": "127.0.0.1:1"}


@pytest.fixture
def make() -> Iterator[Any]:
    """Makes producers that are closed at the end."""
    made: list[EventProducer] = []

    def make(*, away_seconds: float = 30.0, keep: Any = None, reports: bool = False, **options: Any) -> EventProducer:
        options = {name.replace("_", "."): value for name, value in options.items()}
        made.append(EventProducer({**NOWHERE, **options}, away_seconds=away_seconds, keep=keep, reports=reports))
        return made[-1]

    yield make
    for producer in made:
        producer.close(0)


def counts_at_the_end(producer: EventProducer) -> DeliveryCounts:
    """What became of the records once none of them waits."""
    wait_until(lambda: not producer.counts().waiting, seconds=10, what="the end of all records")
    return producer.counts()


def test_waits_for_the_leader_alone_and_leaves_the_rest_to_librdkafka() -> None:
    assert DEFAULTS["acks"] == 1
    assert not {"partitioner", "retries", "message.send.max.retries", "enable.idempotence"} & DEFAULTS.keys()


def test_making_one_and_producing_do_not_wait_for_kafka(make: Any) -> None:
    started_at = time.monotonic()
    producer = make()
    for _ in range(1000):
        producer.produce("t", b"{}")
    assert time.monotonic() - started_at < 0.5
    assert producer.counts().waiting >= 1000


def test_refuses_when_the_queue_is_full(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(queue_buffering_max_messages=10)
    for _ in range(10):
        producer.produce("t", b"{}")
    for _ in range(5):
        with pytest.raises(KafkaUnavailable, match="queue to Kafka is full"):
            producer.produce("t", b"{}")
    assert producer.counts().refused == 5
    assert sum("events are refused" in message for message in caplog.messages) == 1


@pytest.mark.parametrize("headers", [None, [("event.bot", b"1")]])
def test_of_many_records_those_are_told_that_were_not_taken(make: Any, silent: str, headers: Any) -> None:
    producer = make(queue_buffering_max_messages=3, message_max_bytes=1000, bootstrap_servers=silent)
    records = [Record("t", value, headers) for value in (b"a", b"x" * 2000, b"b", b"c", b"d")]
    assert producer.produce_all([*records, Record("v", b"e")]) == [1, 4, 5]
    assert producer.counts().waiting == 3


def test_refuses_when_kafka_has_been_away_too_long(make: Any) -> None:
    producer = make(away_seconds=0.2)
    producer.produce("t", b"{}")

    def is_refused() -> bool:
        try:
            producer.produce("t", b"{}")
        except KafkaUnavailable as refusal:
            return "has taken no event for 0.2 s" in str(refusal)
        return False

    wait_until(is_refused, seconds=5)


def test_lingering_is_no_absence(make: Any) -> None:
    producer = make(away_seconds=0.05, linger_ms=60_000)
    producer.produce("t", b"{}")
    time.sleep(0.1)
    producer.produce("t", b"{}")


def test_a_quiet_time_is_no_absence(make: Any) -> None:
    producer = make(away_seconds=0.05)
    time.sleep(0.1)
    producer.produce("t", b"{}")


def test_a_failed_delivery_is_counted_and_logged_with_its_event(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    producer = make(reports=True, message_timeout_ms=100, linger_ms=0)
    producer.produce("t", '{"userName":"김"}'.encode())
    assert counts_at_the_end(producer).failed == 1
    assert any('{"userName":"김"}' in message for message in caplog.messages)


def test_a_report_that_raises_does_not_end_the_reports_of_others(make: Any) -> None:
    def report(error: object, message: object) -> None:
        raise RuntimeError

    producer = make(reports=True, message_timeout_ms=100, linger_ms=0)
    for _ in range(3):
        producer.produce("t", b"{}", on_delivery=report)
    producer.produce("t", b"{}")
    counts = counts_at_the_end(producer)
    assert (counts.delivered, counts.failed) == (0, 1)


def test_what_is_not_delivered_at_close_is_counted_and_logged(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    producer = make()
    for number in range(3):
        producer.produce("t", b'{"n":%d}' % number)
    assert producer.close(0.1) == 3
    assert (producer.counts().failed, producer.counts().waiting) == (3, 0)
    for number in range(3):
        assert any(f'"n":{number}' in message for message in caplog.messages)


@pytest.mark.parametrize("brokers", [0, 1])
def test_errors_and_statistics_that_librdkafka_reports_are_not_counted_as_records(make: Any, brokers: int) -> None:
    producer = make(statistics_interval_ms=1, test_mock_num_brokers=brokers)
    producer.produce("t", b"{}")
    assert producer.close(10 * brokers) == 1 - brokers
    wait_until(lambda: len(producer._producer), what="a report that nobody takes")
    counts = producer.counts()
    assert (counts.delivered, counts.failed, counts.waiting) == (brokers, 1 - brokers, 0)


def test_refuses_after_close(make: Any) -> None:
    producer = make()
    producer.close(0)
    with pytest.raises(KafkaUnavailable, match="closed"):
        producer.produce("t", b"{}")


def test_an_outage_is_told_once(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    make().produce("t", b"{}")
    wait_until(lambda: caplog.messages, seconds=10)
    time.sleep(0.5)  # librdkafka tries again several times
    assert len(caplog.messages) == 1
    assert "Kafka is away" in caplog.messages[0]


def test_a_record_that_librdkafka_never_takes_is_an_error(make: Any) -> None:
    with pytest.raises(KafkaException):
        make(message_max_bytes=1000).produce("t", b"x" * 2000)


# --- librdkafka's statistics


def statistics(silent_seconds: float, state: str = "UP") -> str:
    broker = {"state": state, "rxidle": int(silent_seconds * 1e6), "rtt": {"p99": 7}, "int_latency": {"p99": 5}}
    return json.dumps({"name": "x", "brokers": {"a": broker, "b": {"state": "DOWN", "rxidle": -1}}})


def test_a_broker_that_was_heard_lately_is_reached_and_one_that_is_silent_is_not(make: Any, silent: str) -> None:
    producer = make(bootstrap_servers=silent)
    assert not producer.is_reached
    producer._note_statistics(statistics(REACHED_SECONDS + 1))
    assert not producer.is_reached
    producer._note_statistics(statistics(1))
    assert producer.is_reached
    assert (producer.statistics.broker_microseconds, producer.statistics.queue_microseconds) == (7, 5)
    producer._note_statistics(statistics(0, state="TRY_CONNECT"))  # between two connections it is still "lately"
    assert producer.is_reached


def test_after_an_absence_a_broker_must_be_heard_again(make: Any) -> None:
    producer = make()
    wait_until(lambda: producer.is_away, seconds=10)
    producer._note_statistics(statistics(REACHED_SECONDS - 5))
    assert not producer.is_reached
    producer._note_statistics(statistics(0))
    assert producer.is_reached


def test_a_topic_that_is_stuck_is_no_absence_of_kafka(make: Any, kept: Any, silent: str) -> None:
    producer = make(keep=kept.keep, away_seconds=0.1, bootstrap_servers=silent)
    producer.produce("t", b"{}")
    wait_until(lambda: producer.is_away and kept.records, what="the spool")
    producer._note_statistics(statistics(0))  # other topics have their answers
    assert producer.is_reached


def test_a_broker_that_is_heard_ends_an_absence_while_nothing_waits(make: Any) -> None:
    producer = make()
    wait_until(lambda: producer.is_away, seconds=10)
    producer._note_statistics(statistics(60))  # heard before Kafka went away
    assert producer.is_away
    producer.produce("t", b"{}")
    producer._note_statistics(statistics(0))  # a delivery will tell
    assert producer.is_away
    producer._producer.purge()
    wait_until(lambda: (producer.counts().failed, producer.counts().waiting) == (1, 0))
    producer._note_statistics(statistics(0))
    assert not producer.is_away


def test_without_events_the_statistics_come_by_themselves(make: Any, silent: str) -> None:
    producer = make(bootstrap_servers=silent, **{name.replace(".", "_"): value for name, value in STATISTICS.items()})
    told: list[BrokerStatistics] = []
    wait_until(lambda: told.append(producer.statistics) or told[-1] is not told[0], seconds=10)
    assert told[-1].silent_seconds is None


# --- Options


@pytest.mark.parametrize("options", [{"no.such.option": 1}, {"acks": "some"}, {"linger.ms": -5}, {"acks": object()}])
def test_a_wrong_option_is_explained(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        check_options({**NOWHERE, **options})


def test_transactions_are_refused_by_the_check_as_each_event_would_be_later() -> None:
    with pytest.raises(ValueError, match=r"transactional\.id can't be used"):
        check_options({**NOWHERE, "transactional.id": "shop", "acks": "all"})


def test_right_options_pass_the_check_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    check_options({**NOWHERE, "compression.type": "lz4", "acks": "all", "partitioner": "murmur2_random"})
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"topic": "not a topic"}, "topic"),
        ({"kafka": "elsewhere"}, "elsewhere"),
        ({"colors": []}, "colors"),
        ({"producer": {"no.such.option": 1}}, "no.such.option"),
        ({"producer": {"message.timeout.ms": 15}}, "linger.ms"),
        ({"max_body_bytes": "many"}, "max_body_bytes"),
        ({"producer": {"message.max.bytes": 33_000}}, "max_event_bytes: 32768 bytes, .* message.max.bytes, 33000"),
        ({"mode": "fast"}, "mode"),
        ({"spool": {"path": "x", "fsync": "sometimes"}}, "fsync"),
        ({"kinds": {"page-view": {"type": "no.such.Type", "topic": "t"}}}, "page-view"),
        ({"kinds": {"page-view": {"type": "events.event.encode", "topic": "t"}}}, "page-view"),
        ({"no_such_setting": 1}, "no_such_setting"),
    ],
)
def test_manage_check_explains_wrong_settings(settings: Any, wrong: dict[str, Any], text: str) -> None:
    settings.EVENTS = {**settings.EVENTS, **wrong}
    conf.events_settings.cache_clear()
    conf.kinds.cache_clear()
    (message,) = check_events_settings()
    assert (message.id, message.is_serious()) == ("events.E001", True)
    assert re.search(text, message.msg)


@pytest.mark.parametrize(
    ("spool", "metrics"),
    [("a", "a/metrics"), ("a/spool", "a"), ("a", "a"), ("a", "b/../a/metrics"), ("link/spool", "a")],
)
def test_folders_that_lie_in_each_other_are_refused_by_the_check_and_at_start(
    settings: Any, tmp_path: Path, spool: str, metrics: str
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    settings.EVENTS = {
        **settings.EVENTS,
        "spool": {"path": str(tmp_path / spool)},
        "metrics_path": str(tmp_path / metrics),
    }
    conf.events_settings.cache_clear()
    (message,) = check_events_settings()
    for text in (str(tmp_path / spool), str(tmp_path / metrics), "EVENTS_SPOOL_PATH", "EVENTS_METRICS_PATH"):
        assert text in message.msg
    process_collector.close_process_collector()
    with pytest.raises(ImproperlyConfigured, match="EVENTS_METRICS_PATH"):
        process_collector.process_collector()


def test_folders_beside_each_other_are_right(settings: Any, tmp_path: Path) -> None:
    settings.EVENTS = {
        **settings.EVENTS,
        "spool": {"path": str(tmp_path / "a")},
        "metrics_path": str(tmp_path / "a-metrics"),
    }
    conf.events_settings.cache_clear()
    assert check_events_settings() == []


def test_manage_check_has_nothing_to_say_of_the_defaults() -> None:
    assert check_events_settings() == []


# --- With a place for what is not delivered


class Kept:
    """Keeps records, unless it is full."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.is_full = False
        self.refusals = 0

    def keep(self, records: Sequence[Record]) -> bool:
        if self.is_full:
            self.refusals += 1
        else:
            self.records += records
        return not self.is_full


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a Kafka that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def test_when_kafka_is_away_the_queue_is_kept_elsewhere_in_its_order(make: Any, kept: Kept, silent: str) -> None:
    producer = make(keep=kept.keep, away_seconds=0.3, bootstrap_servers=silent)
    for number in range(20):
        producer.produce("t", b"%d" % number)
    wait_until(lambda: producer.is_away, seconds=10)
    wait_until(lambda: len(kept.records) == 20, seconds=10)
    assert [int(record.value) for record in kept.records] == list(range(20))
    counts = counts_at_the_end(producer)
    assert (counts.kept, counts.failed) == (20, 0)


@pytest.mark.parametrize("alone", [True, False])
def test_a_record_that_is_kept_elsewhere_is_as_it_was(make: Any, kept: Kept, alone: bool, silent: str) -> None:
    producer = make(keep=kept.keep, away_seconds=0.3, bootstrap_servers=silent)
    headers = [("event.id", b"1"), ("empty", b""), ("without a value", None)]
    records = [
        Record("t", b"whole", headers, b"key", 1_700_000_000_123),
        Record("t", b"a key", None, b"", 1),
        Record("t", b"", headers, None, 2),
        Record("t", None, None, b"tombstone", 3),
    ]
    if alone:
        for each in records:
            producer.produce(each.topic, each.value, key=each.key, timestamp=each.timestamp, headers=each.headers)
    else:
        assert producer.produce_all(records) == []
    wait_until(lambda: len(kept.records) == 4, seconds=10)
    assert kept.records == records


def test_a_record_that_is_kept_elsewhere_has_the_time_at_which_it_was_produced(
    make: Any, kept: Kept, silent: str
) -> None:
    producer = make(keep=kept.keep, away_seconds=1.0, bootstrap_servers=silent)
    produced_at = time.time() * 1000
    producer.produce("t", b"{}")
    wait_until(lambda: kept.records, seconds=10)
    assert -1 <= kept.records[0].timestamp - produced_at < 500


def test_what_is_not_delivered_at_close_is_kept_elsewhere(make: Any, kept: Kept) -> None:
    producer = make(keep=kept.keep)
    wait_until(lambda: producer.is_away, seconds=10)
    producer.produce("t", b"{}")
    producer.close(0)
    assert [(record.topic, record.value) for record in kept.records] == [("t", b"{}")]


def test_a_blip_of_kafka_loses_nothing_that_can_not_be_kept_elsewhere(make: Any, kept: Kept) -> None:
    kept.is_full = True
    producer = make(keep=kept.keep, linger_ms=500, test_mock_num_brokers=1)
    for number in range(2000):
        producer.produce("t", b"%d" % number, headers=[("event.id", b"1")] if number % 2 else None)
    producer._note_error(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    wait_until(lambda: producer.counts().delivered == 2000, seconds=10, what="all that was taken")
    counts = producer.counts()
    assert (counts.failed, counts.kept, counts.waiting, producer.is_away) == (0, 0, 0, False)


def test_records_that_time_out_wait_until_they_can_be_kept(make: Any, kept: Kept, silent: str) -> None:
    kept.is_full = True
    producer = make(keep=kept.keep, message_timeout_ms=100, linger_ms=0, bootstrap_servers=silent)
    for number in range(3):
        producer.produce("t", b"%d" % number)
    wait_until(lambda: kept.refusals > 1, what="records that timed out")
    counts = producer.counts()
    assert (counts.delivered, counts.failed, counts.waiting) == (0, 0, 3)
    kept.is_full = False
    wait_until(lambda: sorted(record.value for record in kept.records) == [b"0", b"1", b"2"], seconds=10)
    assert counts_at_the_end(producer).kept == 3


def test_a_full_queue_is_given_back_whole_when_it_can_not_be_kept(make: Any, kept: Kept, silent: str) -> None:
    kept.is_full = True
    producer = make(
        keep=kept.keep, away_seconds=0.1, linger_ms=0, queue_buffering_max_messages=3000, bootstrap_servers=silent
    )
    for number in range(3000):
        producer.produce("t", b"%d" % number)
    wait_until(lambda: kept.refusals and not producer._unkept, what="the records in the queue again")
    wait_until(lambda: producer.counts().waiting == 3000)
    kept.is_full = False
    producer.close(0)
    assert sorted(int(record.value) for record in kept.records) == list(range(3000))


def test_records_that_return_to_the_queue_while_it_is_counted_do_not_pass_for_delivered(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    producer = make()
    producer._stop_polling.set()
    producer._poller.join()
    producer._handed = producer._returned = 1  # a record that Kafka did not get
    count = producer._count_waiting

    def count_then_put_back() -> int:
        waiting: int = count()
        producer._put_back([Record("t", b"{}")])
        return waiting

    monkeypatch.setattr(producer, "_count_waiting", count_then_put_back)
    assert producer._count_delivered() == 0


def test_what_can_not_be_kept_at_close_is_counted_and_logged(
    make: Any, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.is_full = True
    producer = make(keep=kept.keep)
    producer.produce("t", b'{"n":1}')
    assert producer.close(0) == 1
    assert (producer.counts().failed, producer.counts().waiting) == (1, 0)
    assert any('"n":1' in message for message in caplog.messages)


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_record_with_a_report_of_its_own_is_its_callers(
    make: Any, kept: Kept, is_kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reports: list[Any] = []
    producer = make(reports=True, keep=kept.keep if is_kept else None, message_timeout_ms=100)
    producer.produce("t", b'{"userName":"Ada"}', on_delivery=lambda error, message: reports.append(error))
    assert wait_until(lambda: reports, seconds=10)[0].str()
    assert (kept.records, counts_at_the_end(producer).failed) == ([], 0)
    assert not any("Ada" in message for message in caplog.messages)


# --- One per process


@pytest.fixture
def own_process_collector(settings: Any, tmp_path: Path) -> Iterator[None]:
    settings.EVENTS = {**settings.EVENTS, "flush_seconds": 0.0, "spool": {"path": str(tmp_path / "spool")}}
    process_collector.close_process_collector()
    yield
    process_collector.close_process_collector()


@pytest.mark.usefixtures("own_process_collector")
def test_settings_that_kafkas_client_refuses_leave_nothing_behind_with_each_request(
    settings: Any, tmp_path: Path
) -> None:
    settings.EVENTS = {
        **settings.EVENTS,
        "metrics_path": str(tmp_path / "metrics"),
        "producer": {"security.protocol": "ssl", "ssl.ca.location": str(tmp_path / "missing")},
    }
    conf.events_settings.cache_clear()
    threads = threading.active_count()
    for _ in range(2):
        with pytest.raises(KafkaException):
            process_collector.process_collector()
    assert threading.active_count() <= threads
    assert list((tmp_path / "spool").iterdir()) == []
    assert read_counters(tmp_path / "metrics").living == []


@pytest.mark.usefixtures("own_process_collector")
def test_there_is_one_collector_per_process() -> None:
    first = process_collector.process_delivery()
    assert process_collector.process_delivery() is first
    process_collector.close_process_collector()
    assert first.is_closed
    assert process_collector.process_delivery() is not first


@pytest.mark.usefixtures("own_process_collector")
def test_a_forked_child_makes_its_own(caplog: pytest.LogCaptureFixture) -> None:
    first = process_collector.process_delivery()
    first.take([Record("t", b"{}")], Mode.ACCEPTED)
    # A fork amid a write of the log would leave the log's file locked in the child.
    wait_until(lambda: caplog.messages)
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()

    def child() -> None:
        second = process_collector.process_delivery()
        answers.put(second is not first)

    process = fork.Process(target=child)
    process.start()
    assert answers.get(timeout=10)
    process.join(10)
    assert process.exitcode == 0


@pytest.mark.usefixtures("own_process_collector")
def test_a_forked_child_makes_its_own_also_when_another_thread_was_closing_a_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = process_collector.process_delivery()

    def abandon() -> None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    with monkeypatch.context() as patched:
        patched.setattr(first, "abandon", abandon)
        with pytest.raises(OSError, match="Bad file descriptor"):
            process_collector._forget_parents_collector()
    assert process_collector.process_delivery() is not first
    first.close()


@pytest.mark.usefixtures("own_process_collector")
def test_settings_that_name_no_cluster_are_explained(settings: Any) -> None:
    settings.KAFKA = {}
    with pytest.raises(ImproperlyConfigured, match="default"):
        process_collector.process_collector()


@pytest.mark.usefixtures("own_process_collector")
def test_a_spool_that_can_not_be_made_is_explained(settings: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings.EVENTS = {**settings.EVENTS, "spool": {"path": str(tmp_path / "file" / "spool")}}
    with pytest.raises(ImproperlyConfigured, match="EVENTS_SPOOL_PATH"):
        process_collector.process_collector()


@pytest.mark.usefixtures("own_process_collector")
def test_a_folder_of_counters_that_can_not_be_made_is_explained_and_a_full_disk_stops_nobody(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    settings.EVENTS = {**settings.EVENTS, "metrics_path": str(tmp_path / "file" / "metrics")}
    with pytest.raises(ImproperlyConfigured, match="EVENTS_METRICS_PATH"):
        process_collector.process_collector()

    def is_full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    settings.EVENTS = {**settings.EVENTS, "metrics_path": str(tmp_path / "metrics")}
    conf.events_settings.cache_clear()
    monkeypatch.setattr(os, "posix_fallocate", is_full)
    assert process_collector.process_collector().select({"color": "red", "user": "Ada"}, user_agent="").status == 202


@pytest.mark.usefixtures("own_process_collector")
def test_what_kafka_did_not_get_before_the_end_is_on_disk_for_the_next_process(tmp_path: Path) -> None:
    delivery = process_collector.process_delivery()
    for mode in (Mode.ACCEPTED, Mode.SPOOLED):
        assert delivery.take([Record("t", mode.value.encode())] * 10, mode) is None
    process_collector.close_process_collector()
    ((folder, lock_fd),) = orphans(tmp_path / "spool", set())
    values = [from_payload(payload).value or b"" for payload in SpoolReader(folder).read(100, 2**20)]
    os.close(lock_fd)
    assert sorted(values) == [b"accepted"] * 10 + [b"spooled"] * 10


@pytest.mark.usefixtures("own_process_collector")
def test_a_full_queue_is_on_disk_after_a_few_fsyncs(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    settings.KAFKA = {"default": {"bootstrap.servers": silent}}
    settings.EVENTS = {**settings.EVENTS, "spool": {"path": str(tmp_path), "fsync": "always"}}
    conf.events_settings.cache_clear()
    delivery = process_collector.process_delivery()
    assert delivery.take([Record("t", b"{}")] * 3000, Mode.ACCEPTED) is None
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    process_collector.close_process_collector()
    assert delivery.spool.appended == 3000
    assert len(synced) < 15


@pytest.mark.usefixtures("own_process_collector")
def test_what_was_accepted_is_on_disk_at_the_end_although_the_spool_is_full(
    settings: Any, tmp_path: Path, silent: str
) -> None:
    settings.KAFKA = {"default": {"bootstrap.servers": silent}}
    settings.EVENTS = {**settings.EVENTS, "spool": {"path": str(tmp_path), "max_bytes": 2**20}}
    conf.events_settings.cache_clear()
    delivery = process_collector.process_delivery()
    while delivery.take([Record("t", b"x" * 5000)], Mode.SPOOLED) is None:
        pass
    assert delivery.take([Record("t", b"x" * 100)] * 1000, Mode.ACCEPTED) is None
    process_collector.close_process_collector()
    counts = delivery.counts()
    assert (counts.failed, counts.waiting) == (0, 0)
    reader = SpoolReader(delivery.spool.folder)
    payloads = [payload for _ in range(10) for payload in reader.read(1000, 2**20)]
    assert sum(from_payload(payload).value == b"x" * 100 for payload in payloads) == 1000


@pytest.mark.usefixtures("own_process_collector")
def test_an_event_that_kafka_will_never_take_is_counted_as_failed(settings: Any) -> None:
    settings.EVENTS = {**settings.EVENTS, "producer": {"message.max.bytes": 40_000}}
    conf.events_settings.cache_clear()
    delivery = process_collector.process_delivery()
    assert delivery.take([Record("t", b"x" * 50_000)], Mode.SPOOLED) is None
    wait_until(lambda: delivery.counts().failed == 1, seconds=10)
    wait_until(lambda: delivery.counters.values().get((metrics.FAILED,)) == 1, seconds=10)


@pytest.mark.usefixtures("own_process_collector")
def test_an_error_does_not_end_what_is_told_each_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(process_delivery, "_PUBLISH_SECONDS", 0.01)
    delivery = process_collector.process_delivery()

    def fails(*_: object) -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        patch.setattr(delivery.counters, "set", fails)
        wait_until(lambda: any("/metrics" in message for message in caplog.messages))
    delivery.counters.set((metrics.SPOOL_MAX_BYTES,), 0)
    wait_until(lambda: delivery.counters.values()[(metrics.SPOOL_MAX_BYTES,)] > 0)
    assert sum("/metrics" in message for message in caplog.messages) == 1


@pytest.mark.usefixtures("own_process_collector")
def test_an_acknowledgement_that_does_not_come_is_refused_in_time_and_then_at_once(settings: Any) -> None:
    settings.EVENTS = {**settings.EVENTS, "acknowledge_seconds": 2.0}
    conf.events_settings.cache_clear()
    delivery = process_collector.process_delivery()
    started_at = time.monotonic()
    refusal = delivery.take([Record("t", b"{}")] * 3, Mode.ACKNOWLEDGED)
    assert refusal is not None
    assert list(refusal.indexes) == [0, 1, 2]
    assert time.monotonic() - started_at < 3
    started_at = time.monotonic()
    assert delivery.take([Record("t", b"{}")], Mode.ACKNOWLEDGED) is not None
    assert time.monotonic() - started_at < 0.2
