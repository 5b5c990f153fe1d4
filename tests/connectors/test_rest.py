"""The REST API of connectors, without workers: what it makes, changes and refuses."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from connectors import services
from connectors.audit import audits, register_audit
from connectors.conf import connectors_settings
from connectors.models import Connector, ConnectorTask, Worker
from connectors.reports import TaskStatus, WorkerReport
from connectors.validation import checked
from connectors.views import MOST_BYTES
from pipeline.budget import PLACES
from tests.connectors.conftest import user_with
from worker.clock import database_now

pytestmark = pytest.mark.django_db

FOLDER = {
    "connector.class": "sinks.folder",
    "topics": "a,b",
    "target.path": "/tmp/files",
    "event": "json",
    "tasks.max": "2",
}


def create(client: APIClient, connector: str = "one", **config: Any) -> Any:
    return client.post("/connect/connectors", {"name": connector, "config": {**FOLDER, **config}})


def test_create_answers_201_with_its_address_and_info(client: APIClient) -> None:
    answer = create(client)
    assert answer.status_code == 201
    assert answer.headers["Location"] == "http://testserver/connect/connectors/one"
    assert answer.json() == {
        "name": "one",
        "config": {**FOLDER, "name": "one"},
        "tasks": [{"connector": "one", "task": 0}, {"connector": "one", "task": 1}],
        "type": "sink",
    }


def test_a_second_one_of_the_name_is_a_conflict(client: APIClient) -> None:
    create(client)
    answer = create(client)
    assert (answer.status_code, answer.json()) == (409, {"error_code": 409, "message": "Connector one already exists"})


def test_a_name_of_the_settings_is_a_conflict(client: APIClient) -> None:
    assert create(client, "hdfs").status_code == 409


def test_two_connectors_that_would_store_the_same_are_refused(client: APIClient) -> None:
    create(client)
    answer = create(client, "two")
    assert answer.status_code == 400
    assert "target.path" in answer.json()["message"]


def test_numbers_and_truth_values_become_texts(client: APIClient) -> None:
    create(client, **{"tasks.max": 2, "x": True, "y": 1.5})
    config = client.get("/connect/connectors/one/config").json()
    assert (config["tasks.max"], config["x"], config["y"]) == ("2", "true", "1.5")


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"tasks.max": "0"}, "Invalid value 0 for configuration tasks.max: Value must be at least 1"),
        ({"tasks.max": "abc"}, "Invalid value abc for configuration tasks.max: Not a number of type INT"),
        ({"topics": ""}, "Must configure one of topics or topics.regex"),
        ({"topics.regex": "a.*"}, "topics.regex"),
        ({"transforms": "x"}, "transformations are not supported"),
        ({"value.converter": "io.confluent.connect.avro.AvroConverter"}, "configuration value.converter"),
        ({"target.path": "/etc"}, "connectors may use files and folders"),
        ({"target.path": "/tmp/../etc"}, "must be written without"),
        ({"options.flush_records": "0"}, "options.flush_records"),
        ({"name": "other"}, "Connector name configuration (other) doesn't match connector name in the URL (one)"),
        ({"connector.class": "NoSuch"}, "Failed to find any class"),
        ({"topics": None}, "Null value can not be supplied"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(client: APIClient, config: dict[str, Any], text: str) -> None:
    answer = create(client, **config)
    assert answer.status_code == 400
    assert text in answer.json()["message"]
    assert not Connector.objects.exists()


@pytest.mark.parametrize("name", ["", "a/b", "a b", "-a", "x" * 101, None, 3])
def test_names_that_are_no_names_are_refused(client: APIClient, name: Any) -> None:
    assert client.post("/connect/connectors", {"name": name, "config": FOLDER}).status_code == 400


@pytest.mark.parametrize(
    "body", ["{bad", "[]", "{}", "null", '"text"', '{"name": "x"}', '{"name": "x", "config": []}', "",
             '{"name": "x", "config": {"a": {"b": 1}}}', '{"name": "x", "unknown": 1, "config": {}}',
             '{"name": "x", "config": {}}', '{"name": "x", "initial_state": "BAD", "config": {}}'],
)  # fmt: skip
def test_bodies_that_are_none_are_refused(client: APIClient, body: str) -> None:
    answer = client.post("/connect/connectors", body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json()["error_code"] == 400


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"[" * 100_000, "no JSON"),
        (b'{"name": "x", "config": {"a": "\\ud800"}}', "no JSON"),
        (b'{"name": "x", "config": {"a": NaN}}', "no JSON"),
        (b'{"name": "x", "config": {"a": 1' + b"0" * 5_000 + b"}}", "no JSON"),
        (b'{"name": "x", "config": {"a": "\\u0000"}}', "NUL"),
        (b'{"name": "x", "config": {"a\\nb": "1"}}', "control characters"),
    ],
)
def test_what_no_database_or_header_takes_is_refused(client: APIClient, body: bytes, text: str) -> None:
    for answer in (
        client.post("/connect/connectors", body, content_type="application/json"),
        client.put("/connect/connectors/x/config", body, content_type="application/json"),
    ):
        assert answer.status_code == 400
    assert text in client.post("/connect/connectors", body, content_type="application/json").json()["message"]


def test_a_body_beyond_the_bound_is_refused(client: APIClient) -> None:
    body = b'{"name": "' + b"x" * MOST_BYTES + b'"}'
    answer = client.post("/connect/connectors", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error_code"]) == (413, 413)


def test_many_settings_without_effect_make_no_endless_header(client: APIClient) -> None:
    answer = create(client, **{f"unknown.{number}": "1" for number in range(2_000)})
    assert answer.status_code == 201
    assert len(answer.headers["X-Ignored-Settings"]) < 5_000


@pytest.mark.parametrize("path", ["connectors/a%00b", "connectors/one/tasks/" + "9" * 5_000 + "/status"])
def test_odd_addresses_are_not_found(client: APIClient, path: str) -> None:
    create(client)
    assert client.get(f"/connect/{path}").status_code == 404


def test_the_initial_state_may_be_written_in_small_letters(client: APIClient) -> None:
    body = {"name": "one", "config": FOLDER, "initial_state": "stopped"}
    assert client.post("/connect/connectors", body).status_code == 201
    assert Connector.objects.get().target_state == "STOPPED"


@pytest.mark.parametrize("what", ["changed", "deleted"])
def test_of_two_changes_at_the_same_moment_one_is_a_conflict(client: APIClient, what: str) -> None:
    create(client)

    @contextmanager
    def meanwhile(*_: str) -> Iterator[None]:
        if what == "deleted":
            Connector.objects.all().delete()
        else:
            Connector.objects.update(generation=2, config={**FOLDER, "name": "one", "event": "select-color"})
        yield

    register_audit(meanwhile)
    try:
        answer = client.patch("/connect/connectors/one/config", {"tasks.max": "1"})
    finally:
        audits.remove(meanwhile)
    assert answer.status_code == 409
    assert [one.config["event"] for one in Connector.objects.all()] == ([] if what == "deleted" else ["select-color"])


def test_of_two_connectors_for_one_folder_that_are_made_at_the_same_moment_one_is_refused(client: APIClient) -> None:
    @contextmanager
    def meanwhile(*_: str) -> Iterator[None]:
        if not Connector.objects.exists():
            Connector.objects.create(name="other", type="sink", config={**FOLDER, "name": "other"})
        yield

    register_audit(meanwhile)
    try:
        answer = create(client)
    finally:
        audits.remove(meanwhile)
    assert answer.status_code == 400
    assert "their files would have the same names" in answer.json()["message"]
    assert [one.name for one in Connector.objects.all()] == ["other"]


def test_topics_of_what_is_not_there_are_not_reset_and_not_logged(
    client: APIClient, caplog: pytest.LogCaptureFixture
) -> None:
    assert client.put("/connect/connectors/none%0Aone/topics/reset").status_code == 202
    assert caplog.text == ""


def test_the_topic_of_the_workers_takes_no_records(client: APIClient) -> None:
    config = {"connector.class": "FileStreamSource", "file": "/tmp/a", "topic": connectors_settings().topic}
    answer = client.post("/connect/connectors", {"name": "one", "config": config})
    assert answer.status_code == 400
    assert "topic connector-assignment is that of the workers" in answer.json()["message"]


@pytest.mark.parametrize("body", [b'{"name":"\xff"}', b"{bad", b"\xff\xfe"])
def test_a_body_that_is_no_json_is_answered_400(client: APIClient, body: bytes) -> None:
    answer = client.generic("POST", "/connect/connectors", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error_code"]) == (400, 400)


def test_settings_without_effect_are_named_and_kept(client: APIClient) -> None:
    answer = create(client, **{"errors.log.enable": "true", "no.such.setting": "1", "header.converter": "X"})
    assert answer.status_code == 201
    ignored = "errors.log.enable, header.converter, no.such.setting"
    assert answer.headers["X-Ignored-Settings"] == ignored
    for path in ("", "/config", "/status"):
        assert client.get(f"/connect/connectors/one{path}").headers["X-Ignored-Settings"] == ignored


def test_validate_says_why_a_setting_has_no_effect(client: APIClient) -> None:
    config = {**FOLDER, "name": "x", "no.such.setting": "1", "tasks.max": "0"}
    answer = client.put("/connect/connector-plugins/sinks.folder/config/validate", config)
    assert answer.status_code == 200
    body = answer.json()
    assert (body["name"], body["error_count"]) == ("sinks.folder", 1)
    values = {one["definition"]["name"]: one for one in body["configs"]}
    assert values["tasks.max"]["value"]["errors"] == [
        "Invalid value 0 for configuration tasks.max: Value must be at least 1"
    ]
    assert values["no.such.setting"]["definition"]["documentation"] == "Has no effect: it is not known here."
    assert values["no.such.setting"]["definition"]["group"] == "Ignored"
    assert "Ignored" in body["groups"]


def test_put_makes_and_changes(client: APIClient) -> None:
    first = client.put("/connect/connectors/one/config", FOLDER)
    assert (first.status_code, first.headers["Location"]) == (201, "http://testserver/connect/connectors/one")
    second = client.put("/connect/connectors/one/config", {**FOLDER, "tasks.max": "3"})
    assert (second.status_code, len(second.json()["tasks"])) == (200, 3)
    assert Connector.objects.get().generation == 2


def test_patch_changes_some_settings_and_null_removes_one(client: APIClient) -> None:
    create(client)
    answer = client.patch("/connect/connectors/one/config", {"target.path": None})
    assert answer.status_code == 400
    answer = client.patch("/connect/connectors/one/config", {"tasks.max": None, "options.flush_records": 5})
    assert answer.status_code == 200
    assert "tasks.max" not in answer.json()["config"]
    assert answer.json()["config"]["options.flush_records"] == "5"
    assert len(answer.json()["tasks"]) == 1


def test_delete(client: APIClient) -> None:
    create(client)
    assert client.delete("/connect/connectors/one").status_code == 204
    assert client.get("/connect/connectors").json() == []
    assert not ConnectorTask.objects.exists()


def test_states(client: APIClient) -> None:
    create(client)
    for verb, code, state in (("pause", 202, "PAUSED"), ("resume", 202, "RUNNING"), ("stop", 204, "STOPPED")):
        answer = client.put(f"/connect/connectors/one/{verb}")
        assert (answer.status_code, answer.content) == (code, b"")
        assert Connector.objects.get().target_state == state
    assert client.get("/connect/connectors/one/tasks").json() == []


def test_without_workers_all_is_unassigned(client: APIClient) -> None:
    create(client)
    unassigned = {"state": "UNASSIGNED", "worker_id": "", "version": "4.3.1"}
    assert client.get("/connect/connectors/one/status").json() == {
        "name": "one",
        "connector": unassigned,
        "tasks": [{"id": 0, **unassigned}, {"id": 1, **unassigned}],
        "type": "sink",
    }


@pytest.mark.parametrize(
    ("method", "path", "text"),
    [
        ("get", "connectors/none", "Connector none not found"),
        ("get", "connectors/none/status", "No status found for connector none"),
        ("get", "connectors/none/config", "Connector none not found"),
        ("get", "connectors/none/tasks", "Connector none not found"),
        ("get", "connectors/none/tasks/0/status", "No status found for task none-0"),
        ("delete", "connectors/none", "Connector none not found"),
        ("put", "connectors/none/pause", "Unknown connector none"),
        ("put", "connectors/none/stop", "Unknown connector none"),
        ("post", "connectors/none/restart", "Unknown connector: none"),
        ("post", "connectors/none/tasks/0/restart", "Unknown connector: none"),
        ("patch", "connectors/none/config", "Connector none not found"),
        ("get", "connector-plugins/NoSuch/config", "Unknown plugin NoSuch."),
        ("get", "nothing", "HTTP 404 Not Found"),
        ("get", "connectors/none/tasks/x/status", "HTTP 404 Not Found"),
    ],
)
def test_what_is_not_there(client: APIClient, method: str, path: str, text: str) -> None:
    answer = getattr(client, method)(f"/connect/{path}", {} if method == "patch" else None)
    assert (answer.status_code, answer.json()) == (404, {"error_code": 404, "message": text})


def test_a_slash_at_the_end_does_not_matter(client: APIClient) -> None:
    create(client)
    for path in ("/connect", "/connect/", "/connect/connectors/", "/connect/connectors/one/"):
        assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("permission", "method", "path"),
    [
        ("view_connector", "get", "connectors"),
        ("view_connector", "get", "connectors/one/config"),
        ("add_connector", "post", "connectors"),
        ("change_connector", "put", "connectors/one/config"),
        ("change_connector", "put", "connectors/one/pause"),
        ("change_connector", "post", "connectors/one/restart"),
        ("delete_connector", "delete", "connectors/one"),
    ],
)
def test_each_verb_needs_its_permission(
    client: APIClient, client_of: Callable[[User | None], APIClient], permission: str, method: str, path: str
) -> None:
    create(client)
    everything = {"view_connector", "add_connector", "change_connector", "delete_connector"}
    without = client_of(user_with("somebody", *(everything - {permission})))
    answer = getattr(without, method)(f"/connect/{path}", FOLDER)
    assert (answer.status_code, answer.json()["error_code"]) == (403, 403)
    stranger = getattr(client_of(None), method)(f"/connect/{path}", FOLDER)
    assert (stranger.status_code, stranger.json()["error_code"]) == (401, 401)
    assert "Basic" in stranger.headers["WWW-Authenticate"]


def test_who_may_only_change_does_not_make_by_put(client_of: Callable[[User | None], APIClient]) -> None:
    changer = client_of(user_with("changer", "change_connector"))
    assert changer.put("/connect/connectors/one/config", FOLDER).status_code == 403


def test_a_token_and_a_password_open_it(operator: User) -> None:
    token = Token.objects.create(user=operator)
    plain = APIClient()
    assert plain.get("/connect/connectors", HTTP_AUTHORIZATION=f"Token {token.key}").status_code == 200
    basic = "Basic b3BlcmF0b3I6b3BlcmF0b3ItcGFzc3dvcmQ="  # operator:operator-password
    assert plain.get("/connect/connectors", HTTP_AUTHORIZATION=basic).status_code == 200
    assert plain.get("/connect/connectors", HTTP_AUTHORIZATION="Token wrong").status_code == 401


def test_where_it_is_open_everybody_may(settings: Any, db: Any) -> None:
    settings.CONNECTORS = {"open": True, "folders": ["/tmp"]}
    answer = APIClient().post(
        "/connect/connectors", json.dumps({"name": "one", "config": FOLDER}), content_type="application/json"
    )
    assert answer.status_code == 201


def test_secrets_are_shown_to_those_who_may_set_them(
    client: APIClient, client_of: Callable[[User | None], APIClient]
) -> None:
    create(client, **{"consumer.override.sasl.password": "hidden"})
    viewer = client_of(user_with("viewer", "view_connector"))
    for path in ("/config", "", "/tasks"):
        shown = viewer.get(f"/connect/connectors/one{path}").content.decode()
        assert "hidden" not in shown
        assert "hidden" in client.get(f"/connect/connectors/one{path}").content.decode()


@pytest.mark.parametrize(
    "config",
    [
        {
            "connector.class": "JdbcSource",
            "connection.url": "jdbc:postgresql://db/shop?user=a&password=hidden",
            "mode": "bulk",
            "topic.prefix": "a_",
        },
        {
            "connector.class": "sources.http",
            "target.urls": '["http://user:hidden@localhost/"]',
            "target.headers": '{"Authorization": "hidden"}',
            "target.topic": "t",
        },
        {
            "connector.class": "sinks.timeseries",
            "topics": "t",
            "event": "json",
            "target.url": "http://user:hidden@localhost",
            "target.database": "d",
            "target.measurement": "m",
        },
    ],
)
def test_secrets_in_urls_and_headers_are_not_shown_to_readers(
    client: APIClient, client_of: Callable[[User | None], APIClient], settings: Any, config: dict[str, str]
) -> None:
    settings.CONNECTORS = {"http_hosts": ["localhost"]}
    connectors_settings.cache_clear()
    assert client.post("/connect/connectors", {"name": "one", "config": config}).status_code == 201
    viewer = client_of(user_with("viewer", "view_connector"))
    for path in ("/one/config", "/one", "/one/tasks", "?expand=info"):
        assert "hidden" not in viewer.get(f"/connect/connectors{path}").content.decode()


def test_who_may_only_read_does_not_learn_by_validate_what_references_stand_for(
    client_of: Callable[[User | None], APIClient], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CONNECTORS = {"folders": ["/tmp"], "secrets_prefix": "HUB_"}
    connectors_settings.cache_clear()
    monkeypatch.setenv("HUB_PASSWORD", "hunter2")
    viewer = client_of(user_with("viewer", "view_connector"))
    for name in ("tasks.max", "target.path", "event", "transforms", "options.flush_records"):
        config = {**FOLDER, "name": "x", name: "${env:HUB_PASSWORD}"}
        answer = viewer.put("/connect/connector-plugins/sinks.folder/config/validate", config)
        assert answer.json()["error_count"] == 1
        assert "hunter2" not in answer.content.decode()


def test_tasks_are_spread_over_the_slots(client: APIClient) -> None:
    for number in range(5):
        create(client, f"c{number}", topics=f"t{number}", **{"target.path": f"/tmp/f{number}"})
    assert sorted(ConnectorTask.objects.values_list("slot", flat=True)) == list(range(10))
    client.delete("/connect/connectors/c1")
    create(client, "again", topics="t1", **{"target.path": "/tmp/f1"})
    assert sorted(ConnectorTask.objects.values_list("slot", flat=True)) == list(range(10))


def test_references_to_secrets_are_kept_as_they_are(
    client: APIClient, client_of: Callable[[User | None], APIClient], settings: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    settings.CONNECTORS = {"folders": ["/tmp"], "secrets_prefix": "HUB_", "secrets_folder": str(tmp_path)}
    connectors_settings.cache_clear()
    monkeypatch.setenv("HUB_BATCH", "7")
    (tmp_path / "own.properties").write_text("# none\nbatch = 8\n")
    for reference, value in (("${env:HUB_BATCH}", 7), (f"${{file:{tmp_path}/own.properties:batch}}", 8)):
        answer = client.put("/connect/connectors/one/config", {**FOLDER, "options.flush_records": reference})
        assert answer.status_code in (200, 201)
        assert answer.json()["config"]["options.flush_records"] == reference
        found = checked(Connector.objects.get().config).config
        assert found is not None
        assert found.options.flush_records == value


@pytest.mark.parametrize(
    "reference", ["${env:SECRET_KEY}", "${env:HUB_MISSING}", "${file:/etc/passwd:root}", "${file:/tmp/../etc/x:a}"]
)
def test_references_read_what_is_allowed_alone(client: APIClient, settings: Any, reference: str) -> None:
    settings.CONNECTORS = {"folders": ["/tmp"], "secrets_prefix": "HUB_", "secrets_folder": "/tmp/secrets"}
    connectors_settings.cache_clear()
    assert create(client, **{"options.flush_records": reference}).status_code == 400


def test_every_change_is_audited_before_it_is_made(client: APIClient) -> None:
    told = []

    @contextmanager
    def audit(user: str, subject: str, what: str) -> Iterator[None]:
        told.append((user, subject, what.partition(",")[0], Connector.objects.filter(name="one").exists()))
        yield

    register_audit(audit)
    try:
        create(client)
        client.put("/connect/connectors/one/config", FOLDER)
        client.put("/connect/connectors/one/stop")
        client.post("/connect/connectors/one/tasks/0/restart")
        client.delete("/connect/connectors/one")
    finally:
        audits.remove(audit)
    assert told == [
        ("operator", "connector one", "create", False),
        ("operator", "connector one", "change", True),
        ("operator", "connector one", "stop", True),
        ("operator", "connector one", "restart tasks 0", True),
        ("operator", "connector one", "delete", True),
    ]


def test_the_users_of_the_site_are_no_table_for_connectors(client: APIClient) -> None:
    config = {"connector.class": "sinks.database", "topics": "a", "target.table": "auth_user", "event": "select-color"}
    answer = client.post("/connect/connectors", {"name": "one", "config": config})
    assert answer.status_code == 400
    assert "default" in answer.json()["message"]


def report(connector: Connector, **changes: Any) -> None:
    """A worker says this of the connector's first task."""
    task: Any = connector.tasks.first()
    told = TaskStatus(
        id=task.pk, connector=connector.name, task=0, generation=connector.generation, restarts=task.restarts,
        state="RUNNING", since=datetime.now(UTC)
    )  # fmt: skip
    told = msgspec.structs.replace(told, **changes)
    whole = WorkerReport(worker_id="w:1", version="1", started=datetime.now(UTC), slots=[0], tasks=[told])
    Worker.objects.update_or_create(
        worker_id="w:1", defaults={"heard_at": database_now(), "report": msgspec.json.encode(whole).decode()}
    )


def first_task(client: APIClient) -> Any:
    return client.get("/connect/connectors/one/status").json()["tasks"][0]


def test_a_task_that_waits_says_for_what(client: APIClient) -> None:
    create(client)
    report(Connector.objects.get(), reason="the store is away")
    waiting = {"id": 0, "state": "RUNNING", "worker_id": "w:1", "version": "4.3.1", "trace": "the store is away"}
    assert first_task(client) == waiting


def test_a_change_that_a_worker_has_not_seen_yet_is_restarting(client: APIClient) -> None:
    create(client)
    report(Connector.objects.get())
    assert first_task(client)["state"] == "RUNNING"
    client.post("/connect/connectors/one/tasks/0/restart")
    assert first_task(client)["state"] == "RESTARTING"
    report(Connector.objects.get())
    client.put("/connect/connectors/one/config", FOLDER)
    assert first_task(client)["state"] == "RESTARTING"


def test_the_report_of_a_connector_that_was_deleted_is_not_that_of_the_next_one(client: APIClient) -> None:
    create(client)
    report(Connector.objects.get(), state="FAILED", trace="of the first one")
    client.delete("/connect/connectors/one")
    create(client)
    assert first_task(client)["state"] == "UNASSIGNED"


def test_offsets_wait_until_the_tasks_have_ended(client: APIClient) -> None:
    create(client)
    report(Connector.objects.get())
    client.put("/connect/connectors/one/stop")
    body = {"offsets": [{"partition": {"kafka_topic": "a", "kafka_partition": 0}, "offset": {"kafka_offset": 1}}]}
    answer = client.patch("/connect/connectors/one/offsets", body)
    assert (answer.status_code, "about to stop" in answer.json()["message"]) == (409, True)


def test_a_class_that_is_gone_can_be_read_and_deleted(client: APIClient) -> None:
    create(client, **{"db.password": "hidden"})
    Connector.objects.update(config={**FOLDER, "connector.class": "of.an.earlier.Version", "db.password": "hidden"})
    for path in ("", "/config", "/status", "/tasks"):
        assert client.get(f"/connect/connectors/one{path}").status_code == 200
    assert create(client, "two", **{"target.path": "/tmp/two"}).status_code == 201
    assert client.delete("/connect/connectors/one").status_code == 204


def test_a_database_that_is_away_is_told_as_503(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_name: str) -> Connector:
        raise OperationalError("no connection to db.internal")

    monkeypatch.setattr(services, "find", away)
    answer = client.get("/connect/connectors/one")
    assert (answer.status_code, answer.json()["error_code"]) == (503, 503)
    assert "db.internal" not in answer.json()["message"]


def test_requests_beyond_the_bound_are_told_as_503(client: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PLACES, "taken", 1_000)
    for path in ("/connect", "/connect/connectors"):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error_code"]) == (503, 503)


def test_a_page_of_another_site_can_not_change_connectors(operator: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(operator)
    answer = browser.post("/connect/connectors", {"name": "one", "config": FOLDER}, format="json")
    assert answer.status_code == 403
    assert browser.get("/connect/connectors").status_code == 200
