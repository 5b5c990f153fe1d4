"""What is counted of requests and events: the same through both doors, exact over processes that come and go."""

import json
import os
import signal
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from devstack.stack import Stack
from events.delivery import Mode
from events.metrics import ACCEPTED, REQUESTS, UNAVAILABLE
from tests.events.doors import Client
from tests.events.fakes import FakeDelivery
from tests.events.web import WORKERS, Web, status_of
from tests.support import Process, kafka_killed, manage, stack_env, wait_until

ADA = {"colorName": "red", "userName": "Ada"}


def counted(delivery: FakeDelivery, name: str) -> dict[tuple[str, ...], int]:
    return {key[1:]: number for key, number in delivery.counters.values().items() if key[0] == name}


def test_answers_are_counted_by_door_address_and_status(delivery: FakeDelivery, door: str) -> None:
    client = Client()
    for _ in range(3):
        client.get("/api/select?color=red&user=Ada")
    client.get("/api/select")
    client.post("/api/select", "{", "application/json")
    client.post("/api/events", json.dumps([ADA, {}]), "application/json")
    client.post("/api/events", "{}", "application/json")
    client.post("/api/events", "{}", "text/csv")
    delivery.refuse()
    client.post("/api/events", json.dumps(ADA), "application/json")
    delivery.refusal = RuntimeError()
    client.get("/api/select?color=red&user=Ada")
    assert counted(delivery, REQUESTS) == {
        (door, "/api/select", "202"): 3,
        (door, "/api/select", "400"): 2,
        (door, "/api/select", "500"): 1,
        (door, "/api/events", "202"): 1,
        (door, "/api/events", "400"): 1,
        (door, "/api/events", "415"): 1,
        (door, "/api/events", "503"): 1,
    }


@pytest.mark.usefixtures("door")
def test_a_method_that_is_not_allowed_is_counted_with_django(delivery: FakeDelivery) -> None:
    client = Client()
    client.get("/api/select?color=red&user=Ada")
    client.delete("/api/select")
    client.get("/api/nothing")
    assert counted(delivery, REQUESTS)["view", "/api/select", "405"] == 1
    assert sum(counted(delivery, REQUESTS).values()) == 2


@pytest.mark.usefixtures("door")
def test_events_are_counted_by_topic_and_mode(delivery: FakeDelivery) -> None:
    client = Client()
    batch = json.dumps([ADA, {}, ADA, ADA])
    client.post("/api/events", batch, "application/json")
    client.post("/api/events?mode=spooled", batch, "application/json", QUERY_STRING="mode=spooled")
    client.get("/api/select?color=red&user=Ada")
    delivery.refuse()
    delivery.refuses_from = 1
    client.post("/api/events", batch, "application/json", QUERY_STRING="mode=acknowledged")
    client.get("/api/select?color=red&user=Ada")
    assert counted(delivery, ACCEPTED) == {
        ("select-color", "accepted"): 4,
        ("select-color", "spooled"): 3,
        ("select-color", "acknowledged"): 1,
    }
    assert counted(delivery, UNAVAILABLE) == {("acknowledged",): 2, ("accepted",): 1}
    assert delivery.modes[-1] is Mode.ACCEPTED


# --- Under the web server


def scrape(url: str) -> dict[str, float]:
    """Name and labels -> number; each name once, with its type and help."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as response:
        families = list(text_string_to_metric_families(response.read().decode()))
    assert all(family.documentation and family.type != "unknown" for family in families)
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


@pytest.fixture
def shared(tmp_path: Path) -> dict[str, str]:
    """What the processes of a server share."""
    return {"EVENTS_SPOOL_PATH": str(tmp_path / "spool"), "EVENTS_METRICS_PATH": str(tmp_path / "metrics")}


@pytest.mark.integration
def test_sums_are_exact_over_processes_that_are_killed_and_started_again(
    topic: str, web: Callable[..., Web], shared: dict[str, str]
) -> None:
    server = web("--respawn-failed-workers", "--respawn-interval", "0.5", **shared)
    good = f"{server.url}/api/select?color=red&user=Ada"
    expected = "collector_requests_total lane /api/select 202"

    def send(count: int) -> None:
        for number in range(count):
            assert status_of(good) == 202
            if not number % 10:
                assert status_of(f"{server.url}/api/select") == 400

    send(200)
    killed = server.workers()[0].pid
    os.kill(killed, signal.SIGKILL)
    wait_until(
        lambda: len(server.workers()) == WORKERS and killed not in [worker.pid for worker in server.workers()],
        what="a new process",
    )
    wait_until(lambda: server.process.text.count("Started worker-") == WORKERS + 1, what="that it answers")
    send(100)
    sums = scrape(server.url)
    assert sums[expected] == 300
    assert sums["collector_requests_total lane /api/select 400"] == 30
    assert sums[f"collector_events_accepted_total accepted {topic}"] == 300
    assert sums["collector_events_rejected_total select-color fields"] == 30
    wait_until(lambda: scrape(server.url)["collector_processes"] == WORKERS, what="the state of two processes")

    def all_delivered() -> bool:
        # What the killed process had delivered in its last second it could not tell any more.
        return scrape(server.url)["collector_records_delivered_total"] >= 100

    wait_until(all_delivered, what="deliveries")
    wait_until(lambda: scrape(server.url)["collector_broker_seconds"] > 0, what="librdkafka's statistics")
    assert scrape(server.url)["collector_kafka_away"] == 0
    assert server.process.stop() == 0
    server.start()
    assert scrape(server.url)[expected] == 300


@pytest.mark.integration
def test_a_server_that_drains_is_not_ready_and_answers_until_it_ends(
    stack: Stack, topic: str, web: Callable[..., Web], shared: dict[str, str]
) -> None:
    server = web(**shared)

    def ready() -> list[int]:
        return [status_of(f"{server.url}/readyz") for _ in range(10)]

    assert set(ready()) == {200}
    started_at = time.monotonic()
    command = Process(manage("drain", "--seconds", "2"), stack_env(stack, **shared))
    command.wait_for("draining for 2 s")
    assert set(ready()) == {503}
    assert status_of(f"{server.url}/api/select?color=red&user=Ada") == 202
    assert status_of(f"{server.url}/healthz") == 200
    assert command.wait() == 0
    assert time.monotonic() - started_at >= 2
    assert server.process.stop() == 0
    server.start()
    assert set(ready()) == {200}


@pytest.mark.integration
def test_ready_knows_kafka_by_librdkafkas_statistics(
    stack: Stack, topic: str, web: Callable[..., Web], shared: dict[str, str]
) -> None:
    """Without an event on its way, in the mode that needs Kafka: away when it is, and there again by itself."""
    quick = json.dumps({"reconnect.backoff.max.ms": 500})
    server = web(workers=1, EVENTS_MODE="acknowledged", EVENTS_PRODUCER_OPTIONS=quick, **shared)

    def answer() -> Any:
        return status_of(f"{server.url}/readyz")

    wait_until(lambda: answer() == 200, what="readiness")
    with kafka_killed(stack):
        wait_until(lambda: answer() == 503, what="that Kafka is away")
    wait_until(lambda: answer() == 200, seconds=60, what="readiness again")
