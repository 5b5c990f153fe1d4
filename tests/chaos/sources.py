"""Random kills of sources and their servers, while 20 writers of each database and rotated logs go on.

In the end each committed row and each line is in Kafka once. A visible repeat is looked for after each action.
"""

import json
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import Message

from devstack.server import Server
from devstack.stack import Stack
from sources.positions import POSITIONS_CONFIG
from tests.chaos.chaos import STEP_SECONDS
from tests.sources.dying_source import STEPS
from tests.sources.processes import Nursery, SourceProcess
from tests.sources.rotation import Writer
from tests.sources.shop import LONG_PAUSES, Shop
from tests.sources.tables import TestDatabase
from tests.support import make_topics, wait_until
from worker.errors import Retriable
from worker.log_reader import MessageReader

POSITIONS = 4
MOST_SOURCES = 2
PROGRESS_SECONDS = 300.0

KILLS = {
    "kill": 5,  # kill -9, at any time
    "kill at step": 6,  # a source that kills itself before or after its n-th step of the protocol
    "sleep": 4,  # SIGSTOP; SIGCONT some actions later
    "term": 3,  # SIGTERM
    "join": 2,  # one process more
}
"""What happens to sources, and how often in proportion."""


class Ground(Protocol):
    """What a source reads. name: its topic."""

    name: str
    kind: str
    target: dict[str, Any]

    def stop(self) -> None:
        """Nothing is written any more."""

    def expected(self) -> Counter[Hashable]:
        """What must be in Kafka once everything is read."""

    def identity(self, message: Message) -> Hashable:
        """What a record is counted as."""

    def is_repeat(self, identity: Hashable) -> bool:
        """Whether a second record that counts as this must be a repeat."""


class Tables:
    """A table with 20 writers, whose transactions take 0 to 10 s, draw numbers early and are rolled back."""

    kind = "database"

    def __init__(self, database: TestDatabase) -> None:
        self.name = f"chaos-{database.server.name}"
        self._database = database
        database.run(f"CREATE TABLE orders (seq {database.number} PRIMARY KEY, writer int)")
        draws = "SELECT nextval('orders_seq_seq')" if database.is_postgres else ""
        self._shop = Shop(database, "orders", draws=draws, pauses=LONG_PAUSES, reconnects=True)
        self.target = {
            "database": database.url(),
            "mode": "incrementing",
            "incrementing_column": "seq",
            "tables": ["orders"],
            "topic": self.name,
            "key": ["writer"],
        }

    def stop(self) -> None:
        """Nothing is written any more."""
        self._shop.close()

    def expected(self) -> Counter[Hashable]:
        """Each row once."""
        return Counter(seq for [seq] in self._database.run("SELECT seq FROM orders"))

    def identity(self, message: Message) -> Hashable:
        """The row's number."""
        return int(json.loads(message.value() or b"")["seq"])

    def is_repeat(self, identity: Hashable) -> bool:
        """Each row has a number of its own."""
        return True


class Logs:
    """Three logs that are rotated in all ways that keep what was written."""

    kind = "file"
    name = "chaos-files"
    header = b"the same first line"

    def __init__(self, folder: Path, seed: int) -> None:
        folder.mkdir()
        chance = random.Random(seed)
        headers = {"a.log": b"", "b.log": self.header, "c.log": self.header}
        self._writers = [Writer(folder, name, chance, header=header) for name, header in headers.items()]
        self._stopping = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._write)
        self._thread.start()
        self.target = {"topic": self.name, "paths": [f"{folder}/*.log*"], "quiet_seconds": 2}

    def _write(self) -> None:
        try:
            while not self._stopping.wait(0.3):  # no file is deleted as the 41st before a source has read it
                for writer in self._writers:
                    writer.act()
            for writer in self._writers:
                while writer.steps:
                    writer.act()
                writer.append()
        except BaseException as error:
            self._failed.append(error)
            raise

    def stop(self) -> None:
        """Nothing is written any more."""
        self._stopping.set()
        self._thread.join(30)
        assert not self._failed

    def expected(self) -> Counter[Hashable]:
        """Each line as often as it was written."""
        return Counter(line for writer in self._writers for line in writer.written)

    def identity(self, message: Message) -> Hashable:
        """The line."""
        return message.value()

    def is_repeat(self, identity: Hashable) -> bool:
        """All lines but the first ones have a number."""
        return identity != self.header


class Run:
    """One source, its processes, and what Kafka has of it."""

    def __init__(self, stack: Stack, nursery: Nursery, ground: Ground) -> None:
        self.ground = ground
        self._nursery = nursery
        self._positions = f"{ground.name}-positions"
        make_topics(stack, ground.name, partitions=1)
        make_topics(stack, self._positions, partitions=POSITIONS, config=POSITIONS_CONFIG)
        self._reader = MessageReader({"bootstrap.servers": stack.bootstrap_servers}, group="chaos")
        self._read_to = 0
        self._ended: list[tuple[SourceProcess, set[int]]] = []
        self.committed: Counter[Hashable] = Counter()
        self.awake: list[SourceProcess] = []
        self.asleep: dict[SourceProcess, int] = {}

    def start(self, fault: dict[str, Any] | None = None) -> SourceProcess:
        """One process more."""
        entry = {
            "kind": self.ground.kind,
            "target": self.ground.target,
            "positions_topic": self._positions,
            "positions_partitions": POSITIONS,
            "poll_seconds": 0.2,
            "options": {"transaction_seconds": 0.3, "batch_records": 50, "retry_seconds": 0.5, "stop_seconds": 10},
            "consumer": {"session.timeout.ms": 6000, "heartbeat.interval.ms": 500},
        }
        process = self._nursery.start(self.ground.name, entry, fault=fault)
        self.awake.append(process)
        return process

    def kill(self, process: SourceProcess) -> None:
        """kill -9."""
        process.kill()
        self._gone(process, -signal.SIGKILL)

    def term(self, process: SourceProcess) -> None:
        """SIGTERM; the signal itself ends a process that has not begun to listen."""
        process.signal(signal.SIGTERM)
        self._gone(process, 0, -signal.SIGTERM)

    def sleep(self, process: SourceProcess, until: int) -> None:
        """SIGSTOP, until the action of this number."""
        process.signal(signal.SIGSTOP)
        self.awake.remove(process)
        self.asleep[process] = until

    def wake(self, number: int | None = None) -> None:
        """SIGCONT for those that have slept long enough; without a number for all."""
        for process in [process for process, until in self.asleep.items() if number is None or until <= number]:
            del self.asleep[process]
            process.signal(signal.SIGCONT)
            self.awake.append(process)

    def _gone(self, process: SourceProcess, *codes: int) -> None:
        self.awake.remove(process)
        self._ended.append((process, set(codes)))

    def look(self) -> int:
        """Reads what was committed since; returns how many records there are. No process may have ended by itself."""
        for process in self.awake:
            assert process.is_running, f"{process.pid} ended by itself ({process.code}): {process.text[-4000:]}"
        with suppress(Retriable):  # a transaction hides some, or Kafka is away
            end = self._reader.ends(self.ground.name, 0)[1]
            for message in self._reader.messages(self.ground.name, 0, self._read_to, end):
                self._read_to = message.offset() + 1
                identity = self.ground.identity(message)
                self.committed[identity] += 1
                is_repeat = self.committed[identity] > 1 and self.ground.is_repeat(identity)
                assert not is_repeat, f"{self.ground.name}: {identity!r} is there twice"
        return self.committed.total()

    def finish(self) -> int:
        """A last process reads the rest; who slept wakes and adds nothing. Returns how many records there are."""
        for process in list(self.awake):
            self.kill(process)
        self.start()
        expected = self.ground.expected()
        name = self.ground.name
        wait_until(lambda: self.look() >= expected.total(), seconds=180, what=f"{expected.total()} records of {name}")
        self.wake()
        for process in list(self.awake):
            if ": reads " in process.text:
                self.term(process)
            else:
                self.kill(process)
        for process, codes in self._ended:
            assert process.wait(STEP_SECONDS) in codes, f"{process.pid}: {process.code}: {process.text[-4000:]}"
        self.look()
        lost, more = expected - self.committed, self.committed - expected
        assert not (lost or more), f"{name}: lost {lost}, more {more}"
        return self.committed.total()


class SourceChaos:
    """Kills sources and servers at random; the same seed gives the same actions. report: is given a line for each."""

    def __init__(
        self,
        stack: Stack,
        nursery: Nursery,
        grounds: Sequence[Ground],
        *,
        servers: Sequence[Server],
        report: Callable[[str], None],
    ) -> None:
        self._servers = {server.name: server for server in servers}
        self._runs = [Run(stack, nursery, ground) for ground in grounds]
        self._report = report
        self.done: Counter[str] = Counter()

    def run(self, seed: int, kills: int, restarts: int) -> int:
        """Returns how many records were committed, each once. Raises AssertionError when it is not so."""
        chance = random.Random(seed)
        actions = chance.choices(list(KILLS), weights=list(KILLS.values()), k=kills)
        for action in [*self._servers] * restarts + ["progress"] * (kills // 10):
            actions.insert(chance.randrange(len(actions)), action)
        for number, action in enumerate(actions):
            time.sleep(chance.choice((0.0, 0.3, 1.0, 3.0)))
            run = chance.choice(self._runs)
            if not run.awake:
                run.start()
            self._report(f"{number + 1}/{len(actions)} {run.ground.name}: {self._do(action, run, number, chance)}")
            self.done[action] += 1
            for each in self._runs:
                each.wake(number)
                each.look()
        for each in self._runs:
            each.ground.stop()
        return sum(each.finish() for each in self._runs)

    def _do(self, action: str, run: Run, number: int, chance: random.Random) -> str:
        if server := self._servers.get(action):
            server.kill()
            server.start()
            server.wait_ready(120)
            return f"{action} killed and started"
        if action == "progress":
            begun = run.look()
            wait_until(lambda: run.look() > begun, seconds=PROGRESS_SECONDS, what="further records")
            return f"progress: {run.committed.total()} records"
        process = chance.choice(run.awake)
        if action == "join":
            if len(run.awake) >= MOST_SOURCES:
                run.term(process)
            process = run.start()
        elif action == "kill at step":
            fault = {
                "step": chance.choice(list(STEPS)),
                "number": chance.randrange(5),
                "after": chance.random() < 0.5,
                "signal": "SIGKILL",
            }
            run.kill(process)
            process = run.start(fault)
            with suppress(AssertionError):  # it may never come to the step
                process.wait(15)
            run.kill(process)
            return f"{action} {fault['step']} {process.pid}"
        elif action == "sleep":
            run.sleep(process, number + chance.randint(1, 6))
        elif action == "kill":
            run.kill(process)
        else:
            run.term(process)
        return f"{action} {process.pid}"
