"""The page of connectors: what it shows and does, for this site's connectors and for another Kafka Connect."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from connectors.conf import connectors_settings
from connectors.models import Connector
from pipeline.console.models import AuditEntry
from tests.accessibility import check_page
from tests.console.test_access import CONNECTORS
from tests.pipeline.conftest import staff
from tests.support import leave

pytestmark = pytest.mark.django_db

BASE = "/admin/console/connectors/"
ONE = f"{BASE}here/connector/one/"
CONFIG = {
    "connector.class": "sinks.folder",
    "topics": "a",
    "target.path": "/tmp/files",
    "event": "json",
    "no.such.setting": "1",
    "consumer.override.sasl.password": "hidden",
}


@pytest.fixture(autouse=True)
def _settings(settings: Any) -> Iterator[None]:
    settings.CONNECTORS = {"folders": ["/tmp"]}
    connectors_settings.cache_clear()
    yield
    connectors_settings.cache_clear()


@pytest.fixture
def of(client: Client) -> Callable[..., Client]:
    """Signs in somebody who sees the console and has these permissions on connectors."""

    def sign_in(*permissions: str) -> Client:
        user = staff("-".join(permissions) or "nobody", may_see=True)
        names = [f"{one}_connector" for one in permissions]
        user.user_permissions.add(*Permission.objects.filter(codename__in=names))
        client.force_login(user)
        return client

    return sign_in


def save(client: Client, url: str = f"{BASE}here/new/", name: str = "one", verb: str = "save", **config: Any) -> Any:
    return client.post(url, {"name": name, "config": json.dumps({**CONFIG, **config}), verb: "1"})


def test_a_connector_is_made_changed_and_deleted(of: Callable[..., Client]) -> None:
    client = of("view", "add", "change", "delete")
    assert save(client).headers["Location"] == ONE
    assert Connector.objects.get().config["topics"] == "a"
    assert save(client, f"{ONE}edit/", topics="b").status_code == 302
    assert Connector.objects.get().config["topics"] == "b"
    assert "Delete" in client.get(f"{ONE}action/?action=delete").content.decode()
    assert client.post(f"{ONE}action/", {"action": "delete"}).headers["Location"] == BASE
    assert not Connector.objects.exists()
    logged = list(AuditEntry.objects.filter(kind="connect").order_by("pk").values_list("user", "subject"))
    assert logged == [("view-add-change-delete", "connector one")] * 3


def test_settings_are_checked_without_a_change(of: Callable[..., Client]) -> None:
    page = save(of("view", "add"), verb="check").content.decode()
    assert "The settings can be used." in page
    assert "no.such.setting" in page
    assert not Connector.objects.exists()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("{", "no JSON"),
        ("[]", "must be a JSON object"),
        ("{}", "must be a JSON object"),
        ('{"connector.class": "NoSuch"}', "Failed to find any class"),
        (json.dumps({**CONFIG, "topics": ""}), "Must configure one of topics"),
    ],
)
def test_mistakes_are_shown_beside_what_was_typed(of: Callable[..., Client], config: str, text: str) -> None:
    answer = of("view", "add").post(f"{BASE}here/new/", {"name": "one", "config": config, "save": "1"})
    assert answer.status_code == 200
    assert text in answer.content.decode()
    assert not Connector.objects.exists()


def test_what_a_book_posts_can_be_pasted_as_it_is(of: Callable[..., Client]) -> None:
    whole = json.dumps({"name": "one", "config": CONFIG})
    of("view", "add").post(f"{BASE}here/new/", {"name": "one", "config": whole, "save": "1"})
    assert Connector.objects.get().config["target.path"] == "/tmp/files"


def test_states_change_and_offsets_are_moved_after_a_stop_alone(of: Callable[..., Client]) -> None:
    client = of("view", "add", "change")
    save(client)
    for action, state in (("pause", "PAUSED"), ("resume", "RUNNING"), ("restart", "RUNNING")):
        assert client.get(f"{ONE}action/?action={action}").status_code == 200
        client.post(f"{ONE}action/", {"action": action})
        assert Connector.objects.get().target_state == state
    assert client.get(f"{ONE}action/?action=unknown").status_code == 404


def test_panels_show_states_settings_and_no_secrets_to_readers(of: Callable[..., Client]) -> None:
    save(of("view", "add", "change"))
    client = of("view")
    assert "UNASSIGNED" in client.get(f"{BASE}here/").json()["html"]
    state = client.get(f"{ONE}state/").json()["html"]
    assert "/tmp/files" in state
    assert "hidden" not in state
    assert "error" in client.get(f"{BASE}here/connector/none/state/").json()
    assert client.get(f"{BASE}nowhere/").status_code == 404


@pytest.mark.parametrize(
    ("permissions", "method", "url"),
    [
        ((), "get", BASE),
        ((), "get", ONE),
        ((), "get", f"{ONE}state/"),
        (("view",), "get", f"{BASE}here/new/"),
        (("view", "add"), "get", f"{ONE}edit/"),
        (("view", "add", "change"), "post", f"{ONE}action/"),
    ],
)
def test_each_step_needs_its_permission(
    of: Callable[..., Client], permissions: tuple[str, ...], method: str, url: str
) -> None:
    answer = getattr(of(*permissions), method)(url, {"action": "delete"})
    assert answer.status_code == 403


class _Other(BaseHTTPRequestHandler):
    """Another Kafka Connect, which shows its secrets."""

    def do_GET(self) -> None:
        status = {"name": "theirs", "connector": {"state": "RUNNING", "worker_id": "w"}, "tasks": [], "type": "sink"}
        answers = {
            "/connectors?expand=status&expand=info": {
                "theirs": {"status": status, "info": {"config": {}}},
                "sales/2": {"status": status, "info": {"config": {}}},
            },
            "/connectors/theirs/config": {
                "connection.password": "hidden",
                "connection.url": "jdbc:x://h/d?password=hidden",
            },
            "/connectors/theirs/status": status,
        }
        self._answer(200 if self.path in answers else 404, answers.get(self.path, {"message": "not found"}))

    def do_PUT(self) -> None:
        self._answer(202, None)

    def _answer(self, status: int, body: Any) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def other(settings: Any) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), _Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.CONNECT = {"here": {}, "old": {"url": f"http://127.0.0.1:{server.server_port}"}}
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.usefixtures("other")
def test_another_kafka_connect_is_shown_and_steered_and_that_is_logged(of: Callable[..., Client]) -> None:
    client = of("view", "change")
    assert "theirs" in client.get(f"{BASE}old/").json()["html"]
    client.post(f"{BASE}old/connector/theirs/action/", {"action": "pause"})
    entry = AuditEntry.objects.get(kind="connect")
    assert (entry.subject, entry.what, entry.outcome) == ("connect cluster old", "PUT /connectors/theirs/pause", "202")
    reader = of("view")
    assert "sales/2" in reader.get(f"{BASE}old/").json()["html"]  # a name that no page of ours can have
    assert "hidden" not in reader.get(f"{BASE}old/connector/theirs/state/").json()["html"]


def test_one_that_is_away_is_named(settings: Any, of: Callable[..., Client]) -> None:
    settings.CONNECT = {"old": {"url": "http://127.0.0.1:1"}}
    assert of("view").get(f"{BASE}old/").json()["error"]["server"] == "Kafka Connect (http://127.0.0.1:1)"


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_an_operator_makes_a_connector_in_a_browser(
    operator: Callable[..., Client], page: Page, live_server: LiveServer
) -> None:
    cookies = operator(*CONNECTORS).cookies
    page.context.add_cookies([{"name": "sessionid", "value": cookies["sessionid"].value, "url": live_server.url}])
    page.goto(f"{live_server.url}{BASE}")
    expect(page.get_by_text("There are no connectors.")).to_be_visible()
    check_page(page)
    page.get_by_role("link", name="New connector").click()
    page.get_by_label("Name").fill("one")
    page.get_by_label("Settings as JSON").fill(json.dumps({**CONFIG, "tasks.max": "0"}))
    page.get_by_role("button", name="Check").click()
    expect(page.get_by_role("alert")).to_contain_text("Value must be at least 1")
    check_page(page)
    page.get_by_label("Settings as JSON").fill(json.dumps(CONFIG))
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#connector")).to_contain_text("UNASSIGNED")
    check_page(page)
    page.get_by_role("link", name="Stop").click()
    expect(page.get_by_role("button", name="Yes, do it")).to_be_visible()
    check_page(page)
    page.get_by_role("button", name="Yes, do it").click()
    expect(page.locator("#connector")).to_contain_text("STOPPED")
    leave(page)
