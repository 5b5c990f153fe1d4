"""The producer with a real Kafka: each accepted event arrives, through absences, forks and the server's end."""

import json
import multiprocessing
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from devstack.stack import Stack
from events import conf, process_collector
from events.delivery import Mode
from events.process_delivery import ProcessDelivery
from kafka_client.producer import EventProducer, KafkaUnavailable, Record
from tests.events.web import Web, status_of
from tests.support import (
    Process,
    end_offsets,
    kafka_killed,
    kafka_paused,
    make_topics,
    manage,
    read_topic,
    set_topic,
    stack_env,
    wait_until,
)

pytestmark = pytest.mark.integration

QUICK = {"reconnect.backoff.max.ms": 500}


@pytest.fixture
def make(stack: Stack) -> Iterator[Callable[..., EventProducer]]:
    """Makes producers that are closed at the end."""
    made: list[EventProducer] = []

    def make(*, away_seconds: float = 30.0, **options: Any) -> EventProducer:
        options = {name.replace("_", "."): value for name, value in options.items()}
        made.append(EventProducer({"bootstrap.servers": stack.bootstrap_servers, **options}, away_seconds=away_seconds))
        return made[-1]

    yield make
    for producer in made:
        producer.close(10)


@pytest.fixture
def collecting(servers: Stack, topic: str, settings: Any, tmp_path: Path) -> str:
    """The endpoint of this process produces to a fresh topic of the stack."""
    settings.EVENTS = {**settings.EVENTS, "topic": topic, "producer": QUICK, "spool": {"path": str(tmp_path)}}
    conf.events_settings.cache_clear()
    return topic


def stored(stack: Stack, topic: str) -> int:
    return sum(end_offsets(stack, topic))


def is_refused(producer: EventProducer, topic: str) -> bool:
    try:
        producer.produce(topic, b"{}")
    except KafkaUnavailable:
        return True
    return False


def test_an_event_is_stored_without_a_key(stack: Stack, topic: str, make: Callable[..., EventProducer]) -> None:
    producer = make()
    producer.produce(topic, '{"userName":"김"}'.encode())
    (message,) = read_topic(stack, topic, 1)
    assert (message.key(), message.value().decode(), message.headers()) == (None, '{"userName":"김"}', None)
    wait_until(lambda: producer.counts().delivered == 1)


def test_events_spread_over_all_partitions(stack: Stack, topic: str, make: Callable[..., EventProducer]) -> None:
    producer = make(linger_ms=0)
    for number in range(300):
        producer.produce(topic, b"%d" % number)
        time.sleep(0.001)  # librdkafka stays with a partition for one batch
    producer.close(10)
    offsets = end_offsets(stack, topic)
    assert sum(offsets) == 300
    assert all(offsets)


def test_deliveries_from_many_threads_are_counted_exactly(
    stack: Stack, topic: str, make: Callable[..., EventProducer]
) -> None:
    producer = make()

    def work(worker: int) -> None:
        for number in range(2000):
            producer.produce(topic, b"%d-%d" % (worker, number))

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.close(30) == 0
    counts = producer.counts()
    assert (counts.delivered, counts.failed, counts.refused, counts.waiting) == (16_000, 0, 0, 0)
    values = [message.value() for message in read_topic(stack, topic, 16_000)]
    assert len(set(values)) == len(values) == 16_000


def test_an_event_is_refused_or_stored_when_the_producer_closes_amid_others(
    stack: Stack, topic: str, make: Callable[..., EventProducer]
) -> None:
    producer = make(linger_ms=60_000)
    accepted = Counter[int]()

    def work(worker: int) -> None:
        try:
            while True:
                producer.produce(topic, b"{}")
                accepted[worker] += 1
        except KafkaUnavailable:
            pass

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: accepted.total() > 1000)
    assert producer.close(30) == 0
    for thread in threads:
        thread.join()
    assert stored(stack, topic) == accepted.total()


@pytest.mark.parametrize("absence", ["killed", "paused"])
def test_while_kafka_is_away_events_wait_then_are_refused_then_all_are_stored(
    stack: Stack, topic: str, make: Callable[..., EventProducer], absence: str
) -> None:
    kafka = stack.kafka[0]
    producer = make(away_seconds=1.0, reconnect_backoff_max_ms=500)
    producer.produce(topic, b"before")
    wait_until(lambda: producer.counts().delivered == 1)
    accepted = {b"before"}
    kafka.kill() if absence == "killed" else kafka.pause()
    try:
        longest = 0.0
        for number in range(200):
            started_at = time.monotonic()
            producer.produce(topic, b"during-%d" % number)
            longest = max(longest, time.monotonic() - started_at)
            accepted.add(b"during-%d" % number)
        assert longest < 0.2
        wait_until(lambda: is_refused(producer, topic), seconds=10, what="a refusal")
    finally:
        if absence == "killed":
            kafka.start()
            kafka.wait_ready()
        else:
            kafka.resume()
    wait_until(lambda: not is_refused(producer, topic), seconds=30, what="acceptance")
    assert producer.close(30) == 0
    assert producer.counts().failed == 0
    # acks=1 and retries: at least once.
    assert {message.value() for message in read_topic(stack, topic, producer.counts().delivered)} >= accepted


def test_page_and_endpoint_answer_at_once_with_kafka_stopped(collecting: str, servers: Stack) -> None:
    with kafka_killed(servers):
        client = Client()
        client.get("/")  # loads templates and translations
        for path, status in (("/", 200), ("/api/select?color=red&user=Ada", 202)):
            started_at = time.monotonic()
            for _ in range(50):
                assert client.get(path).status_code == status
            assert time.monotonic() - started_at < 2.5
    wait_until(lambda: stored(servers, collecting) == 50, what="the 50 events")


def test_a_full_queue_goes_to_the_spool_and_everything_arrives(collecting: str, servers: Stack, settings: Any) -> None:
    settings.EVENTS = {**settings.EVENTS, "producer": {**QUICK, "queue.buffering.max.messages": 10}}
    conf.events_settings.cache_clear()
    for _ in range(200):
        assert Client().get("/api/select?color=red&user=Ada").status_code == 202
    wait_until(lambda: stored(servers, collecting) == 200, what="the 200 events")


def test_a_full_spool_is_503_and_nothing_accepted_is_lost(collecting: str, servers: Stack, settings: Any) -> None:
    settings.EVENTS = {
        **settings.EVENTS,
        "spool": {**settings.EVENTS["spool"], "max_bytes": 2**20, "segment_bytes": 2**16},
        "flush_seconds": 60.0,
    }
    conf.events_settings.cache_clear()
    batch = json.dumps([{"colorName": "red", "userName": f"{number}"} for number in range(1000)])
    accepted = 0
    with kafka_killed(servers):
        wait_until(lambda: process_collector.process_delivery().counts() is not None)
        for _ in range(100):
            answer = Client().post("/api/events?mode=spooled", batch, "application/json")
            accepted += answer.json()["accepted"]
            if answer.status_code == 503:
                break
        assert (answer.status_code, answer["Retry-After"], answer.json()["detail"]) == (503, "5", "the spool is full")
        assert answer.json()["unavailable"] == list(range(1000))
    assert accepted >= 1000
    wait_until(lambda: stored(servers, collecting) == accepted, what="what was accepted")
    assert Client().post("/api/events?mode=spooled", batch, "application/json").status_code == 202


def test_a_full_spool_and_a_broker_that_blips_lose_no_accepted_event(
    collecting: str, servers: Stack, settings: Any
) -> None:
    delivery = lingering(settings, seconds=3)
    delivery.spool.max_bytes = 0  # it is full
    for number in range(50):
        assert delivery.take([Record(collecting, b"%d" % number)], Mode.ACCEPTED) is None
    with kafka_killed(servers):
        wait_until(lambda: delivery.is_kafka_away)
    values = {message.value() for message in read_topic(servers, collecting, 50)}
    assert values == {b"%d" % number for number in range(50)}
    assert delivery.counts().failed == 0


def test_events_that_a_topics_settings_refuse_wait_until_these_are_mended(collecting: str, servers: Stack) -> None:
    """A compacted topic takes no record without a key. So does any topic, while the web host's clock is hours ahead."""
    set_topic(servers, collecting, **{"cleanup.policy": "compact"})
    delivery = process_collector.process_delivery()
    for number in range(100):
        mode = (Mode.ACCEPTED, Mode.SPOOLED)[number % 2]
        assert delivery.take([Record(collecting, b"%d" % number)], mode) is None
    wait_until(lambda: collecting in delivery.feeder.asides, what="events that are set aside")
    assert delivery.counts().failed == 0
    set_topic(servers, collecting, **{"cleanup.policy": "delete"})
    values = [message.value() for message in read_topic(servers, collecting, 100)]
    assert sorted(values) == sorted(b"%d" % number for number in range(100))


@pytest.mark.parametrize(("mode", "status"), [("accepted", 202), ("spooled", 202), ("acknowledged", 201)])
def test_each_mode_delivers_with_the_id_as_a_header(collecting: str, servers: Stack, mode: str, status: int) -> None:
    ids = [str(uuid.uuid4()) for _ in range(50)]
    events = [{"colorName": "red", "userName": "Ada", "id": event_id} for event_id in ids]
    answer = Client().post(f"/api/events?mode={mode}", json.dumps(events), "application/json")
    assert (answer.status_code, answer.json()["accepted"]) == (status, 50)
    messages = read_topic(servers, collecting, 50)
    assert sorted(dict(message.headers())["event.id"].decode() for message in messages) == sorted(ids)


def whole_records(topic: str) -> list[Record]:
    """Records with all that a record can have, and one that is a tombstone."""
    at = int(time.time() * 1000) - 86_400_000
    headers = [("event.id", b"1"), ("empty", b""), ("without a value", None)]
    records = [Record(topic, b"%d" % number, headers, b"key-%d" % number, at + number) for number in range(20)]
    return [*records, Record(topic, b"", None, b"", at + 20), Record(topic, None, headers[:1], b"key-21", at + 21)]


def lingering(settings: Any, *, seconds: int) -> ProcessDelivery:
    """The delivery of this process, which reaches Kafka; its queue keeps what it is given for so long."""
    settings.EVENTS = {**settings.EVENTS, "producer": {**QUICK, "linger.ms": 1000 * seconds}}
    conf.events_settings.cache_clear()
    delivery = process_collector.process_delivery()
    wait_until(lambda: not delivery.is_kafka_away)
    return delivery


def arrived(stack: Stack, topic: str, count: int) -> list[Record]:
    """What Kafka has, in the order of its timestamps."""
    records = [
        Record(topic, message.value(), message.headers(), message.key(), message.timestamp()[1])
        for message in read_topic(stack, topic, count)
    ]
    return sorted(records, key=lambda record: record.timestamp or 0)


@pytest.mark.parametrize("mode", list(Mode))
def test_a_record_arrives_as_it_was_in_each_mode(collecting: str, servers: Stack, mode: Mode) -> None:
    records = whole_records(collecting)
    assert process_collector.process_delivery().take(records, mode) is None
    assert arrived(servers, collecting, len(records)) == records


def test_a_record_that_comes_back_to_the_spool_arrives_as_it_was(
    collecting: str, servers: Stack, settings: Any
) -> None:
    delivery = lingering(settings, seconds=60)
    records = whole_records(collecting)
    assert delivery.take(records, Mode.ACCEPTED) is None
    with kafka_killed(servers):
        wait_until(lambda: delivery.counts().kept == len(records), what="the spool")
    assert arrived(servers, collecting, len(records)) == records


def take_while_kafka_hangs(delivery: ProcessDelivery, topic: str) -> None:
    """Takes 1000 events at an even pace, in about 2 seconds."""
    for number in range(1000):
        assert delivery.take([Record(topic, b"%d" % number)], Mode.ACCEPTED) is None
        time.sleep(0.002)


def test_when_kafka_hangs_all_but_a_few_requests_go_to_the_spool_and_nothing_arrives_twice(
    collecting: str, servers: Stack
) -> None:
    delivery = process_collector.process_delivery()
    assert delivery.take([Record(collecting, b"before")], Mode.ACCEPTED) is None
    wait_until(lambda: delivery.counts().delivered == 1)
    with kafka_paused(servers):
        take_while_kafka_hangs(delivery, collecting)
        wait_until(lambda: delivery.is_spooling)
        wait_until(lambda: delivery.counts().kept > 700, seconds=10, what="the spool")
    wait_until(lambda: delivery.undelivered() == 0, what="all events in Kafka")
    wait_until(lambda: stored(servers, collecting) == 1001)
    values = {message.value() for message in read_topic(servers, collecting, 1001)}
    assert values == {b"before", *(b"%d" % number for number in range(1000))}


def test_what_a_hanging_kafka_did_not_answer_in_time_goes_to_the_spool_however_late_that_is(
    collecting: str, servers: Stack, settings: Any
) -> None:
    options = {**QUICK, "socket.timeout.ms": 6000}
    settings.EVENTS = {**settings.EVENTS, "producer": options, "kafka_away_seconds": 1.0}
    conf.events_settings.cache_clear()
    delivery = process_collector.process_delivery()
    assert delivery.take([Record(collecting, b"before")], Mode.ACCEPTED) is None
    wait_until(lambda: delivery.counts().delivered == 1)
    with kafka_paused(servers):
        assert delivery.take([Record(collecting, b"during")] * 10, Mode.ACCEPTED) is None
        wait_until(lambda: delivery.is_spooling)
        wait_until(lambda: delivery.counts().kept == 10, seconds=20, what="the spool")
    wait_until(lambda: delivery.undelivered() == 0, what="all events in Kafka")


def test_an_event_that_waits_for_kafka_keeps_the_time_at_which_it_was_taken(
    collecting: str, servers: Stack, settings: Any
) -> None:
    delivery = lingering(settings, seconds=60)
    began_at = int(time.time() * 1000)
    assert delivery.take([Record(collecting, b"in the queue")], Mode.ACCEPTED) is None
    with kafka_killed(servers):
        assert delivery.take([Record(collecting, b"spooled")], Mode.SPOOLED) is None
        wait_until(lambda: delivery.is_kafka_away)
        assert delivery.take([Record(collecting, b"while it is away")], Mode.ACCEPTED) is None
        taken_at = int(time.time() * 1000)
    records = arrived(servers, collecting, 3)
    assert {record.value for record in records} == {b"in the queue", b"spooled", b"while it is away"}
    assert all(began_at <= (record.timestamp or 0) <= taken_at for record in records)


@pytest.mark.parametrize("limit", ["message.timestamp.before.max.ms", "message.timestamp.after.max.ms"])
def test_an_event_whose_time_the_topic_does_not_take_arrives_with_that_of_its_delivery(
    collecting: str, servers: Stack, limit: str, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = process_collector.process_delivery()
    began_at = int(time.time() * 1000)
    delivery.take([Record(collecting, b"30")], Mode.SPOOLED)
    wait_until(lambda: delivery.feeder.producer and delivery.feeder.producer.is_reached)
    set_topic(servers, collecting, **{limit: "3600000"})
    now = int(time.time() * 1000)
    other = now - 86_400_000 if "before" in limit else now + 86_400_000
    records = [Record(collecting, b"%d" % number, timestamp=other if number % 3 else now) for number in range(30)]
    assert delivery.take(records, Mode.SPOOLED) is None
    found = arrived(servers, collecting, 31)
    assert sorted(int(record.value or b"") for record in found) == list(range(31))
    assert all(began_at <= (record.timestamp or 0) <= time.time() * 1000 for record in found)
    assert "set aside" not in caplog.text


def test_the_spool_is_replayed_in_its_order(collecting: str, servers: Stack) -> None:
    make_topics(servers, f"{collecting}-1", partitions=1)
    delivery = process_collector.process_delivery()
    with kafka_killed(servers):
        for number in range(3000):
            assert delivery.take([Record(f"{collecting}-1", b"%d" % number)], Mode.SPOOLED) is None
    messages = read_topic(servers, f"{collecting}-1", 3000)
    assert [int(message.value()) for message in messages] == list(range(3000))


@pytest.mark.parametrize("absence", ["killed", "paused"])
def test_no_ghost_follows_an_acknowledgement_that_did_not_come(
    collecting: str, servers: Stack, settings: Any, absence: str
) -> None:
    settings.EVENTS = {**settings.EVENTS, "acknowledge_seconds": 3.0}
    conf.events_settings.cache_clear()
    url = "/api/events?mode=acknowledged"
    event = json.dumps({"colorName": "red", "userName": "Ada"})
    kafka = servers.kafka[0]
    assert Client().post(url, event, "application/json").status_code == 201
    kafka.kill() if absence == "killed" else kafka.pause()
    try:
        started_at = time.monotonic()
        # The first may be on its way to a broker that only sleeps: then nobody can call it back.
        first = Client().post(url, event, "application/json")
        assert time.monotonic() - started_at < 4
        again = Client().post(url, event, "application/json")
        assert (first.status_code, again.status_code, again["Retry-After"]) == (503, 503, "5")
        assert again.json()["unavailable"] == [0]
    finally:
        if absence == "killed":
            kafka.start()
            kafka.wait_ready()
        else:
            kafka.resume()
    wait_until(lambda: Client().post(url, event, "application/json").status_code == 201, seconds=60)
    assert stored(servers, collecting) in ((2,) if absence == "killed" else (2, 3))


def _collect_in_child(topic: str, count: int) -> None:
    for number in range(count):
        process_collector.process_delivery().take([Record(topic, b"%d" % number)], Mode.ACCEPTED)


def test_a_forked_child_delivers_its_events_at_its_end(collecting: str, servers: Stack, settings: Any) -> None:
    settings.EVENTS = {**settings.EVENTS, "producer": {"linger.ms": 60_000}}
    conf.events_settings.cache_clear()
    _collect_in_child(collecting, 5)
    child = multiprocessing.get_context("fork").Process(target=_collect_in_child, args=(collecting, 7))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert stored(servers, collecting) == 7
    process_collector.close_process_collector()
    assert stored(servers, collecting) == 12


def test_ten_thousand_events_by_the_endpoints_code(stack: Stack, topic: str) -> None:
    process = Process(manage("send_events", "--to", "kafka", "--count", "10000"), stack_env(stack, EVENTS_TOPIC=topic))
    assert process.wait() == 0, process.text
    assert "sent 10000 events" in process.text
    assert "10000 accepted, 0 refused, 0 undelivered" in process.text
    assert stored(stack, topic) == 10_000


# --- Under the web server


def test_sigterm_amid_requests_delivers_every_accepted_event(stack: Stack, topic: str, web: Callable[..., Web]) -> None:
    server = web(EVENTS_PRODUCER_OPTIONS=json.dumps({"linger.ms": 60_000}))
    accepted = Counter[int]()

    def click(worker: int) -> None:
        try:
            while True:
                if status_of(f"{server.url}/api/select?color=red&user={worker}") == 202:
                    accepted[worker] += 1
        except OSError:
            return  # the server is gone

    threads = [threading.Thread(target=click, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: accepted.total() > 200)
    assert server.process.stop() == 0
    for thread in threads:
        thread.join()
    assert stored(stack, topic) == accepted.total()


def test_bodies_of_unknown_length_are_read_and_bounded(stack: Stack, topic: str, web: Callable[..., Web]) -> None:
    url = web().url
    # An iterable body is sent chunked.
    assert status_of(f"{url}/api/select", iter([b'{"color":"red",', b'"user":"Ada"}'])) == 202
    assert status_of(f"{url}/api/select", iter([b" " * 40_000, b" " * 40_000])) == 413
    (message,) = read_topic(stack, topic, 1)
    assert json.loads(message.value())["userName"] == "Ada"


def test_a_topic_that_is_not_there_holds_up_no_other_until_it_is_made(stack: Stack, collecting: str) -> None:
    missing = f"{collecting}-missing"
    delivery = process_collector.process_delivery()
    assert delivery.take([Record(missing, b"%d" % number) for number in range(10)], Mode.SPOOLED) is None
    assert delivery.take([Record(collecting, b"{}")] * 50, Mode.SPOOLED) is None
    wait_until(lambda: stored(stack, collecting) == 50, seconds=15, what="those of the other topic")
    wait_until(lambda: delivery.undelivered() == 10)
    assert delivery.take([Record(missing, b"10"), Record(collecting, b"{}")], Mode.ACCEPTED) is None
    wait_until(lambda: stored(stack, collecting) == 51 and delivery.undelivered() == 11)
    assert Client().get("/readyz").json()["aside"] == 11
    wait_until(lambda: "\ncollector_aside_records 11.0\n" in Client().get("/metrics").text)
    make_topics(stack, missing, partitions=1)
    values = [message.value() for message in read_topic(stack, missing, 11)]
    assert values == [b"%d" % number for number in range(11)]
    wait_until(lambda: delivery.undelivered() == 0)
