"""Fixtures of the tests of collecting."""

from collections.abc import Iterator

import pytest

from events import process_collector
from tests.events.doors import DOORS, Client
from tests.events.fakes import FakeDelivery


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
