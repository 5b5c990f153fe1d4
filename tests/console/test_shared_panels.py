"""Ten tabs that ask the same at once make one read of the server; one that asks a slow server is not kept waiting."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import RequestFactory, override_settings
from django.urls import clear_script_prefix, set_script_prefix
from django.utils import timezone
from django.utils.translation import override
from pytest_django import Settings

from pipeline import conf, live, offsets
from pipeline.console.paging import part_of
from pipeline.console.panels import Panel, panel_view
from pipeline.console.sinks.progress import shared_progress
from pipeline.console.topics import describe, views
from pipeline.errors import ServerAway, ServerError
from pipeline.kafka_reads import ClusterOffsets, GroupOffsets
from pipeline.live import LiveReads
from sinks.registry import sinks

TABS = 10
ANSWERS = LiveReads.answers
"""As it is before this folder's fixtures make it wait for longer."""


class Kafka:
    """Answers what is read of it when it may; counts the reads."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.reads = 0

    def read(self, *_arguments: Any, **_options: Any) -> Any:
        self.reads += 1
        assert self.may_answer.wait(30)
        return []


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kafka]:
    kafka = Kafka()
    monkeypatch.setattr(live, "FRESH_SECONDS", 1.0)
    monkeypatch.setattr(live, "MOST_FRESH_SECONDS", 15.0)  # an answer waits for those who asked for it
    monkeypatch.setattr(describe, "partition_states", kafka.read)
    yield kafka
    kafka.may_answer.set()


@pytest.fixture
def _as_a_site(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """A panel waits for its server no longer than it does for a reader."""
    monkeypatch.setattr(LiveReads, "answers", ANSWERS)
    settings.CONSOLE = {"wait_seconds": 0.1}
    conf.console_settings.cache_clear()


def asked(path: str) -> HttpRequest:
    """A request of somebody who may see everything."""
    request: HttpRequest = RequestFactory().get(path)
    request.user = User(is_superuser=True)
    return request


def panel(language: str = "en") -> dict[str, Any]:
    request = asked("/admin/console/topics/default/select-color/partitions/")
    with override(language):
        answer: Any = panel_view(views.partitions_panel)(request, cluster="default", name="select-color")
        return dict(json.loads(answer.content))


def test_tabs_that_ask_at_once_share_one_read(kafka: Kafka) -> None:
    with ThreadPoolExecutor(TABS) as tabs:
        asked = [tabs.submit(panel) for _ in range(TABS)]
        kafka.may_answer.set()
        answers = [one.result() for one in asked]
    assert kafka.reads == 1
    assert all("There is no topic of this name" in answer["html"] for answer in answers)


def test_each_language_has_a_panel_of_its_own(kafka: Kafka) -> None:
    kafka.may_answer.set()
    assert panel("en")["html"] != panel("ko")["html"]
    assert kafka.reads == 2


def test_each_time_zone_has_a_panel_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRESH_SECONDS", 1.0)

    def read(_query: Any) -> dict[str, Any]:
        zone = timezone.get_current_timezone_name()
        return {"tables": [{"label": zone, "rows": [("name", 1)], "most": 1, "total": 1}]}

    zoned = panel_view(Panel("zoned", "Zone", "statistics/top.html", read, "console:topics", server="none"))
    for zone in ("Asia/Seoul", "America/New_York"):
        with timezone.override(zone):
            answer: Any = zoned(asked("/"))
        assert zone in json.loads(answer.content)["html"]


def test_panels_of_two_pages_may_have_the_same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FRESH_SECONDS", 1.0)

    def panel_of(address: str) -> Any:
        def read(_query: Any) -> dict[str, Any]:
            return {"tables": [{"label": address, "rows": [("name", 1)], "most": 1, "total": 1}]}

        return panel_view(Panel("same", "Same", "statistics/top.html", read, address, server="none"))

    for address in ("console:topics", "console:groups"):
        assert address in json.loads(panel_of(address)(asked("/")).content)["html"]


@pytest.mark.usefixtures("_as_a_site")
def test_who_asks_a_slow_server_is_told_to_ask_again_and_gets_its_answer_then(kafka: Kafka) -> None:
    assert [panel() for _ in range(3)] == [{"late": True}] * 3
    kafka.may_answer.set()
    while (answer := panel()) == {"late": True}:
        pass
    assert "html" in answer
    assert kafka.reads == 1


def test_an_error_of_the_server_is_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_arguments: Any) -> Any:
        raise ServerAway("Kafka", "no answer")

    monkeypatch.setattr(describe, "partition_states", away)
    assert panel() == {"error": {"server": "Kafka", "text": "no answer"}}


@pytest.mark.usefixtures("_as_a_site")
def test_how_far_sinks_are_is_one_read_for_all_tabs_and_not_known_meanwhile(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ClusterOffsets({}, {sink.group: GroupOffsets() for sink in sinks().values()})
    monkeypatch.setattr(offsets, "read_offsets", lambda *_, **__: kafka.read() or found)
    unknown: dict[str, tuple[ClusterOffsets | None, ServerError | None]] = dict.fromkeys(sinks(), (None, None))
    assert [shared_progress(sinks().values()) for _ in range(3)] == [unknown] * 3
    kafka.may_answer.set()
    while (known := shared_progress(sinks().values())) == unknown:
        pass
    assert known == dict.fromkeys(sinks(), (found, None))
    assert kafka.reads == 1


def test_links_of_a_shared_panel_have_the_sites_prefix(operator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = describe.TopicSummary("clicks", 1, 1, 0, 0, False, (), False, False)
    monkeypatch.setattr(describe, "topic_summaries", lambda _cluster, **_: part_of([summary], 1, 50))
    client = operator()
    with override_settings():  # static files keep the prefix of this request, until these settings end
        set_script_prefix("/site/")
        try:
            html = client.get("/admin/console/topics/default/", SCRIPT_NAME="/site").json()["html"]
        finally:
            clear_script_prefix()
    assert 'href="/site/admin/console/topics/default/clicks/"' in html
