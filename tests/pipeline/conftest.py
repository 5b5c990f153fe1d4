"""Fixtures of the console: staff, and settings that point at a fresh topic and index."""

import re
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from elasticsearch import helpers
from elasticsearch.dsl import connections
from pytest_django import Settings

from devstack.stack import Stack
from events import conf as events_conf
from events.event import format_timestamp
from pipeline import conf, guard, live
from sinks import registry as sinks_registry
from sinks.elasticsearch import client as elasticsearch_client
from sinks.elasticsearch import setup as elasticsearch_setup
from sinks.elasticsearch.config import ElasticsearchTarget
from tests.console.support import text_of
from tests.support import wait_until

PAGE = "/admin/events/selectcolorevent/"
PANELS = ("events-over-time", "top-users", "top-browsers", "newest", "topics")


def panel_url(panel: str, query: str = "") -> str:
    """The address of a panel's data; query: further parameters."""
    return f"{PAGE}panels/?panel={panel}&{query}"


def panel_data(client: Client, panel: str, query: str = "") -> Any:
    """A panel's data, as soon as its server has answered."""
    return wait_until(lambda: client.get(panel_url(panel, query)).json()[panel], what=f"the panel {panel}")


def panel_html(client: Client, panel: str, query: str = "") -> str:
    """What a panel shows, as soon as its server has answered."""
    data = panel_data(client, panel, query)
    assert "error" not in data, data
    return str(data["html"])


def rows_of(markup: str) -> list[list[str]]:
    """The rows of all tables of some markup, without their heads: the text of each cell."""
    bodies = "".join(re.findall(r"<tbody>(.*?)</tbody>", markup, re.DOTALL))
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", bodies, re.DOTALL)
    return [
        [text_of(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)] for row in rows
    ]


def staff(name: str, *, may_see: bool) -> User:
    """A staff member, with or without the permission to see events."""
    user = User.objects.create_user(name, password="secret", is_staff=True)
    if may_see:
        user.user_permissions.add(Permission.objects.get(codename="view_selectcolorevent"))
    return user


@pytest.fixture
def viewer(db: None) -> Client:
    """A browser of a staff member who may see events."""
    client = Client()
    client.force_login(staff("viewer", may_see=True))
    return client


@pytest.fixture(autouse=True)
def _console_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for freshness in ("FRESH_SECONDS", "MOST_FRESH_SECONDS"):
        monkeypatch.setattr(live, freshness, 0.0)  # what a test has just changed is seen at once
    yield
    conf.console_settings.cache_clear()
    guard.guard.cache_clear()
    live.live_reads.cache_clear()


@pytest.fixture
def console(servers: Stack, topic: str, index: str, settings: Settings) -> Stack:
    """The console shows `topic` and `index` of the stack, and two sinks that have read nothing; it forgets failures."""
    settings.CONSOLE = {"away_seconds": 0}
    conf.console_settings.cache_clear()
    settings.EVENTS = {**settings.EVENTS, "topic": topic}
    settings.SINKS = {
        "hdfs": {"kind": "hdfs", "topics": [topic], "group": f"{topic}-hdfs", "target": {"path": f"/{topic}"}},
        "elasticsearch": {
            "kind": "elasticsearch",
            "topics": [topic],
            "group": f"{topic}-es",
            "target": {"index": index},
        },
    }
    events_conf.events_settings.cache_clear()
    sinks_registry.sinks.cache_clear()
    return servers


@pytest.fixture
def views(console: Stack, page_view: None, settings: Settings) -> str:
    """An index of page views, stored by a sink of its own."""
    name = f"i-{uuid.uuid4().hex[:8]}"
    target = {"index": name, "replicas": 0}
    entry = {"kind": "elasticsearch", "topics": ["views"], "event": "page-view", "target": target}
    settings.SINKS = {**settings.SINKS, "views": entry}
    sinks_registry.sinks.cache_clear()
    client = elasticsearch_client.connect({"hosts": [console.elasticsearch_url]}, connections=1)
    elasticsearch_setup.prepare(client, ElasticsearchTarget(index=name, replicas=0), event="page-view")
    client.close()
    return name


def index_events(index: str, events: list[dict[str, Any]]) -> None:
    """Stores events; one without a timestamp is of one minute ago. They can be searched at once."""
    minute_ago = format_timestamp(datetime.now().astimezone() - timedelta(minutes=1))
    actions = [
        {"_index": index, "_id": f"topic-0-{number}", "timestamp": minute_ago, "userAgent": "curl/8.5.0", **event}
        for number, event in enumerate(events)
    ]
    helpers.bulk(connections.get_connection(), actions, refresh=True)
