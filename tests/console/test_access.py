"""Who may open the console's pages, what the pages are made of, and what a server that hangs can do to them."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory
from django.urls import URLPattern

from pipeline.access import AUDIT
from pipeline.console import payload as payloads
from pipeline.console.pages import page_response
from pipeline.console.panels import Panel, panel_view, section
from pipeline.console.urls import urlpatterns
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import Guard
from tests.pipeline.conftest import staff

Operator = Callable[..., Client]


def address(pattern: URLPattern) -> str:
    """An address that the pattern takes."""
    path = re.sub(r"<int:\w+>", "0", str(pattern.pattern))
    for name, value in (("cluster", "default"), ("sink", "hdfs")):
        path = re.sub(rf"<\w+:{name}>", value, path)
    return "/admin/console/" + re.sub(r"<\w+:\w+>", "select-color", path)


ADDRESSES = [address(pattern) for pattern in urlpatterns]
POSTS = [one for one in ADDRESSES if one.endswith(("/act/", "/produce/"))]
CONNECTORS = ("view_connector", "add_connector", "change_connector", "delete_connector")
PAGES = [
    f"/admin/console/{name}/"
    for name in ("topics", "groups", "documents/elasticsearch", "files", "dead-letters", "practice", "actions")
]
PAGES += ["/admin/console/topics/default/select-color/", "/admin/console/topics/default/select-color/0/0/"]
PAGES += [f"/admin/console/groups/default/group/{path}?name=sink-hdfs" for path in ("", "reset/")]
PAGES += [f"/admin/console/sinks/{path}" for path in ("", "hdfs/", "hdfs/lag/select-color/0/")]
PAGES += ["/admin/console/sinks/hdfs/control/?action=pause", "/admin/console/sources/"]
PAGES += [f"/admin/console/connectors/{path}" for path in ("", "here/new/", "here/connector/select/")]
PAGES += ["/admin/console/connectors/here/connector/select/action/?action=stop"]
PAGES += ["/admin/console/files/hdfs/", "/admin/console/files/hdfs/file/?path=x", "/admin/console/dead-letters/hdfs/"]


@pytest.mark.django_db
def test_anonymous_is_sent_to_the_login_and_plain_staff_is_refused(client: Client) -> None:
    assert len(ADDRESSES) > 30
    for one in ADDRESSES:
        for ask in (client.get, client.post):
            assert ask(one).headers["Location"].startswith("/admin/login/?next="), one
    client.force_login(staff("plain", may_see=False))
    for one in ADDRESSES:
        assert client.get(one).status_code == 403, one
        assert client.post(one).status_code == 403, one


def test_each_action_needs_its_own_permission_and_a_token(operator: Operator) -> None:
    assert len(POSTS) == 3
    viewer, everything = operator(), operator("control", "produce", "replay")
    others = {"produce": operator("control", "replay"), "replay": operator("control", "produce")}
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = everything.cookies
    for one in POSTS:
        other = others["replay" if "letters" in one else "produce"]
        assert viewer.post(one).status_code == 403
        assert other.post(one).status_code == 403
        assert strict.post(one).status_code == 403
        assert everything.get(one).status_code == 405


def test_permissions_without_seeing_events_open_nothing(client: Client, db: None) -> None:
    from django.contrib.auth.models import Permission

    user = staff("half", may_see=False)
    user.user_permissions.add(*Permission.objects.filter(content_type__app_label="console"))
    client.force_login(user)
    assert {client.get(one).status_code for one in ADDRESSES} == {403}


def test_pages_work_under_a_policy_without_anything_inline(operator: Operator) -> None:
    client = operator("audit", "control", "produce", "replay", "reset", *CONNECTORS)
    for one in PAGES:
        answer = client.get(one)
        assert answer.status_code == 200, one
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy
        page = answer.content.decode()
        assert not re.search(r"<style|\sstyle=|\son\w+=", page), one
        assert all("src=" in attributes or "json" in attributes for attributes in re.findall(r"<script([^>]*)>", page))
        assert 'aria-current="page"' in page, one


def test_what_does_not_exist_is_not_found(operator: Operator) -> None:
    client = operator()
    for path in (
        "topics/other/",
        "topics/default/a%20b/",
        "documents/hdfs/",
        "files/elasticsearch/",
        "dead-letters/x/",
    ):
        assert client.get(f"/admin/console/{path}").status_code == 404, path


@pytest.mark.usefixtures("kafka_is_away")
def test_servers_that_are_away_are_an_answer_and_no_failure(operator: Operator) -> None:
    client = operator()
    for path, server in (
        ("topics/default/", "Kafka (localhost:1)"),
        ("documents/elasticsearch/hits/", "Elasticsearch (http://localhost:1)"),
        ("files/hdfs/list/", "HDFS (http://localhost:1)"),
    ):
        answer = client.get(f"/admin/console/{path}")
        assert answer.status_code == 200
        assert answer.json()["error"]["server"] == server
    assert client.get("/admin/console/files/hdfs/download/?path=x").status_code == 503
    assert client.get("/admin/console/documents/elasticsearch/export/").status_code == 503


def test_a_server_that_was_away_is_not_asked_again_for_some_seconds() -> None:
    now = [0.0]
    guard = Guard(at_once=2, remember_seconds=5.0, clock=lambda: now[0])
    asked: list[str] = []

    def read(server: str, error: Exception | None = None) -> None:
        with guard.read(server):
            asked.append(server)
            if error is not None:
                raise error

    with pytest.raises(ServerAway):
        read("a", ServerAway("a", "no answer"))
    with pytest.raises(ServerError, match="no answer"):
        read("a")
    read("b")
    assert asked == ["a", "b"]
    now[0] = 5.1
    read("a")
    with pytest.raises(ServerError):
        read("a", ServerError("a", "wrong query"))
    read("a")  # it did answer


def test_only_a_few_reads_of_a_server_go_on_at_a_time() -> None:
    guard = Guard(at_once=2, remember_seconds=5.0)
    with guard.read("a"), guard.read("a"):
        with pytest.raises(ServerError, match="2 reads"), guard.read("a"):
            pass
        with guard.read("b"):
            pass
    with guard.read("a"):
        pass


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (None, "null", ""),
        (b"", "empty", ""),
        (b'{"a":1}', "json", '{\n  "a": 1\n}'),
        (b"{nope", "text", "{nope"),
        ("ü".encode() * 6, "text", "üüüüü"),
        (b"\xff\x00", "binary", f"00000000  {'ff 00':<48} ··"),
    ],
)
def test_bytes_for_people(value: Any, kind: str, text: str) -> None:
    found = payloads.payload(value, limit=11)
    assert (found.kind, found.text) == (kind, text)
    assert found.size == len(value or b"")
    assert found.is_cut == (found.size > 11)


@pytest.mark.parametrize("server", ["", "none"])
def test_who_lacks_the_permission_of_a_panel_gets_neither_its_place_nor_its_content(
    server: str, operator: Operator, rf: RequestFactory
) -> None:
    secret = Panel(
        "secret", "Secret", "statistics/top.html", lambda _: {}, "console:topics", server=server, permission=AUDIT
    )
    request = rf.get("/")
    for permissions, may_see in ((), False), (("audit",), True):
        operator(*permissions)
        request.user = User.objects.get(username="-".join(["operator", *permissions]))
        page = page_response(request, page="console:topics", title="", panels=[section(secret)])
        assert ("Secret" in page.render().content.decode()) == may_see
        with nullcontext() if may_see else pytest.raises(PermissionDenied):
            assert panel_view(secret)(request).status_code == 200
