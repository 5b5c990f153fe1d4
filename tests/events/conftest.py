"""Fixtures of the tests of collecting."""

from collections.abc import Iterator

import pytest

from events import process_collector
from tests.events.fakes import FakeDelivery


@pytest.fixture
def delivery(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDelivery]:
    """What the doors of this process collect goes here."""
    fake = FakeDelivery()
    process_collector.close_process_collector()
    monkeypatch.setattr(process_collector, "ProcessDelivery", lambda conf: fake)
    yield fake
    process_collector.close_process_collector()
