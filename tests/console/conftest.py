"""Fixtures of the console's sub-pages: operators with some permissions, and settings that point at a fresh topic."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from devstack.stack import Stack
from events import conf as events_conf
from pipeline import budget, conf, guard, live
from pipeline.console import sending
from pipeline.console.files import folders
from pipeline.live import LiveReads
from sinks import registry as sinks_registry
from tests.pipeline.conftest import staff, viewer

__all__ = ["viewer"]


@pytest.fixture(autouse=True)
def _console_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for freshness in ("FRESH_SECONDS", "MOST_FRESH_SECONDS"):
        monkeypatch.setattr(live, freshness, 0.0)  # what a test has just changed is seen at once
    answers = LiveReads.answers

    def patient(reads: LiveReads, questions: Any, *, wait_seconds: float, or_before: bool = False) -> Any:
        # A test asks for a panel once: it is there then, also where the server takes its time.
        return answers(reads, questions, wait_seconds=30.0 if or_before else wait_seconds, or_before=or_before)

    monkeypatch.setattr(LiveReads, "answers", patient)
    yield
    conf.console_settings.cache_clear()
    budget.PLACES.taken = 0
    guard.guard.cache_clear()
    live.live_reads.cache_clear()
    sending._downloads.cache_clear()
    folders._browser.cache_clear()


@pytest.fixture
def console(servers: Stack, topic: str, settings: Settings) -> Stack:
    """The console shows `topic` of the stack, and two sinks that have read nothing; there is no index."""
    settings.EVENTS = {**settings.EVENTS, "topic": topic}
    settings.SINKS = {
        "hdfs": {"kind": "hdfs", "topics": [topic], "group": f"{topic}-hdfs", "target": {"path": f"/{topic}"}},
        "elasticsearch": {
            "kind": "elasticsearch",
            "topics": [topic],
            "group": f"{topic}-es",
            "target": {"index": topic},
        },
    }
    events_conf.events_settings.cache_clear()
    sinks_registry.sinks.cache_clear()
    return servers


@pytest.fixture
def operator(db: None) -> Callable[..., Client]:
    """Gives the browser of a staff member who may see events, and what else is named: produce, control, replay."""

    def sign_in(*permissions: str) -> Client:
        user = staff("-".join(["operator", *permissions]), may_see=True)
        user.user_permissions.add(
            *Permission.objects.filter(content_type__app_label__in=("console", "connectors"), codename__in=permissions)
        )
        client = Client()
        client.force_login(user)
        return client

    return sign_in
