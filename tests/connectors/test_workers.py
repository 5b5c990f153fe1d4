"""Workers run what the REST API says: shared evenly, changed within seconds, moved when one dies."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka_connect import KafkaConnect
from prometheus_client.parser import text_string_to_metric_families

from devstack.server import http_get
from devstack.stack import Stack
from tests.connectors.site import Connect, Site
from tests.support import make_topics, produce, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("connectors")]

SOON = 8.0
"""Seconds: a change takes effect everywhere."""


@pytest.fixture(scope="module")
def site(kafka: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Three workers."""
    with Site(kafka, tmp_path_factory.mktemp("site"), workers=3, session_seconds=3) as site:
        yield site


@pytest.fixture
def connect(site: Site) -> Iterator[Connect]:
    """Its REST API; what a test has made is removed."""
    yield site.connect
    for name in site.connect.get("/connectors"):
        site.connect.ask("DELETE", f"/connectors/{name}")


@pytest.fixture
def topic(kafka: Stack) -> str:
    """A topic of three partitions."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    make_topics(kafka, name)
    return name


def folder_sink(topic: str, path: Path, **config: Any) -> dict[str, Any]:
    """Files of 10 records; a killed task is missed after 2 s."""
    return {
        "connector.class": "sinks.folder",
        "topics": topic,
        "event": "json",
        "target.path": str(path),
        "options.flush_seconds": "0.5",
        "consumer.override.session.timeout.ms": 2000,
        "consumer.override.heartbeat.interval.ms": 500,
        **config,
    }


def stored(path: Path) -> list[int]:
    """The numbers of all records in the files that readers see."""
    files = [file for file in path.rglob("*.log") if "_sink" not in file.parts]
    return sorted(json.loads(line)["n"] for file in files for line in file.read_bytes().splitlines())


def records(numbers: range) -> list[bytes | None]:
    return [json.dumps({"n": number}).encode() for number in numbers]


def test_a_connector_is_run_changed_paused_stopped_and_deleted_within_seconds(
    kafka: Stack, connect: Connect, topic: str, site: Site
) -> None:
    path = site.folder / topic
    assert connect.create("one", folder_sink(topic, path)).status == 201
    connect.wait_for("one", "RUNNING", ["RUNNING"], seconds=SOON)
    produce(kafka, topic, records(range(30)))
    wait_until(lambda: stored(path) == list(range(30)), what="30 records")
    wait_until(lambda: connect.get("/connectors/one/topics") == {"one": {"topics": [topic]}}, what="its topic")

    connect.ask("PUT", "/connectors/one/pause")
    connect.wait_for("one", "PAUSED", ["PAUSED"], seconds=SOON)
    produce(kafka, topic, records(range(30, 40)))
    connect.ask("PUT", "/connectors/one/stop")
    connect.wait_for("one", "STOPPED", [], seconds=SOON)
    assert stored(path) == list(range(30))

    names = "{topic}-p{partition}-{start}-{end}.{ext}"
    changed = folder_sink(topic, path, **{"tasks.max": 3, "target.file_name": names})
    assert connect.ask("PUT", "/connectors/one/config", changed).status == 200
    connect.ask("PUT", "/connectors/one/resume")
    connect.wait_for("one", "RUNNING", ["RUNNING"] * 3, seconds=SOON)
    wait_until(lambda: list(path.glob(f"{topic}-p*")), what="files with the new names")
    assert connect.ask("DELETE", "/connectors/one").status == 204

    def ended() -> bool:
        ran = [worker.text for worker in site.workers if "one/0: " in worker.text]
        return all(text.rpartition("one/0: ")[2].startswith("has ended") for text in ran)

    wait_until(ended, seconds=SOON, what="the end of its tasks")


def test_a_connector_that_fails_says_why_and_the_others_go_on(
    kafka: Stack, connect: Connect, topic: str, site: Site
) -> None:
    blocked = site.folder / f"{topic}-file"
    blocked.write_text("no folder")
    connect.create("bad", folder_sink(topic, blocked))
    connect.create("good", folder_sink(topic, site.folder / topic))
    connect.wait_for("bad", "RUNNING", ["FAILED"])
    assert str(blocked) in connect.status("bad")["tasks"][0]["trace"]
    connect.wait_for("good", "RUNNING", ["RUNNING"])
    produce(kafka, topic, records(range(3)))
    wait_until(lambda: stored(site.folder / topic) == [0, 1, 2], what="the records of the good one")
    blocked.unlink()
    answer = connect.ask("POST", "/connectors/bad/restart?includeTasks=true&onlyFailed=true")
    assert (answer.status, answer.json["tasks"][0]["state"]) == (202, "RESTARTING")
    connect.wait_for("bad", "RUNNING", ["RUNNING"], seconds=SOON)


def test_workers_serve_the_metrics_of_their_tasks(kafka: Stack, connect: Connect, topic: str, site: Site) -> None:
    connect.create("counted", folder_sink(topic, site.folder / topic, **{"tasks.max": 3}))
    connect.wait_for("counted", "RUNNING", ["RUNNING"] * 3)
    for partition in range(3):
        produce(kafka, topic, records(range(10)), partition=partition)

    def total(name: str, **labels: str) -> float:
        answers = [http_get(port, "/metrics") or (0, b"") for port in site.metrics_ports]
        families = [family for _, text in answers for family in text_string_to_metric_families(text.decode())]
        samples = [one for family in families for one in family.samples if labels.items() <= one.labels.items()]
        return sum(one.value for one in samples if one.name == name)

    wait_until(lambda: total("sink_records_total", sink="counted") == 30, what="30 counted records")
    assert total("connector_tasks", connector="counted", state="RUNNING") == 3
    assert total("connector_worker_slots") == 60
    assert [http_get(port, "/healthz") for port in site.metrics_ports] == [(200, b'{\n  "healthy": true\n}\n')] * 3


def test_fifty_connectors_are_balanced_on_three_workers(kafka: Stack, connect: Connect, topic: str, site: Site) -> None:
    for number in range(50):
        config = folder_sink(topic, site.folder / f"{topic}-{number}")
        assert connect.create(f"c{number}", config).status == 201

    def all_run() -> bool:
        found = connect.get("/connectors?expand=status").values()
        return all(task["state"] == "RUNNING" for one in found for task in one["status"]["tasks"])

    wait_until(all_run, seconds=60, what="50 running connectors")
    found = connect.get("/connectors?expand=status").values()
    counts = Counter(task["worker_id"] for one in found for task in one["status"]["tasks"])
    assert sorted(counts.values()) == [16, 17, 17]


def test_the_clients_of_tasks_that_have_ended_are_closed(connect: Connect, topic: str, site: Site) -> None:
    def threads() -> int:
        return sum(len(list(Path(f"/proc/{worker.pid}/task").iterdir())) for worker in site.workers)

    before = threads()
    for number in range(6):
        assert connect.create(f"c{number}", folder_sink(topic, site.folder / f"{topic}-{number}")).status == 201
    for number in range(6):
        connect.wait_for(f"c{number}", "RUNNING", ["RUNNING"])
    running = threads()
    for number in range(6):
        connect.ask("DELETE", f"/connectors/c{number}")
    # What earlier tests have left may be closed meanwhile, too.
    wait_until(lambda: threads() <= before, what=f"{before} threads: there were {running} while the tasks ran")


def test_the_work_of_a_killed_worker_moves_and_each_record_is_stored_once(
    kafka: Stack, connect: Connect, topic: str, site: Site
) -> None:
    path = site.folder / topic
    connect.create("moved", folder_sink(topic, path, **{"tasks.max": 3}))
    connect.wait_for("moved", "RUNNING", ["RUNNING"] * 3)
    produce(kafka, topic, records(range(3_000)))
    wait_until(lambda: stored(path), what="the first file")
    victim = next(worker for worker in site.workers if worker.is_running())
    victim.kill()
    produce(kafka, topic, records(range(3_000, 6_000)))

    def moved() -> bool:
        tasks = connect.status("moved")["tasks"]
        return all(task["state"] == "RUNNING" and not task["worker_id"].endswith(f":{victim.pid}") for task in tasks)

    wait_until(moved, seconds=20, what="the tasks on the other workers")
    wait_until(lambda: len(stored(path)) >= 6_000, seconds=30, what="6,000 records")
    assert stored(path) == list(range(6_000))


def test_a_client_of_kafka_connect_works_with_ours(connect: Connect, topic: str, site: Site) -> None:
    client = KafkaConnect(url=connect.url)
    assert client.get_cluster_info()["version"] == "4.3.1"
    config = {key: str(value) for key, value in folder_sink(topic, site.folder / topic).items()}
    client.update_connector("theirs", config)
    connect.wait_for("theirs", "RUNNING", ["RUNNING"], seconds=SOON)
    assert client.list_connectors() == ["theirs"]
    assert client.list_connectors(pattern="the.*", state="RUNNING") == ["theirs"]
    assert client.get_connector("theirs")["type"] == "sink"
    assert client.get_connector_config("theirs") == {**config, "name": "theirs"}
    assert client.get_connector_status("theirs")["connector"]["state"] == "RUNNING"
    assert client.list_connector_tasks("theirs")[0]["id"] == {"connector": "theirs", "task": 0}
    client.pause_connector("theirs")
    connect.wait_for("theirs", "PAUSED", ["PAUSED"], seconds=SOON)
    client.resume_connector("theirs")
    connect.wait_for("theirs", "RUNNING", ["RUNNING"], seconds=SOON)
    client.restart_connector("theirs", include_tasks=True)
    assert client.validate_connector_config("sinks.folder", {**config, "name": "theirs"})["error_count"] == 0
    client.delete_connector("theirs")
    assert client.list_connectors() == []


def test_a_worker_that_is_told_to_stop_hands_its_work_over_and_each_record_is_stored_once(
    kafka: Stack, connect: Connect, topic: str, site: Site
) -> None:
    path = site.folder / topic
    late = {"options.flush_seconds": "60", "options.flush_records": "1000"}
    connect.create("handed", folder_sink(topic, path, **late))
    connect.wait_for("handed", "RUNNING", ["RUNNING"])
    produce(kafka, topic, records(range(300)))
    offsets = "/connectors/handed/offsets"
    pid = connect.status("handed")["tasks"][0]["worker_id"].rpartition(":")[2]
    (worker,) = (one for one in site.workers if str(one.pid) == pid)
    wait_until(lambda: ": reads " in worker.text.rpartition("handed/0: begins")[2], what="the first reading")
    assert worker.stop() == 0
    connect.wait_for("handed", "RUNNING", ["RUNNING"], seconds=20)
    assert connect.status("handed")["tasks"][0]["worker_id"].rpartition(":")[2] != pid
    connect.ask("PUT", "/connectors/handed/config", folder_sink(topic, path))  # what the first one had not read, soon
    wait_until(lambda: len(stored(path)) >= 300, what="300 records")
    connect.ask("PUT", "/connectors/handed/stop")
    connect.wait_for("handed", "STOPPED", [], seconds=SOON)
    wait_until(lambda: sum(one["offset"]["kafka_offset"] for one in connect.get(offsets)["offsets"]) == 300, what="all")
    assert stored(path) == list(range(300))
