"""Kafka away for a while under load, server processes killed meanwhile, and what was promised counted."""

import http.client
import json
import os
import random
import signal
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from devstack.server import Server
from devstack.stack import Stack
from events.spool.reader import DAMAGED
from tests.events.web import WORKERS, Web, spooled_bytes
from tests.support import read_whole_topic, wait_until

MODES = ("accepted", "spooled", "acknowledged")

KILL_EACH_SECONDS = 10.0
"""How often a process is killed at most; the web server gives up when one dies too soon after its start."""


def environment(spool: Path) -> dict[str, str]:
    """How the web server is set."""
    return {
        "EVENTS_SPOOL_PATH": str(spool),
        "EVENTS_METRICS_PATH": str(spool.parent / "metrics"),
        "EVENTS_PRODUCER_OPTIONS": json.dumps({"reconnect.backoff.max.ms": 500}),
        "EVENTS_ACKNOWLEDGE_SECONDS": "3",
    }


SMALL_SPOOL = {"EVENTS_SPOOL_MAX_BYTES": str(2**20), "EVENTS_SPOOL_SEGMENT_BYTES": str(2**16)}
"""A spool that the load fills within seconds."""

OPTIONS = ("--respawn-failed-workers", "--respawn-interval", "0.5")
"""Of the web server."""


@dataclass(frozen=True)
class Counts:
    """Events of a mode. lost: the ids of those that were promised and have not arrived; ghosts: refused, and arrived.

    on_the_wire: of the mode acknowledged, refused and arrived, when a request to Kafka may have been under way while it
    went or came: those no client can call back.
    """

    promised: int
    refused: int
    arrived: int
    lost: Collection[str]
    ghosts: int
    on_the_wire: int

    def __str__(self) -> str:
        return (
            f"{self.promised} promised, {self.refused} refused, {self.arrived} of the promised arrived, "
            f"{len(self.lost)} lost, {self.ghosts} ghosts, {self.on_the_wire} on the wire"
        )


class Load:
    """Clients that send batches without a pause, each event with an id of its own; they note what was promised."""

    def __init__(self, port: int, mode: str, clients: int = 2) -> None:
        self.mode = mode
        self._port = port
        self._path = f"/api/events?mode={mode}"
        self._stop = threading.Event()
        self.promised: dict[str, float] = {}
        """The id of each event that was taken, and when its answer came."""
        self.refused: dict[str, tuple[float, float]] = {}
        """The id of each event that was answered 503, when it was sent, and when the answer came."""
        self.surprises: list[str] = []
        """Answers that there should not be."""
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
            sent_at = time.monotonic()
            try:
                connection.request("POST", self._path, json.dumps(events), {"Content-Type": "application/json"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                connection.close()  # its process was killed: nothing was promised, nothing refused
                time.sleep(0.01)
                continue
            if response.status not in (201, 202, 503):
                self.surprises.append(f"{response.status} {answer}")
                continue
            refused = {ids[index] for index in answer.get("unavailable", ())}
            now = time.monotonic()
            self.refused.update((event_id, (sent_at, now)) for event_id in refused)
            self.promised.update((event_id, now) for event_id in ids if event_id not in refused)
            time.sleep(0.01)


def run(
    stack: Stack,
    topic: str,
    server: Web,
    spool: Path,
    *,
    away_seconds: float,
    report: Callable[[str], object] = print,
) -> dict[str, Counts]:
    """Stops Kafka for so long; by mode what became of the events. The server is one of OPTIONS and `environment`.

    Of the mode accepted only what was promised later than a second after Kafka went away counts as lost: what a killed
    process had in its memory before may be. Raises AssertionError when it does not go on as it should.
    """
    with _loads(server) as loads:
        with _without(stack, Server.kill, Server.start) as absence:
            report("Kafka is killed")
            wait_until(lambda: loads["acknowledged"].refused, what="a refusal")
            _kill_processes(server, until=absence.begin + away_seconds, report=report)
        report(f"Kafka is back after {absence.end - absence.begin:.0f} s")
        _wait_for_events(loads)
    counts = _counts(stack, topic, server, spool, loads, [absence])
    late = {id for id in counts["accepted"].lost if loads["accepted"].promised[id] > absence.begin + 1}
    return counts | {"accepted": replace(counts["accepted"], lost=late)}


def run_blips(
    stack: Stack,
    topic: str,
    server: Web,
    spool: Path,
    *,
    blips: int,
    seed: int,
    report: Callable[[str], object] = print,
) -> dict[str, Counts]:
    """Kills or freezes Kafka again and again, while spools of SMALL_SPOOL get full; by mode what became of the events.

    No process of the server is killed, so all that was promised must arrive. Raises AssertionError when it does not go
    on as it should.
    """
    chance = random.Random(seed)
    absences = []
    with _loads(server) as loads:
        for _ in range(blips):
            away, back = chance.choice([(Server.kill, Server.start), (Server.pause, Server.resume)])
            seconds = chance.choice([0.3, 1, 3, 8, 12])
            with _without(stack, away, back) as absence:
                _wait_till(absence.begin + seconds)
            if away is Server.kill:  # what is sent to a frozen one waits in its sockets, and arrives
                absences.append(absence)
            refused = ", ".join(f"{mode} {len(load.refused)}" for mode, load in loads.items())
            report(f"Kafka: {away.__name__} for {seconds} s; refused until now: {refused}")
            _wait_till(time.monotonic() + chance.uniform(0, 4))
        _wait_for_events(loads)
    return _counts(stack, topic, server, spool, loads, absences)


@dataclass
class _Absence:
    """When Kafka went away and came back."""

    begin: float
    end: float = 0.0

    def has(self, sent_at: float, answered_at: float) -> bool:
        return self.begin < sent_at and answered_at < self.end


@contextmanager
def _loads(server: Web) -> Iterator[dict[str, Load]]:
    loads = {mode: Load(server.port, mode) for mode in MODES}
    try:
        wait_until(lambda: all(len(load.promised) > 200 for load in loads.values()), what="events")
        yield loads
    finally:
        for load in loads.values():
            load.stop()


@contextmanager
def _without(stack: Stack, away: Callable[[Server], None], back: Callable[[Server], None]) -> Iterator[_Absence]:
    kafka = stack.kafka[0]
    away(kafka)
    absence = _Absence(time.monotonic())
    try:
        yield absence
    finally:
        absence.end = time.monotonic()
        back(kafka)
        kafka.wait_ready()


def _wait_for_events(loads: Mapping[str, Load]) -> None:
    before = {mode: len(load.promised) for mode, load in loads.items()}
    wait_until(
        lambda: all(len(load.promised) > before[mode] + 100 for mode, load in loads.items()),
        seconds=120,
        what="events again",
    )


def _counts(
    stack: Stack, topic: str, server: Web, spool: Path, loads: Mapping[str, Load], absences: Sequence[_Absence]
) -> dict[str, Counts]:
    wait_until(lambda: spooled_bytes(spool) == 0, seconds=120, what="an empty spool")
    assert server.process.stop() == 0, server.process.text
    assert [path.name for path in spool.iterdir() if path.name != DAMAGED] == []
    assert [surprise for load in loads.values() for surprise in load.surprises] == []
    arrived = {dict(message.headers())["event.id"].decode() for message in read_whole_topic(stack, topic)}
    return {mode: _count(load, arrived, absences) for mode, load in loads.items()}


def _kill_processes(server: Web, *, until: float, report: Callable[[str], object]) -> None:
    """Kills one process after the other until the time has come."""
    pause = min(KILL_EACH_SECONDS, (until - time.monotonic()) / 2)
    kills = 0
    while (next_at := time.monotonic() + pause) < until:
        _wait_till(next_at)
        worker = server.workers()[kills % WORKERS]
        os.kill(worker.pid, signal.SIGKILL)
        kills += 1
        wait_until(lambda: len(server.workers()) == WORKERS, what="a new process")
        report(f"server process {worker.pid} is killed")
    _wait_till(until)


def _wait_till(moment: float) -> None:
    wait_until(lambda: time.monotonic() > moment, seconds=moment - time.monotonic() + 5, what="the time")


def _count(load: Load, arrived: set[str], absences: Sequence[_Absence]) -> Counts:
    promised = set(load.promised)
    found = [load.refused[event_id] for event_id in load.refused.keys() & arrived]
    ghosts = len(found)
    if load.mode == "acknowledged":
        ghosts = sum(any(absence.has(*times) for absence in absences) for times in found)
    return Counts(
        promised=len(promised),
        refused=len(load.refused),
        arrived=len(promised & arrived),
        lost=promised - arrived,
        ghosts=ghosts,
        on_the_wire=len(found) - ghosts,
    )
