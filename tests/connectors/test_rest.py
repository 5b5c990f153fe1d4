"""The REST API of connectors, without workers: what it makes, changes and refuses."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from connectors.audit import audits, register_audit
from connectors.conf import connectors_settings
from connectors.models import Connector, ConnectorTask
from connectors.validation import checked
from tests.connectors.conftest import user_with

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


def test_settings_without_effect_are_named_and_kept(client: APIClient) -> None:
    answer = create(client, **{"errors.log.enable": "true", "no.such.setting": "1", "header.converter": "X"})
    assert answer.status_code == 201
    ignored = "errors.log.enable, no.such.setting, header.converter"
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
