"""A topic of a real Kafka that is stuck: its own events alone are set aside or refused, all others flow."""

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic
from django.test import Client

from devstack.stack import Stack
from events import conf, process_collector, process_delivery
from tests.support import end_offsets, read_topic, three_brokers, wait_until

pytestmark = pytest.mark.integration


def make_topic(kafka: Stack, topic: str, *, brokers: list[int]) -> None:
    """A topic of three partitions, each with one replica, on these brokers in turn."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    assignment = [[brokers[number % len(brokers)]] for number in range(3)]
    (future,) = admin.create_topics([NewTopic(topic, 3, replica_assignment=assignment)]).values()
    future.result(timeout=30)


MODES = ("accepted", "spooled", "acknowledged")


class Site:
    """The collector of this process. Its kinds: select-color to a topic that is there, page-view to `stuck`."""

    def __init__(self, stack: Stack, topic: str) -> None:
        self.stack = stack
        self.topic = topic
        self.stuck = f"{topic}-stuck"
        self.taken: Counter[str] = Counter()

    def send(self, mode: str, count: int = 50) -> None:
        """Sends events of select-color: each is taken."""
        events = [{"colorName": "red", "userName": "Ada"}] * count
        assert self._post(mode, events).status_code in (201, 202)
        self.taken[self.topic] += count

    def send_stuck(self, mode: str, count: int = 10) -> int:
        """Sends a batch of page-view with an event of select-color in it, which is taken; the answer's status."""
        pages: list[dict[str, Any]] = [{"event": "page-view", "path": f"/{number}"} for number in range(count)]
        answer = self._post(mode, [*pages, {"colorName": "red", "userName": "Ada"}])
        if answer.status_code == 503:
            assert answer.json()["unavailable"] == list(range(count))
        else:
            self.taken[self.stuck] += count
        self.taken[self.topic] += 1
        return int(answer.status_code)

    def arrived(self, topic: str) -> int:
        return sum(end_offsets(self.stack, topic))

    def has_all(self, topic: str) -> bool:
        return self.arrived(topic) == self.taken[topic]

    def unready(self) -> list[str]:
        """Why this process should get no requests at present."""
        return list(Client().get("/readyz").json()["reasons"])

    def _post(self, mode: str, events: list[dict[str, Any]]) -> Any:
        return Client().post(f"/api/events?mode={mode}", json.dumps(events), "application/json")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Three brokers: without one of them Kafka is there, but a topic that is on that one alone has no leader."""
    with three_brokers(tmp_path_factory.mktemp("brokers")) as cluster:
        yield cluster


@pytest.fixture
def site(kafka: Stack, settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setitem(process_delivery.FEEDING, "message.timeout.ms", 5000)
    site = Site(kafka, f"t-{uuid.uuid4().hex[:8]}")
    make_topic(kafka, site.topic, brokers=[1, 2])
    settings.KAFKA = {"default": {"bootstrap.servers": kafka.bootstrap_servers}}
    settings.EVENTS = {
        **settings.EVENTS,
        "topic": site.topic,
        "kinds": {"page-view": {"type": "tests.events.page_view.PageView", "topic": site.stuck}},
        "mode": "acknowledged",
        "acknowledge_seconds": 3.0,
        "spool": {"path": str(tmp_path), "max_bytes": 2**20, "segment_bytes": 2**16},
    }
    conf.events_settings.cache_clear()
    conf.kinds.cache_clear()
    process_collector.process_delivery()
    yield site
    process_collector.close_process_collector()


@pytest.fixture
def unready(site: Site) -> Iterator[list[str]]:
    """Why the process was not ready, at any moment since it was first."""
    wait_until(lambda: not site.unready(), what="readiness")
    seen: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.05):
            seen.extend(site.unready())

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    ended.set()
    thread.join()


def test_a_topic_that_is_missing_stops_no_other_in_any_mode(kafka: Stack, site: Site, unready: list[str]) -> None:
    assert [site.send_stuck(mode) for mode in MODES] == [202, 202, 503]
    for _ in range(5):
        for mode in MODES:
            site.send(mode)
    wait_until(lambda: site.has_all(site.topic), seconds=10, what="the events of the other topic")
    wait_until(lambda: site.send_stuck("spooled", 900) == 503, what="the end of its room")
    assert site.send_stuck("accepted") == 503
    for mode in MODES:
        site.send(mode)
    wait_until(lambda: site.has_all(site.topic), seconds=10, what="the events of the other topic")
    assert unready == []

    make_topic(kafka, site.stuck, brokers=[1, 2, 3])
    wait_until(lambda: site.has_all(site.stuck), what="what was set aside")
    for mode in MODES:
        wait_until(lambda mode=mode: site.send_stuck(mode) in (201, 202), what=f"its own events, {mode}")  # type: ignore[misc]
    wait_until(lambda: site.has_all(site.stuck) and site.has_all(site.topic))


def test_a_topic_without_a_leader_stops_no_other_in_any_mode(kafka: Stack, site: Site, unready: list[str]) -> None:
    make_topic(kafka, site.stuck, brokers=[3])
    wait_until(lambda: site.send_stuck("acknowledged") == 201)
    kafka.kafka[2].kill()
    assert [site.send_stuck(mode) for mode in MODES] == [202, 202, 503]
    for mode in MODES:
        site.send(mode)
    wait_until(lambda: site.has_all(site.topic), seconds=60, what="the events of the other topic")
    for _ in range(5):
        for mode in MODES:
            site.send(mode)
        assert site.send_stuck("accepted") == 202
        wait_until(lambda: site.has_all(site.topic), seconds=5, what="the events of the other topic")
    assert unready == []

    kafka.kafka[2].start()
    kafka.kafka[2].wait_ready(120)
    wait_until(lambda: process_collector.process_delivery().undelivered() == 0, seconds=60)
    values = [message.value() for message in read_topic(kafka, site.stuck, site.taken[site.stuck])]
    assert Counter(json.loads(value)["path"] for value in values) == {f"/{number}": 8 for number in range(10)}
