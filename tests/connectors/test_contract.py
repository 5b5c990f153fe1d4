"""One contract for our REST API and a real worker of Kafka Connect; where they differ on purpose, a test says why."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devstack.fetch import fetch_connect
from devstack.kafka_connect import connect_server
from devstack.server import Server
from devstack.stack import Stack
from tests.connectors.site import Answer, Connect, Site
from tests.support import make_topics, produce, read_topic, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("connectors")]

SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"


@dataclass
class Side:
    """One of the two. folder: where its connectors may use files."""

    name: str
    connect: Connect
    folder: Path

    @property
    def is_ours(self) -> bool:
        """Whether it is not the real one."""
        return self.name == "ours"

    def stored(self, file: Path) -> list[str]:
        """The lines that a file sink has stored: ours keeps a file for each partition, in a folder of that name."""
        files = file.glob("*") if self.is_ours else [file]
        return sorted(line for one in files if one.is_file() for line in one.read_text().splitlines())


@pytest.fixture(scope="module")
def theirs(kafka: Stack) -> Iterator[Server]:
    """A real worker. It is started before ours, and comes up while the tests run on ours."""
    fetch_connect(kafka.config.home)
    server = connect_server(kafka.config, kafka.bootstrap_servers)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module", params=["ours", "kafka-connect"])
def side(request: Any, kafka: Stack, theirs: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """Each of the two, ready."""
    folder = tmp_path_factory.mktemp("side")
    if request.param == "kafka-connect":
        theirs.wait_ready(120)
        yield Side("kafka-connect", Connect(theirs.address), folder)
        return
    with Site(kafka, folder, poll_seconds=0.1) as site:
        yield Side("ours", site.connect, folder)


@pytest.fixture
def connect(side: Side) -> Iterator[Connect]:
    """What a test has made is removed."""
    yield side.connect
    for name in side.connect.get("/connectors"):
        side.connect.ask("DELETE", f"/connectors/{name}")


@pytest.fixture
def topic(kafka: Stack) -> str:
    name = f"t-{uuid.uuid4().hex[:8]}"
    make_topics(kafka, name, partitions=1)
    return name


def source(side: Side, topic: str, /, **config: Any) -> dict[str, Any]:
    return {"connector.class": SOURCE, "file": str(side.folder / f"{topic}.txt"), "topic": topic, **config}


def sink(side: Side, topic: str, **config: Any) -> dict[str, Any]:
    return {"connector.class": SINK, "file": str(side.folder / f"{topic}-out.txt"), "topics": topic, **config}


def error(answer: Answer) -> tuple[int, Any]:
    assert answer.json.keys() == {"error_code", "message"}
    assert answer.json["error_code"] == answer.status
    return answer.status, answer.json["message"]


def test_the_root_tells_versions_and_the_kafka_cluster(connect: Connect) -> None:
    answer = connect.get("/")
    assert answer.keys() == {"version", "commit", "kafka_cluster_id"}
    assert (answer["version"], answer["kafka_cluster_id"]) == ("4.3.1", "ZGV2c3RhY2stY2x1c3Rlcg")


def test_a_file_goes_through_kafka_into_a_file(kafka: Stack, side: Side, connect: Connect, topic: str) -> None:
    path = side.folder / f"{topic}.txt"
    path.write_text("apple,3\npear,4\n")
    made = connect.create(f"{topic}-in", source(side, topic))
    assert made.status == 201
    assert made.headers["Location"] == f"{connect.url}/connectors/{topic}-in"
    assert made.json["config"] == {**source(side, topic), "name": f"{topic}-in"}
    assert (made.json["name"], made.json["type"]) == (f"{topic}-in", "source")
    assert connect.create(f"{topic}-out", sink(side, topic)).status == 201
    connect.wait_for(f"{topic}-in", "RUNNING", ["RUNNING"])
    connect.wait_for(f"{topic}-out", "RUNNING", ["RUNNING"])
    assert [message.value() for message in read_topic(kafka, topic, 2)] == [b"apple,3", b"pear,4"]
    with path.open("a") as file:
        file.write("fig,5\n")
    out = side.folder / f"{topic}-out.txt"
    wait_until(lambda: side.stored(out) == ["apple,3", "fig,5", "pear,4"], what="three lines")
    wait_until(
        lambda: connect.get(f"/connectors/{topic}-in/topics") == {f"{topic}-in": {"topics": [topic]}}, what="the topic"
    )
    wait_until(
        lambda: connect.get(f"/connectors/{topic}-out/topics") == {f"{topic}-out": {"topics": [topic]}},
        what="the topic",
    )


def test_info_status_and_tasks_have_one_shape(side: Side, connect: Connect, topic: str) -> None:
    config = sink(side, topic, **{"tasks.max": "2"})
    connect.create("one", config)
    connect.wait_for("one", "RUNNING", ["RUNNING"] * 2)
    named = {**config, "name": "one"}
    ids = [{"connector": "one", "task": 0}, {"connector": "one", "task": 1}]
    assert connect.get("/connectors/one") == {"name": "one", "config": named, "tasks": ids, "type": "sink"}
    assert connect.get("/connectors/one/config") == named
    tasks = connect.get("/connectors/one/tasks")
    assert [task["id"] for task in tasks] == ids
    task_class = {"task.class": "org.apache.kafka.connect.file.FileStreamSinkTask"}
    assert tasks[0]["config"] == {**named, **task_class}
    # A task of ours tells by its trace what it waits for, such as a topic that was just made.
    wait_until(lambda: all("trace" not in task for task in connect.status("one")["tasks"]), what="both to go on")
    status = connect.status("one")
    assert status.keys() == {"name", "connector", "tasks", "type"}
    assert status["connector"].keys() == {"state", "worker_id", "version"}
    assert status["tasks"][1].keys() == {"id", "state", "worker_id", "version"}
    assert connect.get("/connectors/one/tasks/1/status") == status["tasks"][1]
    assert connect.get("/connectors") == ["one"]
    info = connect.get("/connectors/one")
    assert connect.get("/connectors?expand=status&expand=info") == {"one": {"status": status, "info": info}}
    assert connect.get("/connectors?expand=nothing") == {"one": {}}


def test_settings_are_replaced_and_patched(side: Side, connect: Connect, topic: str) -> None:
    made = connect.ask("PUT", "/connectors/one/config", source(side, topic))
    assert (made.status, made.headers["Location"]) == (201, f"{connect.url}/connectors/one")
    changed = connect.ask("PUT", "/connectors/one/config", source(side, topic, **{"batch.size": 7}))
    assert (changed.status, changed.json["config"]["batch.size"]) == (200, "7")
    patched = connect.ask("PATCH", "/connectors/one/config", {"batch.size": None, "tasks.max": 1})
    assert patched.status == 200
    assert patched.json["config"] == {**source(side, topic), "tasks.max": "1", "name": "one"}
    assert error(connect.ask("PATCH", "/connectors/one/config", {"topic": None}))[0] == 400


def test_pause_resume_stop_restart_and_delete(side: Side, connect: Connect, topic: str) -> None:
    (side.folder / f"{topic}.txt").write_text("")
    connect.create("one", source(side, topic))
    connect.wait_for("one", "RUNNING", ["RUNNING"])
    for verb, status, state, tasks in (
        ("pause", 202, "PAUSED", ["PAUSED"]),
        ("resume", 202, "RUNNING", ["RUNNING"]),
        ("stop", 204, "STOPPED", []),
        ("resume", 202, "RUNNING", ["RUNNING"]),
    ):
        answer = connect.ask("PUT", f"/connectors/one/{verb}")
        assert (answer.status, answer.body) == (status, b"")
        connect.wait_for("one", state, tasks)
    assert connect.ask("POST", "/connectors/one/restart").status == 204
    connect.wait_for("one", "RUNNING", ["RUNNING"])
    answer = connect.ask("POST", "/connectors/one/restart?includeTasks=true")
    assert (answer.status, [task["state"] for task in answer.json["tasks"]]) == (202, ["RESTARTING"])
    connect.wait_for("one", "RUNNING", ["RUNNING"])
    assert connect.ask("POST", "/connectors/one/tasks/0/restart").status == 204
    answer = connect.ask("POST", "/connectors/one/restart?includeTasks=true&onlyFailed=true")
    assert answer.status == 202
    deleted = connect.ask("DELETE", "/connectors/one")
    assert (deleted.status, deleted.body) == (204, b"")
    assert error(connect.ask("GET", "/connectors/one")) == (404, "Connector one not found")


def test_a_task_that_fails_says_why(side: Side, connect: Connect, topic: str) -> None:
    blocked = side.folder / f"{topic}-blocked"
    blocked.write_text("")
    # A folder stands in the way of a file, and a file in the way of our folder.
    path = blocked / "out.txt"
    connect.create("bad", {**sink(side, topic), "file": str(path)})
    connect.wait_for("bad", "RUNNING", ["FAILED"])
    task = connect.status("bad")["tasks"][0]
    assert task.keys() == {"id", "state", "worker_id", "version", "trace"}
    assert str(blocked) in task["trace"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/connectors/none", 404, "Connector none not found"),
        ("GET", "/connectors/none/config", 404, "Connector none not found"),
        ("GET", "/connectors/none/tasks", 404, "Connector none not found"),
        ("GET", "/connectors/none/offsets", 404, "Connector none not found"),
        ("DELETE", "/connectors/none", 404, "Connector none not found"),
        ("DELETE", "/connectors/none/offsets", 404, "Connector none not found"),
        ("GET", "/connectors/none/status", 404, "No status found for connector none"),
        ("GET", "/connectors/none/tasks/0/status", 404, "No status found for task none-0"),
        ("PUT", "/connectors/none/pause", 404, "Unknown connector none"),
        ("PUT", "/connectors/none/resume", 404, "Unknown connector none"),
        ("PUT", "/connectors/none/stop", 404, "Unknown connector none"),
        ("POST", "/connectors/none/restart", 404, "Unknown connector: none"),
        ("POST", "/connectors/none/tasks/0/restart", 404, "Unknown connector: none"),
        ("GET", "/connector-plugins/NoSuch/config", 404, "Unknown plugin NoSuch."),
        ("GET", "/nothing", 404, "HTTP 404 Not Found"),
        ("PUT", "/connectors", 405, "HTTP 405 Method Not Allowed"),
        ("DELETE", "/", 405, "HTTP 405 Method Not Allowed"),
    ],
)
def test_what_is_not_there_has_one_answer(connect: Connect, method: str, path: str, status: int, message: str) -> None:
    assert error(connect.ask(method, path)) == (status, message)


def test_topics_of_what_is_not_there_are_none(connect: Connect) -> None:
    assert connect.get("/connectors/none/topics") == {"none": {"topics": []}}
    assert connect.ask("PUT", "/connectors/none/topics/reset").status == 202


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks.max": "0"}, "Invalid value 0 for configuration tasks.max: Value must be at least 1"),
        ({"tasks.max": "abc"}, "Invalid value abc for configuration tasks.max: Not a number of type INT"),
        ({"another": None}, "Null value can not be supplied as the configuration value."),
    ],
)
def test_wrong_settings_are_explained_alike(
    side: Side, connect: Connect, topic: str, changes: dict[str, Any], message: str
) -> None:
    status, text = error(connect.create("one", source(side, topic, **changes)))
    assert status == 400
    assert text.startswith("Connector configuration is invalid and contains the following ")
    assert message in text.splitlines()
    assert connect.get("/connectors") == []


def test_a_missing_setting_is_named_alike(connect: Connect) -> None:
    status, text = error(connect.create("one", {"connector.class": SOURCE}))
    assert status == 400
    assert 'Missing required configuration "topic" which has no default value.' in text.splitlines()


def test_an_unknown_class_is_refused_alike(connect: Connect) -> None:
    status, text = error(connect.create("one", {"connector.class": "NoSuch"}))
    assert status == 400
    assert text.startswith("Failed to find any class that implements Connector and which name matches NoSuch")


def test_two_names_for_one_connector_are_refused_alike(side: Side, connect: Connect, topic: str) -> None:
    answer = connect.create("one", source(side, topic, name="two"))
    assert error(answer) == (400, "Connector name configuration (two) doesn't match connector name in the URL (one)")


def test_a_name_that_is_taken_is_a_conflict(side: Side, connect: Connect, topic: str) -> None:
    connect.create("one", source(side, topic))
    assert error(connect.create("one", source(side, topic))) == (409, "Connector one already exists")


def test_validate_has_one_shape(side: Side, connect: Connect) -> None:
    config = {"connector.class": "FileStreamSource", "name": "one", "file": "/tmp/x", "tasks.max": "0"}
    answer = connect.ask("PUT", "/connector-plugins/FileStreamSource/config/validate", config)
    assert answer.status == 200
    assert answer.json.keys() == {"name", "error_count", "groups", "configs"}
    assert (answer.json["name"], answer.json["error_count"]) == ("FileStreamSource", 2)
    values = {one["value"]["name"]: one["value"] for one in answer.json["configs"]}
    assert values["topic"] == {
        "name": "topic",
        "value": None,
        "recommended_values": [],
        "errors": ['Missing required configuration "topic" which has no default value.'],
        "visible": True,
    }
    assert values["tasks.max"]["errors"] == ["Invalid value 0 for configuration tasks.max: Value must be at least 1"]
    definition = next(one["definition"] for one in answer.json["configs"] if one["value"]["name"] == "topic")
    assert definition.keys() == {
        *("name", "type", "required", "default_value", "importance", "documentation", "group", "order_in_group"),
        *("width", "display_name", "dependents"),
    }
    other = connect.ask("PUT", "/connector-plugins/FileStreamSink/config/validate", config)
    assert error(other) == (
        400,
        "Included connector type FileStreamSource does not match request type FileStreamSink",
    )


def test_plugins_have_one_shape(connect: Connect) -> None:
    plugins = {one["class"]: one for one in connect.get("/connector-plugins")}
    assert plugins[SINK] == {"class": SINK, "type": "sink", "version": "4.3.1"}
    assert plugins[SOURCE] == {"class": SOURCE, "type": "source", "version": "4.3.1"}
    names = [one["name"] for one in connect.get("/connector-plugins/FileStreamSource/config")]
    assert {"name", "connector.class", "tasks.max", "file", "topic", "batch.size"} <= set(names)


def test_offsets_move_while_the_connector_is_stopped(kafka: Stack, side: Side, connect: Connect, topic: str) -> None:
    produce(kafka, topic, [b"%d" % number for number in range(5)], partition=0)
    connect.create(topic, sink(side, topic))
    out = side.folder / f"{topic}-out.txt"
    wait_until(lambda: len(side.stored(out)) == 5, what="5 lines")
    place = {"kafka_topic": topic, "kafka_partition": 0}
    at = [{"partition": place, "offset": {"kafka_offset": 5}}]
    wait_until(lambda: connect.get(f"/connectors/{topic}/offsets")["offsets"] == at, what="the offsets")
    back = {"offsets": [{"partition": place, "offset": {"kafka_offset": 0}}]}
    status, text = error(connect.ask("PATCH", f"/connectors/{topic}/offsets", back))
    assert (status, text.partition(".")[0]) == (
        400,
        "Connectors must be in the STOPPED state before their offsets can be modified",
    )
    connect.ask("PUT", f"/connectors/{topic}/stop")
    connect.wait_for(topic, "STOPPED", [])
    answer = connect.ask("PATCH", f"/connectors/{topic}/offsets", back)
    assert (answer.status, answer.json) == (
        200,
        {"message": "The offsets for this connector have been altered successfully"},
    )
    assert connect.get(f"/connectors/{topic}/offsets") == back
    connect.ask("PUT", f"/connectors/{topic}/resume")
    # Kafka Connect stores the records a second time. Ours puts the file aside: readers see each record once.
    wait_until(lambda: connect.get(f"/connectors/{topic}/offsets")["offsets"] == at, what="the offsets")
    assert side.stored(out) == sorted(["0", "1", "2", "3", "4"] * (1 if side.is_ours else 2))
    connect.ask("PUT", f"/connectors/{topic}/stop")
    connect.wait_for(topic, "STOPPED", [])
    answer = connect.ask("DELETE", f"/connectors/{topic}/offsets")
    assert (answer.status, answer.json) == (
        200,
        {"message": "The offsets for this connector have been reset successfully"},
    )
    # Kafka Connect forgets the offsets. Ours sets them to the beginning, for its store says where a sink goes on.
    assert connect.get(f"/connectors/{topic}/offsets")["offsets"] == (back["offsets"] if side.is_ours else [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"offsets": []}, "Partitions / offsets need to be provided for an alter offsets request"),
        ({}, "Partitions / offsets need to be provided for an alter offsets request"),
        (
            {"offsets": [{"partition": {"topic": "x"}, "offset": None}]},
            "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'",
        ),
        (
            {"offsets": [{"partition": {"kafka_topic": "x", "kafka_partition": 0}, "offset": {"x": 1}}]},
            "The offset for a sink connector should either be null or contain the key 'kafka_offset'",
        ),
        (
            {"offsets": [{"partition": {"kafka_topic": "x", "kafka_partition": "a"}, "offset": None}]},
            "Failed to parse the following Kafka partition value in the provided offsets: 'a'. Partition values for "
            "sink connectors need to be integers.",
        ),
    ],
)
def test_offsets_that_are_none_are_refused_alike(
    side: Side, connect: Connect, topic: str, body: Any, message: str
) -> None:
    connect.create("out", sink(side, topic))
    connect.ask("PUT", "/connectors/out/stop")
    connect.wait_for("out", "STOPPED", [])
    assert error(connect.ask("PATCH", "/connectors/out/offsets", body)) == (400, message)


def test_a_source_begins_anew_when_its_offsets_are_reset(
    kafka: Stack, side: Side, connect: Connect, topic: str
) -> None:
    (side.folder / f"{topic}.txt").write_text("a\nb\n")
    connect.create(topic, source(side, topic))
    read_topic(kafka, topic, 2)
    wait_until(lambda: connect.get(f"/connectors/{topic}/offsets")["offsets"], what="its positions")
    assert connect.get(f"/connectors/{topic}/offsets")["offsets"][0].keys() == {"partition", "offset"}
    connect.ask("PUT", f"/connectors/{topic}/stop")
    connect.wait_for(topic, "STOPPED", [])
    assert connect.ask("DELETE", f"/connectors/{topic}/offsets").status == 200
    # Kafka Connect shows what it has just removed for a moment: with null as the offset.
    wait_until(lambda: connect.get(f"/connectors/{topic}/offsets") == {"offsets": []}, what="no positions")
    connect.ask("PUT", f"/connectors/{topic}/resume")
    values = [message.value() for message in read_topic(kafka, topic, 4)]
    assert values == [b"a", b"b", b"a", b"b"]


@pytest.mark.parametrize("body", [b"{bad", b"", b"[]", b'{"name": "x", "config": {"a": {}}}', b'{"unknown": 1}'])
def test_a_body_that_is_none_is_refused_with_400_where_kafka_connect_answers_500(
    side: Side, connect: Connect, body: bytes
) -> None:
    # 500 would say that the server is to blame, and programs would ask again.
    assert error(connect.ask("POST", "/connectors", raw=body))[0] == (400 if side.is_ours else 500)


def test_a_setting_without_effect_is_named_by_ours_alone(side: Side, connect: Connect, topic: str) -> None:
    # Kafka Connect only logs it.
    answer = connect.create("one", source(side, topic, **{"no.such.setting": 1}))
    assert answer.status == 201
    assert answer.headers.get("X-Ignored-Settings") == ("no.such.setting" if side.is_ours else None)
