"""Fixtures of the tests of collecting."""

import pytest

from events import api
from tests.events.fakes import FakeProducer


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> FakeProducer:
    """The endpoint produces to this one."""
    fake = FakeProducer()
    monkeypatch.setattr(api, "process_producer", lambda: fake)
    return fake
