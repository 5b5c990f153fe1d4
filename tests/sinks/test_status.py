"""What a sink tells of itself: states, health, lag and counts, read as an operator reads them."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from elasticsearch import Elasticsearch

from sinks.elasticsearch.actions import Actions, Versions
from sinks.elasticsearch.names import IndexNames
from sinks.records import Batch, Columns, Partition
from sinks.reporting.metrics import SinkMetrics, StateCollector
from sinks.reporting.states import MEMORY, OPERATOR, SinkStatus, TaskStatus
from tests.sinks.fake_elasticsearch import partition_of
from tests.support import event
from worker.errors import Cancelled, Retriable
from worker.monitor import monitor_app
from worker.retry import Backoff, Retry

PARTITION = Partition("clicks", 1)
AWAY = Retriable("connection refused", reason="unreachable")
LABELS = {"sink": "hdfs", "topic": "clicks", "partition": "1"}


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


WORK = object()


class Sink:
    """A sink of one task and one partition, as it is before its servers are there."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = SinkMetrics("hdfs")
        self.buffered = 0
        self.task = TaskStatus("hdfs/0", self.metrics, self.clock)
        self.partition = self.task.assign(PARTITION)
        self.status = SinkStatus("hdfs", [self.task], lambda: self.buffered, self.clock)
        self.metrics.registry.register(StateCollector(self.status.report))
        self._app = monitor_app(self.metrics.registry, self.status.report)

    def get(self, path: str) -> tuple[str, bytes]:
        """The status line and body of an HTTP answer."""
        answers = []
        body = b"".join(
            self._app({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda status, headers: answers.append(status))
        )
        return answers[0], body

    def state(self) -> tuple[str, float, str, int]:
        """The partition's state, its beginning, why, and how many tries."""
        (partition,) = self.status.report().partitions
        return partition.state, partition.since.timestamp(), partition.reason, partition.tries

    def sample(self, name: str, **labels: str) -> float | None:
        """The value of a metric."""
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def sink() -> Sink:
    return Sink()


def batch(count: int) -> Batch:
    filled = Batch(PARTITION, 0, 0, opened_at=0.0)
    filled.add(Columns(range(count), [event(n) for n in range(count)], [0] * count), {})
    return filled


def test_a_partition_is_in_one_state_since_a_moment(sink: Sink) -> None:
    assert sink.state() == ("opening", 1_000, "", 0)
    sink.clock.now = 1_001
    sink.partition.running()
    assert sink.state() == ("running", 1_001, "", 0)
    sink.clock.now = 1_002
    sink.partition.paused(MEMORY)
    assert sink.state() == ("paused", 1_002, "memory", 0)
    for _ in range(2):
        sink.clock.now += 10
        sink.partition.backing_off(WORK, "uploading 0-9", AWAY)
    assert sink.state() == ("backing off", 1_012, "uploading 0-9: connection refused", 2)
    sink.clock.now = 1_030
    sink.partition.goes_on(WORK)
    assert sink.state() == ("paused", 1_030, "memory", 0)
    assert sink.sample("sink_pauses_total", **LABELS) == 1
    assert sink.sample("sink_partition_state", **LABELS, state="paused") == 1
    assert sink.sample("sink_partition_state", **LABELS, state="backing off") == 0


def test_a_partition_backs_off_until_the_last_of_its_steps_works(sink: Sink) -> None:
    sink.partition.running()
    sink.partition.backing_off(WORK, "bulk 1", AWAY)
    sink.clock.now = 1_005
    sink.partition.backing_off(object(), "bulk 2", AWAY)
    assert sink.state() == ("backing off", 1_000, "bulk 1: connection refused", 1)
    sink.partition.goes_on(WORK)
    assert sink.state() == ("backing off", 1_005, "bulk 2: connection refused", 1)


def test_an_operators_pause_is_told_apart_from_one_for_memory(sink: Sink) -> None:
    sink.partition.running()
    sink.partition.paused(OPERATOR)
    assert sink.state() == ("paused", 1_000, "operator", 0)
    sink.partition.backing_off(WORK, "bulk 1", AWAY)
    (partition,) = sink.status.report().partitions
    assert (partition.state, partition.held) == ("backing off", True)
    assert sink.sample("sink_pauses_total", **LABELS) == 0


def test_recent_errors_and_writes_are_told_also_when_the_partition_has_moved(sink: Sink) -> None:
    sink.partition.running()
    for _ in range(2):
        sink.partition.backing_off(WORK, "bulk 1", AWAY)
    sink.clock.now = 1_007
    sink.partition.goes_on(WORK)
    sink.partition.stored(batch(3))
    (partition,) = sink.status.report().partitions
    assert (partition.records, partition.last_write and partition.last_write.timestamp()) == (3, 1_007)
    sink.task.leave(PARTITION)
    report = sink.status.report()
    assert report.records == 3
    assert [(error.moment.timestamp(), error.where, error.text) for error in report.tasks[0].errors] == [
        (1_000, "clicks-1", "bulk 1: connection refused")
    ]


def test_retries_are_shown_and_counted_by_reason(sink: Sink) -> None:
    errors = [Retriable("busy", reason="429"), Retriable("busy", reason="429"), AWAY]
    seen = []

    def action() -> None:
        seen.append(sink.state()[0])
        if errors:
            raise errors.pop(0)

    Retry("task", Backoff(0.001, 0.001), threading.Event(), sink.partition)("bulk", action)
    assert seen == ["opening", *["backing off"] * 3]
    assert sink.state()[0] == "opening"
    assert sink.sample("sink_retries_total", **LABELS, reason="429") == 2
    assert sink.sample("sink_retries_total", **LABELS, reason="unreachable") == 1


def test_a_given_up_step_backs_off_no_longer(sink: Sink) -> None:
    given_up = threading.Event()

    def action() -> None:
        given_up.set()
        raise AWAY

    with pytest.raises(Cancelled):
        Retry("task", Backoff(100, 100), given_up, sink.partition)("bulk", action)
    assert sink.state()[0] == "opening"


def test_healthz_tells_which_partition_has_backed_off_for_some_seconds(sink: Sink) -> None:
    sink.partition.running()
    sink.partition.backing_off(WORK, "uploading 0-9", AWAY)
    assert sink.get("/healthz")[0] == "200 OK"  # one failed try is no outage
    sink.clock.now += 5
    status, body = sink.get("/healthz")
    assert status == "503 Service Unavailable"
    health = json.loads(body)
    assert health["healthy"] is False
    assert health["tasks"] == []
    (partition,) = health["partitions"]
    assert (partition["topic"], partition["partition"], partition["state"]) == ("clicks", 1, "backing off")
    assert partition["reason"] == "uploading 0-9: connection refused"
    assert partition["since"] == "1970-01-01T00:16:40Z"
    assert sink.sample("sink_healthy", sink="hdfs") == 0
    sink.partition.goes_on(WORK)
    status, body = sink.get("/healthz")
    assert (status, json.loads(body)) == ("200 OK", {"healthy": True})


def test_a_failed_task_is_shown_until_the_process_ends(sink: Sink) -> None:
    sink.partition.running()
    sink.task.failed(ValueError("offset 5 is not in Kafka"))
    sink.task.leave(PARTITION)
    status, body = sink.get("/healthz")
    assert status.startswith("503")
    (task,) = json.loads(body)["tasks"]
    assert (task["task"], task["state"], task["reason"]) == ("hdfs/0", "failed", "offset 5 is not in Kafka")
    assert sink.state() == ("failed", 1_000, "offset 5 is not in Kafka", 0)


def test_kafka_away_is_unhealthy_even_when_no_partition_is_left(sink: Sink) -> None:
    sink.task.leave(PARTITION)
    sink.task.backing_off("kafka", "Kafka is away: timed out")
    sink.clock.now += 5
    status, body = sink.get("/healthz")
    assert status.startswith("503")
    (task,) = json.loads(body)["tasks"]
    assert (task["task"], task["state"], task["reason"]) == ("hdfs/0", "backing off", "Kafka is away: timed out")
    sink.task.goes_on("kafka")
    assert sink.get("/healthz")[0] == "200 OK"


def test_a_partition_that_was_given_up_is_not_shown(sink: Sink) -> None:
    sink.task.leave(PARTITION)
    assert sink.status.report().partitions == []
    assert sink.sample("sink_lag_records", **LABELS) is None


@pytest.mark.parametrize(
    ("stored", "committed", "end", "lag"),
    [
        (7, 5, 10, 3),
        (None, 5, 10, 5),  # not open yet: Kafka knows what was stored before
        (None, None, 10, None),  # nothing was ever stored: that is not a lag of 0
        (7, 7, None, None),
        (7, 7, -1001, None),  # librdkafka's word for unknown
        (12, 12, 10, 0),  # the end is known a little late
    ],
)
def test_lag_is_what_is_not_stored_and_none_while_that_is_unknown(
    sink: Sink, stored: int | None, committed: int | None, end: int | None, lag: int | None
) -> None:
    sink.partition.progress(position=9, stored=stored, committed=committed, end=end)
    (partition,) = json.loads(sink.get("/status")[1])["partitions"]
    assert partition["lag"] == lag
    assert (partition["position"], partition["stored"], partition["committed"]) == (9, stored, committed)
    assert sink.sample("sink_lag_records", **LABELS) == lag


def test_the_end_is_remembered_while_it_can_not_be_asked(sink: Sink) -> None:
    sink.partition.progress(position=9, stored=7, committed=7, end=10)
    sink.partition.progress(position=9, stored=8, committed=8, end=None)
    assert sink.status.report().partitions[0].lag == 2


def test_metrics_are_prometheus_text(sink: Sink) -> None:
    sink.partition.stored(batch(3))
    sink.buffered = 500
    status, body = sink.get("/metrics")
    assert status == "200 OK"
    lines = body.decode().splitlines()
    assert 'sink_records_total{partition="1",sink="hdfs",topic="clicks"} 3.0' in lines
    assert 'sink_fenced_total{partition="1",sink="hdfs",topic="clicks"} 0.0' in lines
    assert 'sink_dead_letters_total{partition="1",reason="invalid",sink="hdfs",topic="clicks"} 0.0' in lines
    assert 'sink_buffered_bytes{sink="hdfs"} 500.0' in lines
    assert sink.sample("sink_record_bytes_total", **LABELS) == sum(len(event(n)) for n in range(3))


def test_another_path_is_answered_404(sink: Sink) -> None:
    assert sink.get("/")[0] == "404 Not Found"


class BusyElasticsearch:
    """Answers bulk requests by a script: for each, the status of each document, or one status for all."""

    def __init__(self, *answers: list[int] | int) -> None:
        remaining = list(answers)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                answer = remaining.pop(0)
                statuses = answer if isinstance(answer, list) else []
                items = [
                    {"index": {"status": s, **({"error": {"type": "t", "reason": "r"}} if s >= 300 else {})}}
                    for s in statuses
                ]
                body = json.dumps({"errors": any(s >= 300 for s in statuses), "items": items}).encode()
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=9")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_PUT

            def log_message(self, *_: object) -> None: ...

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def busy() -> Iterator[BusyElasticsearch]:
    server = BusyElasticsearch(429, [201, 503, 400, 503], [201, 503, 400, 503], [201, 201])
    yield server
    server.close()


def test_bulk_requests_count_documents_and_retries_by_status(sink: Sink, busy: BusyElasticsearch) -> None:
    client = Elasticsearch(busy.url, max_retries=0)
    actions = Actions(IndexNames("clicks", time="timestamp"))
    retry = Retry("task", Backoff(0.001, 0.001), threading.Event(), sink.partition)
    partition = partition_of(client, actions=actions, versions=Versions(PARTITION), metrics=sink.metrics)
    with sink.metrics.flush():
        rejected = retry.run(partition.store([batch(4)]))
    client.close()
    assert [(letter.record.offset, letter.kind) for letter in rejected] == [(2, "refused")]
    assert sink.sample("sink_documents_total", **LABELS) == 3
    assert sink.sample("sink_retries_total", **LABELS, reason="429") == 1
    assert sink.sample("sink_retries_total", **LABELS, reason="503") == 1
    # Those that were answered: the first one was turned away, the third one asks for each document of the second.
    assert sink.sample("sink_bulk_seconds_count", sink="hdfs") == 3
    assert sink.sample("sink_flush_seconds_count", sink="hdfs") == 1
    assert sink.sample("sink_in_flight", sink="hdfs") == 0


HDFS = {"kind": "hdfs", "topics": ["t"], "target": {"path": "/data/t"}}


@pytest.mark.parametrize("port", [0, 65536, -1])
def test_a_port_that_is_none_is_named(port: int) -> None:
    with (
        override_settings(SINKS={"hdfs": HDFS}),
        pytest.raises(CommandError, match=rf"--metrics-port\) is {port}; it must be between 1 and 65535"),
    ):
        call_command("run_hdfs_sink", metrics_port=port)


def test_a_port_that_is_taken_is_named_at_start(busy: BusyElasticsearch) -> None:
    port = int(busy.url.rpartition(":")[2])
    with (
        override_settings(SINKS={"hdfs": {**HDFS, "metrics_port": port}}),
        pytest.raises(
            CommandError, match=rf"SINKS\['hdfs'\]: metrics_port .*: can't listen on 127\.0\.0\.1:{port}: Address"
        ),
    ):
        call_command("run_hdfs_sink")
