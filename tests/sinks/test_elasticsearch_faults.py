"""The Elasticsearch sink while servers fail, lie and refuse: every record is a document once, with its content.

Each test counts every document and compares it with its record (`Documents.check`).
"""

import json
import random
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from devstack.stack import Stack
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.elasticsearch.notes import NOTES_INDEX
from sinks.elasticsearch.setup import prepare
from tests.proxy import HttpProxy, Rule
from tests.sinks.counting import Documents, Stream
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.support import (
    committed_offsets,
    event,
    make_topics,
    produce,
    read_topic,
    read_whole_topic,
    set_topic,
    wait_until,
)

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def nursery(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    folder = tmp_path_factory.mktemp("sinks")
    with Nursery(kafka=stack.bootstrap_servers, elasticsearch=stack.elasticsearch_url, folder=folder) as nursery:
        yield nursery


class Bench:
    """A fresh topic and index, and sinks between them.

    target: what its sinks' targets have besides the index.
    """

    def __init__(self, stack: Stack, nursery: Nursery, **target: Any) -> None:
        self.stack = stack
        self.nursery = nursery
        self.topic = f"e-{uuid.uuid4().hex[:8]}"
        make_topics(stack, self.topic)
        make_topics(stack, f"{self.topic}.dlq", partitions=1)
        self.target = {"index": self.topic, "replicas": 0, **target}
        self.stream = Stream(stack.bootstrap_servers, self.topic, 3)
        self.documents = Documents(stack, ElasticsearchTarget(**self.target).names().wildcard)
        self.client = self.documents.client
        self.set_up()

    @property
    def group(self) -> str:
        return f"g-{self.topic}"

    def set_up(self) -> None:
        """What setup_pipeline does."""
        prepare(self.client, ElasticsearchTarget(**self.target), event="select-color")

    def start(self, **changes: Any) -> SinkProcess:
        """A sink with one task; waits until it reads all partitions."""
        options = {"flush_records": 50, "flush_seconds": 0.2, "retry_seconds": 0.3, **changes.pop("options", {})}
        process = {
            key: changes.pop(key) for key in ("fault", "elasticsearch", "elasticsearch_timeout") if key in changes
        }
        entry = {
            "kind": "elasticsearch",
            "topics": [self.topic],
            "group": self.group,
            "tasks": 1,
            "target": self.target,
            "options": options,
            "consumer": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300},
            **changes,
        }
        return self.nursery.start(entry, **process)

    def committed(self) -> list[int]:
        def ask() -> list[int] | None:
            try:
                return committed_offsets(self.stack, self.group, self.topic)
            except KafkaException:  # the group is new
                return None

        return wait_until(ask, what="the committed offsets") or []

    def wait_committed(self, counts: list[int]) -> None:
        wait_until(lambda: self.committed() == counts, seconds=60, what=f"{counts} committed")

    def finish(self, *sinks: SinkProcess) -> None:
        """The sinks store the rest and stop; then every record must be there once, and be committed."""
        self.documents.wait_count(sum(self.stream.counts), sinks=sinks)
        for sink in sinks:
            assert sink.stop() == 0, sink.text[-4000:]
        self.documents.check(self.stream)
        assert self.committed() == self.stream.counts


@pytest.fixture
def bench(stack: Stack, nursery: Nursery) -> Bench:
    return Bench(stack, nursery)


# Killed with -9


def test_killed_before_or_after_any_request_the_next_sink_completes_it(bench: Bench) -> None:
    bench.stream.produce(40)
    for number in range(3, 13):  # from the first requests on that are about the records
        fault = {"do": ("kill", "kill_after")[number % 2], "number": number}
        sink = bench.start(fault=fault, options={"flush_records": 10})
        wait_until(lambda sink=sink: not sink.is_running or bench.committed() == bench.stream.counts, seconds=60)
        sink.kill()
        bench.stream.produce(10)
    bench.finish(bench.start())


# A server that is away, slow, overloaded, or whose replies are lost


def test_a_node_that_is_killed_and_started_in_mid_stream_loses_and_repeats_nothing(bench: Bench) -> None:
    sink = bench.start()
    with bench.stream.load(2):
        bench.documents.wait_count(60, sinks=[sink])
        bench.stack.elasticsearch.kill()
        sink.wait_for("failed (try 2")
        bench.stack.elasticsearch.start()
        bench.stack.elasticsearch.wait_ready(90)
        bench.documents.wait_count(sum(bench.stream.counts), sinks=[sink])
    bench.finish(sink)


def storm(seed: int, last: int) -> Rule:
    """For so many requests, most bulks are refused, late, slow, or done without an answer; the first three for sure."""
    chance = random.Random(seed)
    first = ["lose", "slow", "429"]
    lock = threading.Lock()

    def rule(number: int, line: str) -> str:
        with lock:
            if "_bulk" not in line or number > last:
                return "pass"
            if first:
                return first.pop()
            return chance.choices(
                ["429", "503", "502", "408", "slow", "late", "lose", "refuse", "pass"], [6, 1, 1, 1, 1, 1, 2, 1, 2]
            )[0]

    return rule


def test_a_storm_of_429_and_slow_and_lost_answers_loses_and_repeats_nothing(bench: Bench) -> None:
    bench.stream.produce(1000)
    with HttpProxy(bench.stack.elasticsearch_url, storm(seed=5, last=120), late_seconds=0.6) as proxy:
        sink = bench.start(elasticsearch=proxy.url, elasticsearch_timeout=0.5, options={"in_flight": 3})
        bench.finish(sink)
    fates = {spoilt.partition(":")[0] for spoilt in proxy.spoilt}
    assert {"429", "slow", "lose"} <= fates
    assert "Traceback" not in sink.text


def test_a_request_whose_reply_is_lost_is_done_again_and_changes_nothing(bench: Bench) -> None:
    bench.stream.produce(100)
    lost = iter(range(3))
    with HttpProxy(
        bench.stack.elasticsearch_url,
        lambda _, line: "lose" if "_bulk" in line and next(lost, None) is not None else "pass",
    ) as proxy:
        bench.finish(bench.start(elasticsearch=proxy.url))
    assert len(proxy.spoilt) == 3
    versions = [
        hit["_version"] for hit in bench.client.search(index=bench.topic, size=300, version=True)["hits"]["hits"]
    ]
    assert max(versions) > 1


def test_partitions_that_move_under_load_are_stored_once(bench: Bench) -> None:
    with bench.stream.load(20):
        first = bench.start()
        bench.documents.wait_count(200, sinks=[first])
        second = bench.start(tasks=2)
        second.wait_for(": reads ")
        bench.documents.wait_count(600, sinks=[first, second])
        first.kill()
        third = bench.start()
        bench.documents.wait_count(sum(bench.stream.counts), sinks=[second, third])
        assert second.stop() == 0
        bench.documents.wait_count(sum(bench.stream.counts) + 100, sinks=[third])
    bench.finish(third)


# Documents and indices that Elasticsearch refuses


def test_bad_records_first_in_the_middle_and_last_become_dead_letters_and_the_rest_is_stored(bench: Bench) -> None:
    # A field of which the event knows nothing, but the index does.
    bench.client.indices.put_mapping(index=bench.topic, properties={"extra": {"type": "integer"}})
    values: list[bytes | None] = [event(number) for number in range(100)]
    for place in (0, 30, 99):
        values[place] = event(place, extra="no number")
    values[60], values[61] = b"no json", None
    produce(bench.stack, bench.topic, values, partition=1)
    sink = bench.start()
    bench.wait_committed([-1001, 100, -1001])
    letters = read_topic(bench.stack, f"{bench.topic}.dlq", 5)
    reasons = {int(dict(letter.headers())["dlq.offset"]): dict(letter.headers())["dlq.reason"] for letter in letters}
    assert sorted(reasons) == [0, 30, 60, 61, 99]
    assert all(b"failed to parse field [extra] of type [integer]" in reasons[place] for place in (0, 30, 99))
    assert {letter.value() for letter in letters} == {values[place] for place in (0, 30, 60, 61, 99)}
    assert bench.documents.found() == {
        f"{bench.topic}-1-{place}": json.loads(value or b"")
        for place, value in enumerate(values)
        if place not in reasons
    }
    assert sink.stop() == 0


def test_an_index_that_refuses_every_document_stops_the_sink_before_there_are_dead_letters(bench: Bench) -> None:
    """Its mapping wants a routing value, which the sink does not give."""
    bench.client.indices.delete(index=bench.topic)
    bench.client.indices.create(index=bench.topic, mappings={"_routing": {"required": True}})
    produce(bench.stack, bench.topic, [event(number) for number in range(150)], partition=0)
    sink = bench.start(options={"flush_records": 150, "flush_seconds": 5.0})
    assert sink.wait() == 1
    assert "has taken no record yet and refused 150, each for routing_missing_exception" in sink.text
    assert "Traceback" not in sink.text
    assert bench.committed() == [-1001] * 3
    assert read_whole_topic(bench.stack, f"{bench.topic}.dlq") == []
    # As the message says, the mapping is put right.
    bench.client.indices.delete(index=bench.topic)
    bench.set_up()
    sink = bench.start()
    bench.documents.wait_count(150, sinks=[sink])
    assert sink.stop() == 0


def test_no_offset_is_committed_while_its_dead_letter_can_not_be_delivered(bench: Bench) -> None:
    set_topic(bench.stack, f"{bench.topic}.dlq", **{"max.message.bytes": "100"})  # refuses each, headers and all
    bench.client.indices.put_mapping(index=bench.topic, properties={"extra": {"type": "integer"}})
    values = [event(0), event(1, extra="no number"), event(2)]
    produce(bench.stack, bench.topic, values, partition=0)
    sink = bench.start()
    sink.wait_for("delivering dead letters failed")
    assert bench.committed() == [-1001] * 3
    assert sink.is_running
    set_topic(bench.stack, f"{bench.topic}.dlq", **{"max.message.bytes": "1000000"})
    bench.wait_committed([3, -1001, -1001])
    (letter,) = read_topic(bench.stack, f"{bench.topic}.dlq", 1)
    assert dict(letter.headers())["dlq.offset"] == b"1"
    assert sorted(bench.documents.found()) == [f"{bench.topic}-0-0", f"{bench.topic}-0-2"]


def test_a_broker_that_goes_away_before_its_dead_letters_holds_the_offset_until_it_is_back(bench: Bench) -> None:
    """Of two sinks in this outage, one is killed; each writes its dead letter once."""
    bench.client.indices.put_mapping(index=bench.topic, properties={"extra": {"type": "integer"}})
    produce(bench.stack, bench.topic, [event(0), event(1, extra="no number"), event(2)], partition=0)
    (broker,) = bench.stack.kafka
    asked, answer = threading.Semaphore(0), threading.Event()

    def hold(number: int, line: str) -> str:
        if "_bulk" in line:
            asked.release()
            answer.wait(60)
        return "pass"

    with HttpProxy(bench.stack.elasticsearch_url, hold) as proxy:
        # Its partitions are not taken from it meanwhile: read again, the record would be a dead letter again.
        patient = {"session.timeout.ms": 45_000, "heartbeat.interval.ms": 300}
        lasting = bench.start(elasticsearch=proxy.url, consumer=patient)
        killed = bench.start(elasticsearch=proxy.url, group=f"{bench.group}-2")
        for _ in range(2):
            assert asked.acquire(timeout=60)
        broker.kill()
        answer.set()
        for sink in (lasting, killed):
            sink.wait_for("delivering dead letters")
        killed.kill()
        broker.start()
        broker.wait_ready(90)
        bench.wait_committed([3, -1001, -1001])
        assert lasting.stop() == 0
    assert committed_offsets(bench.stack, f"{bench.group}-2", bench.topic) == [-1001] * 3
    assert len(read_whole_topic(bench.stack, f"{bench.topic}.dlq")) == 1
    sink = bench.start(group=f"{bench.group}-2")
    wait_until(lambda: committed_offsets(bench.stack, f"{bench.group}-2", bench.topic)[0] == 3, what="all committed")
    letters = read_whole_topic(bench.stack, f"{bench.topic}.dlq")
    assert [dict(letter.headers())["dlq.offset"] for letter in letters] == [b"1", b"1"]
    assert sorted(bench.documents.found()) == [f"{bench.topic}-0-0", f"{bench.topic}-0-2"]
    assert sink.stop() == 0


def test_what_is_too_large_for_the_node_is_split_and_a_single_document_becomes_a_dead_letter(bench: Bench) -> None:
    """The tests' node takes requests of 1 MiB (see conftest)."""
    for topic in (bench.topic, f"{bench.topic}.dlq"):
        set_topic(bench.stack, topic, **{"max.message.bytes": "4000000"})
    values = [event(number, userAgent=f"{number} " * 15_000) for number in range(100, 200)]  # 6 MB in one batch
    values[50] = event(50, userAgent="x" * 2_000_000)
    producer = Producer({"bootstrap.servers": bench.stack.bootstrap_servers, "message.max.bytes": 4_000_000})
    for value in values:
        producer.produce(bench.topic, value, partition=0)
    assert producer.flush(60) == 0
    sink = bench.start(options={"flush_records": 100, "flush_seconds": 2.0})
    bench.wait_committed([100, -1001, -1001])
    (letter,) = read_whole_topic(bench.stack, f"{bench.topic}.dlq")
    assert (dict(letter.headers())["dlq.offset"], letter.value()) == (b"50", values[50])
    assert b"413" in dict(letter.headers())["dlq.reason"]
    del values[50]
    assert sorted(map(json.dumps, bench.documents.found().values())) == sorted(
        json.dumps(json.loads(value)) for value in values
    )
    assert sink.stop() == 0


def test_an_index_made_read_only_is_waited_for_until_it_is_released(bench: Bench) -> None:
    sink = bench.start()
    bench.stream.produce(50)
    bench.documents.wait_count(150, sinks=[sink])
    bench.wait_committed([50] * 3)
    bench.client.indices.put_settings(index=bench.topic, settings={"index.blocks.write": True})
    bench.stream.produce(50)
    sink.wait_for("index write (api)")
    sink.wait_for("failed (try 3")
    assert bench.committed() == [50] * 3
    bench.client.indices.put_settings(index=bench.topic, settings={"index.blocks.write": None})
    bench.finish(sink)


def test_an_index_that_was_deleted_underneath_is_made_again_as_the_template_says(bench: Bench) -> None:
    sink = bench.start()
    produce(bench.stack, bench.topic, [event(number, userName="old") for number in range(90)])
    bench.wait_committed([30] * 3)
    bench.client.indices.delete(index=bench.topic)
    events = [event(number, userName="new") for number in range(90)]
    produce(bench.stack, bench.topic, events)
    bench.wait_committed([60] * 3)
    assert bench.documents.found() == {
        f"{bench.topic}-{n % 3}-{30 + n // 3}": json.loads(value) for n, value in enumerate(events)
    }
    mapping = bench.client.indices.get_mapping(index=bench.topic)[bench.topic]["mappings"]
    assert mapping["properties"]["userName"]["type"] == "keyword"
    assert sink.stop() == 0


# A topic that is made again


def test_a_topic_made_again_stops_the_sink_and_leaves_the_documents_alone(bench: Bench) -> None:
    bench.stream.produce(20)
    sink = bench.start()
    bench.finish(sink)
    admin = AdminClient({"bootstrap.servers": bench.stack.bootstrap_servers})
    admin.delete_topics([bench.topic])[bench.topic].result(timeout=60)
    wait_until(lambda: bench.topic not in admin.list_topics(timeout=10).topics, what="the topic gone")
    make_topics(bench.stack, bench.topic)
    produce(bench.stack, bench.topic, [event(number, userName="new") for number in range(90)])
    again = bench.start(group=f"{bench.group}-again")
    assert again.wait() == 1
    assert "was deleted and made again" in again.text
    bench.documents.check(bench.stream)
    # As the message says:
    bench.client.indices.delete(index=bench.topic)
    bench.client.delete(index=NOTES_INDEX, id=f"{bench.topic}:{bench.topic}")
    bench.set_up()
    sink = bench.start(group=f"{bench.group}-again")
    bench.documents.wait_count(90, sinks=[sink])


# Keys


def test_of_records_with_one_key_the_newest_stays_and_a_tombstone_deletes(stack: Stack, nursery: Nursery) -> None:
    bench = Bench(stack, nursery, id="key", tombstones="delete")
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    chance = random.Random(3)
    newest: dict[str, Any] = {}
    for number in range(2000):
        key = f"user {chance.randrange(50)}"
        value = None if chance.random() < 0.2 else event(number)
        producer.produce(bench.topic, value, key=key)
        newest[key] = value
    assert producer.flush(30) == 0
    expected = {key: json.loads(value) for key, value in newest.items() if value is not None}
    first = bench.start(options={"in_flight": 3})
    bench.documents.wait_count(10)
    first.kill()
    sink = bench.start(options={"in_flight": 3})
    wait_until(lambda: bench.documents.found() == expected, seconds=60, what="the newest of each key")
    assert sink.stop() == 0
    # Everything once more, from the beginning: what is older changes nothing.
    again = bench.start(group=f"{bench.group}-again")
    wait_until(
        lambda: sum(committed_offsets(stack, f"{bench.group}-again", bench.topic)) == 2000, what="all read again"
    )
    assert bench.documents.found() == expected
    assert again.stop() == 0


def test_of_records_with_one_id_the_newest_stays_whoever_reads_them_again_and_dies(
    stack: Stack, nursery: Nursery
) -> None:
    """Kafka's times run backwards in the partition, as those of two producers may."""
    bench = Bench(stack, nursery, id="field:userName")
    now = int(time.time() * 1000)
    values = [event(number, userName="x") for number in range(40)]
    producer = Producer({"bootstrap.servers": stack.bootstrap_servers})
    for number, value in enumerate(values):
        producer.produce(bench.topic, value, partition=0, timestamp=now - 1000 * number)
    assert producer.flush(30) == 0
    newest = {"x": json.loads(values[-1])}
    sink = bench.start(options={"flush_records": 10})
    bench.wait_committed([40, -1001, -1001])
    assert sink.stop() == 0
    assert bench.documents.found() == newest
    for requests in range(3):
        fault = {"step": "bulk", "do": "kill_after", "number": requests}
        sink = bench.start(group=f"{bench.group}-{requests}", fault=fault, options={"flush_records": 10})
        sink.wait()
        assert bench.documents.found() == newest
    # One that goes on in the middle gives the records the same versions.
    produce(stack, bench.topic, [event(99, userName="x")], partition=0)
    sink = bench.start()
    bench.wait_committed([41, -1001, -1001])
    assert bench.documents.found() == {"x": json.loads(event(99, userName="x"))}
    assert sink.stop() == 0


def test_tombstones_may_be_ignored(stack: Stack, nursery: Nursery) -> None:
    bench = Bench(stack, nursery, tombstones="ignore")
    produce(stack, bench.topic, [event(0), None, event(2)], partition=0)
    sink = bench.start()
    bench.wait_committed([3, -1001, -1001])
    assert sorted(bench.documents.found()) == [f"{bench.topic}-0-0", f"{bench.topic}-0-2"]
    assert sink.stop() == 0
    assert "dead letter" not in sink.text.replace("0 dead letters", "")


# Clients that are let in, and servers that are none of ours


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one file."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", str(path.with_suffix(".crt"))]
    subprocess.run(["openssl", *arguments.split(), *names], check=True, capture_output=True)
    path.write_text(path.read_text() + path.with_suffix(".crt").read_text())
    return path


@pytest.mark.parametrize(
    ("auth", "header"),
    [({"api_key": "a2V5"}, "ApiKey a2V5"), ({"basic_auth": ["sink", "secret"]}, "Basic c2luazpzZWNyZXQ=")],
)
def test_tls_with_its_own_ca_and_credentials_and_a_host_that_is_away(
    bench: Bench, certificate: Path, auth: dict[str, Any], header: str
) -> None:
    bench.stream.produce(30)
    with HttpProxy(bench.stack.elasticsearch_url, authorization=header, certificate=certificate) as proxy:
        cluster = {
            "hosts": ["https://127.0.0.1:1", proxy.url],
            "ca_certs": str(certificate.with_suffix(".crt")),
            "request_timeout": 10,
        }
        sink = bench.start(elasticsearch={**cluster, **auth})
        bench.finish(sink)
        assert not proxy.spoilt
        bench.stream.produce(1)
        for wrong, told in (
            ({"api_key": "other"}, "answers 401"),
            ({**auth, "ca_certs": None}, "certificate is not trusted"),
        ):
            refused = bench.start(elasticsearch={**cluster, "hosts": [proxy.url], **wrong})
            assert refused.wait() == 1
            assert told in refused.text


def test_credentials_that_are_taken_back_stop_the_sink_loudly_and_lose_nothing(bench: Bench) -> None:
    bench.stream.produce(30)
    with HttpProxy(bench.stack.elasticsearch_url, lambda _, line: "403" if "_bulk" in line else "pass") as proxy:
        sink = bench.start(elasticsearch=proxy.url)
        assert sink.wait() == 1
        assert "answers 403: proxy_exception" in sink.text
        assert bench.committed() == [-1001] * 3
    bench.finish(bench.start())


def test_a_server_that_is_not_elasticsearch_stops_the_sink_with_a_clear_word(bench: Bench) -> None:
    with HttpProxy(bench.stack.webhdfs_url) as other:
        sink = bench.start(elasticsearch=other.url)
        assert sink.wait() == 1
    assert "the server is not Elasticsearch" in sink.text


def test_a_second_sigterm_while_elasticsearch_does_not_answer_loses_nothing(bench: Bench) -> None:
    with HttpProxy(bench.stack.elasticsearch_url, lambda _, line: "429" if "_bulk" in line else "pass") as proxy:
        sink = bench.start(elasticsearch=proxy.url)
        bench.stream.produce(30)
        sink.wait_for("failed (try 2")
        sink.signal(signal.SIGTERM)
        sink.wait_for("stores what was read")
        sink.signal(signal.SIGTERM)
        assert sink.wait() == 128 + signal.SIGTERM
    bench.finish(bench.start())
