"""What probes are told."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from events import conf
from kafka_client.producer import DeliveryCounts
from tests.events.fakes import FakeDelivery

FINE: dict[str, Any] = {
    "is_closed": False,
    "is_draining": False,
    "is_kafka_away": False,
    "is_spooling": False,
    "counts": lambda: DeliveryCounts(delivered=0, failed=0, refused=0, waiting=3),
    "feeder": SimpleNamespace(aside=0),
    "spool": SimpleNamespace(used=0, max_bytes=100, can_be_written=lambda: True),
}
NEARLY_FULL = SimpleNamespace(used=91, max_bytes=100, can_be_written=lambda: True)
UNWRITABLE = SimpleNamespace(used=50, max_bytes=100, can_be_written=lambda: False)


def test_a_process_that_answers_is_alive() -> None:
    response = Client().get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


@pytest.mark.parametrize(
    ("mode", "state", "reasons"),
    [
        ("accepted", {}, []),
        ("accepted", {"is_kafka_away": True}, []),
        ("acknowledged", {"is_kafka_away": True}, ["Kafka is away"]),
        ("spooled", {"spool": SimpleNamespace(used=90, max_bytes=100, can_be_written=lambda: True)}, []),
        ("spooled", {"feeder": SimpleNamespace(aside=7)}, []),
        ("spooled", {"spool": NEARLY_FULL}, ["the spool is nearly full"]),
        ("spooled", {"spool": UNWRITABLE}, ["the spool can't be written"]),
        ("accepted", {"spool": UNWRITABLE, "is_spooling": True}, ["the spool can't be written"]),
        ("accepted", {"spool": UNWRITABLE}, []),
        ("acknowledged", {"spool": UNWRITABLE, "is_spooling": True}, []),
        ("accepted", {"is_closed": True}, ["the process ends"]),
        ("accepted", {"is_draining": True}, ["draining"]),
    ],
)
def test_it_is_ready_while_it_can_take_events(
    delivery: FakeDelivery, settings: Any, mode: str, state: dict[str, Any], reasons: list[str]
) -> None:
    settings.EVENTS = {**settings.EVENTS, "mode": mode}
    for name, value in {**FINE, **state}.items():
        setattr(delivery, name, value)
    response = Client().get("/readyz")
    assert response.status_code == (503 if reasons else 200)
    assert response.json() == {
        "status": "unavailable" if reasons else "ready",
        "reasons": reasons,
        "kafka": "away" if state.get("is_kafka_away") else "there",
        "queue": 3,
        "aside": state.get("feeder", FINE["feeder"]).aside,
        "spool": {"bytes": state.get("spool", FINE["spool"]).used, "max_bytes": 100},
    }


def test_metrics_are_for_prometheus_and_can_be_switched_off(settings: Any) -> None:
    response = Client().get("/metrics")
    assert (response.status_code, response["Content-Type"].partition(";")[0]) == (200, "text/plain")
    assert "\ncollector_records_delivered_total " in response.text
    settings.EVENTS = {**settings.EVENTS, "metrics_path": ""}
    conf.events_settings.cache_clear()
    assert Client().get("/metrics").status_code == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_another_method_is_told_so(delivery: FakeDelivery, path: str) -> None:
    assert Client(enforce_csrf_checks=True).post(path).status_code == 405
