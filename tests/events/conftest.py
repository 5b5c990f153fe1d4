"""Fixtures of the tests of collecting."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from devstack.stack import Stack
from events import process_collector
from tests.events.doors import DOORS, Client
from tests.events.fakes import FakeDelivery
from tests.events.sites import Site
from tests.events.web import WORKERS, Web
from tests.support import stack_env


@pytest.fixture
def delivery(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDelivery]:
    """What the doors of this process collect goes here."""
    fake = FakeDelivery()
    process_collector.close_process_collector()
    monkeypatch.setattr(process_collector, "ProcessDelivery", lambda conf: fake)
    yield fake
    process_collector.close_process_collector()


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each door in turn; `Client` of tests/events/doors.py goes through it."""
    monkeypatch.setattr(Client, "door", request.param)
    return str(request.param)


@pytest.fixture
def web(stack: Stack, topic: str) -> Iterator[Callable[..., Web]]:
    """Starts the web server; what still runs at the end is killed."""
    started: list[Web] = []

    def start(*options: str, workers: int = WORKERS, **variables: str) -> Web:
        started.append(Web(stack_env(stack, EVENTS_TOPIC=topic, **variables), *options, workers=workers))
        return started[-1]

    yield start
    for web in started:
        if web.process.is_running():
            web.kill()


@pytest.fixture
def site(browser: Any, live_server: Any, delivery: FakeDelivery) -> Iterator[Site]:
    context = browser.new_context()
    yield Site(context, live_server.url)
    context.close()
