"""Kafka away for a while under load, and a server process killed meanwhile: what was promised is counted."""

import http.client
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from devstack.stack import Stack
from events.spool import DAMAGED
from tests.events.web import WORKERS, Web, spooled_bytes
from tests.support import read_whole_topic, wait_until

pytestmark = pytest.mark.integration

AWAY_SECONDS = 10.0


class Load:
    """Clients that send batches without a pause, each event with an id of its own; they note what was promised."""

    def __init__(self, port: int, mode: str, clients: int = 2) -> None:
        self._port = port
        self._path = f"/api/events?mode={mode}"
        self._stop = threading.Event()
        self.promised: dict[str, float] = {}
        """The id of each event that was taken, and when its answer came."""
        self.refused: set[str] = set()
        """The ids of events that were answered by an error."""
        self._threads = [threading.Thread(target=self._send) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set():
            ids = [str(uuid.uuid4()) for _ in range(10)]
            events = [{"colorName": "red", "userName": "Ada", "id": event_id} for event_id in ids]
            try:
                connection.request("POST", self._path, json.dumps(events), {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                connection.close()  # its process was killed: nothing was promised, nothing refused
                time.sleep(0.01)
                continue
            refused = {ids[index] for index in answer.get("unavailable", ())}
            self.refused |= refused
            now = time.monotonic()
            self.promised.update((event_id, now) for event_id in ids if event_id not in refused)
            time.sleep(0.01)


def test_nothing_promised_is_lost_while_kafka_is_away_and_a_process_is_killed(
    stack: Stack, topic: str, web: Callable[..., Web], tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    server = web(
        "--respawn-failed-workers",
        "--respawn-interval",
        "0.5",
        EVENTS_SPOOL_PATH=str(spool),
        EVENTS_PRODUCER_OPTIONS=json.dumps({"reconnect.backoff.max.ms": 500}),
        EVENTS_ACKNOWLEDGE_SECONDS="3",
    )
    loads = {mode: Load(server.port, mode) for mode in ("accepted", "spooled", "acknowledged")}
    wait_until(lambda: all(len(load.promised) > 200 for load in loads.values()), what="events")
    away_at = time.monotonic()
    stack.kafka[0].kill()
    try:
        wait_until(lambda: loads["acknowledged"].refused, what="a refusal")
        wait_until(lambda: time.monotonic() - away_at > AWAY_SECONDS / 2)
        os.kill(server.workers()[0].pid, signal.SIGKILL)
        wait_until(lambda: len(server.workers()) == WORKERS, what="a new process")
        wait_until(lambda: time.monotonic() - away_at > AWAY_SECONDS)
    finally:
        stack.kafka[0].start()
        stack.kafka[0].wait_ready()
    back = {mode: len(load.promised) for mode, load in loads.items()}
    wait_until(lambda: all(len(load.promised) > back[mode] + 100 for mode, load in loads.items()), what="events again")
    for load in loads.values():
        load.stop()
    wait_until(lambda: spooled_bytes(spool) == 0, seconds=60, what="an empty spool")
    assert server.process.stop() == 0
    assert [path.name for path in spool.iterdir() if path.name != DAMAGED] == []

    promised = {mode: set(load.promised) for mode, load in loads.items()}
    arrived = {dict(message.headers())["event.id"].decode() for message in read_whole_topic(stack, topic)}
    assert promised["spooled"] - arrived == set()
    assert promised["acknowledged"] - arrived == set()
    # In the mode accepted a killed process loses what is in its memory: nothing of what came in while Kafka was away.
    lost = promised["accepted"] - arrived
    assert {event_id for event_id in lost if loads["accepted"].promised[event_id] > away_at + 1} == set()
    assert loads["acknowledged"].refused & arrived == set()
