"""A random, replayable run: sinks and servers are killed while records come in; in the end every record is counted.

The plan, a list of actions, depends on the seed alone, so a run can be repeated with the same actions in the same order
(when exactly they meet the sinks differs, of course). A visible repeat is looked for after every action.
"""

import random
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from devstack.stack import Stack
from tests.chaos.grounds import Ground, HdfsGround
from tests.sinks.counting import Stream
from tests.sinks.sink_processes import Nursery, SinkProcess
from tests.support import make_topics

PARTITIONS = 3
MOST_SINKS = 3

KILLS = {
    "kill": 5,  # kill -9 of any sink, at any time
    "kill at operation": 6,  # a sink that kills itself before its n-th operation on its store
    "torn": 1,  # a sink that kills itself in the middle of storing
    "sleep": 4,  # SIGSTOP; SIGCONT some actions later
    "term": 3,  # SIGTERM
    "twice term": 1,  # SIGTERM, and again at once
    "join": 2,  # one sink more in the group
}
"""What happens to sinks, and how often in proportion."""

STEP_SECONDS = 60.0
"""How long a process may take to end."""

PROGRESS_SECONDS = 300.0
"""How long nothing new may be visible: a new group of an Elasticsearch sink stores all documents anew before."""

STORY = ("fenced", ": lost ", "jumped back", "not stored; they are read again", " worked at try ")
"""What is counted in the logs of the sinks."""


@dataclass(frozen=True)
class Action:
    """One step of the plan. choice: picks the sink it is done to; pause: seconds before it."""

    kind: str
    choice: int = 0
    pause: float = 0.0
    options: dict[str, Any] = field(default_factory=dict)


def plan(seed: int, kills: int, restarts: int, servers: Sequence[str]) -> list[Action]:
    """The actions of a run: `kills` of sinks, and among them each of the servers killed `restarts` times."""
    chance = random.Random(seed)
    kinds = chance.choices(list(KILLS), weights=list(KILLS.values()), k=kills)
    actions = []
    for kind in kinds:
        options = {
            "flush_records": chance.choice([5, 20, 100]),
            "flush_seconds": chance.choice([0.1, 0.3, 1.0]),
            "tasks": chance.choice([1, 2]),
            "files_per_commit": chance.choice([1, 2, 32]),
            "old_records": chance.choice([1, 8]),
            "operation": chance.randrange(60),
            "actions_asleep": chance.randint(1, 6),
            "while_storing": chance.random() < 0.7,
        }
        actions.append(Action(kind, chance.randrange(1000), chance.choice([0.0, 0.1, 0.3]), options))
    events = [Action(server) for server in servers for _ in range(restarts)]
    events += [Action("new group")] * (kills // 5) + [Action("progress")] * (kills // 10)
    for event in events:
        actions.insert(chance.randrange(len(actions)), event)
    return actions


class Chaos:
    """Carries a plan out. ground: the kind of sink; report: is given a line for each action."""

    def __init__(
        self,
        stack: Stack,
        nursery: Nursery,
        *,
        ground: Callable[[Stack, str], Ground] = HdfsGround,
        report: Callable[[str], None],
    ) -> None:
        self._nursery = nursery
        self._report = report
        self._topic = f"chaos-{uuid.uuid4().hex[:8]}"
        make_topics(stack, self._topic, partitions=PARTITIONS)
        make_topics(stack, f"{self._topic}.dlq", partitions=1)
        self._stream = Stream(stack.bootstrap_servers, self._topic, PARTITIONS)
        self._ground = ground(stack, self._topic)
        self._store = self._ground.store
        self._group = 0
        self._awake: list[SinkProcess] = []
        self._asleep: dict[SinkProcess, int] = {}
        self._old: set[SinkProcess] = set()
        self._ended: list[tuple[SinkProcess, set[int]]] = []
        self.done: Counter[str] = Counter()
        self.story: Counter[str] = Counter()

    def run(self, actions: list[Action]) -> int:
        """Returns how many records were stored, each once. Raises AssertionError when it is not so."""
        with self._stream.load(3):
            for number, action in enumerate(actions):
                time.sleep(action.pause)
                self._fill_up(action)
                self._report(f"{number + 1}/{len(actions)} {self._do(action, number)}")
                self.done[action.kind] += 1
                for sink in [sink for sink, until in self._asleep.items() if until <= number]:
                    self._wake(sink)
                self._look()
        self._finish()
        return sum(self._stream.counts)

    def _fill_up(self, action: Action) -> None:
        """There is always a sink for something to happen to."""
        if not self._awake:
            self._start(action.options)

    def _do(self, action: Action, number: int) -> str:
        options = action.options
        if action.kind in self._ground.servers:
            return self._restart(action.kind)
        if action.kind == "new group":
            # The sinks of the former group go on: both believe to own every partition.
            self._group += 1
            self._old.update(self._awake)
            return f"new group {self._group}"
        if action.kind == "progress":
            return self._await_progress()
        if action.kind == "join":
            if len(self._awake) >= MOST_SINKS:
                self._term(self._awake[0])
            return f"join {self._start(options).pid}"
        if action.kind in ("kill at operation", "torn"):
            fault = (
                {**self._ground.torn, "number": options["operation"] % 10}
                if action.kind == "torn"
                else {"do": "kill", "number": options["operation"]}
            )
            sink = self._start(options, fault)
            self._await(sink, lambda: False)
            self._kill(sink)
            return f"{action.kind} {options['operation']} {sink.pid}: {(sink.steps or ['nothing yet'])[-1]}"
        sink = self._awake[action.choice % len(self._awake)]
        if options["while_storing"]:
            self._await(sink, lambda: self._ground.busy in sink.steps)
        if action.kind == "kill":
            self._kill(sink)
        elif action.kind == "sleep":
            sink.signal(signal.SIGSTOP)
            self._awake.remove(sink)
            self._asleep[sink] = number + options["actions_asleep"]
        else:
            self._term(sink)
            if action.kind == "twice term":
                sink.signal(signal.SIGTERM)
        return f"{action.kind} {sink.pid}: {(sink.steps or ['nothing yet'])[-1]}"

    def _await(self, sink: SinkProcess, happened: Callable[[], bool]) -> None:
        """Waits for something, for a while: it may never come, as others have the partitions."""
        deadline = time.monotonic() + 3.0
        while sink.is_running and not happened() and time.monotonic() < deadline:
            time.sleep(0.05)

    def _start(self, options: dict[str, Any], fault: dict[str, Any] | None = None) -> SinkProcess:
        entry = {
            "kind": self._ground.kind,
            "topics": [self._topic],
            "group": f"{self._topic}-{self._group}",
            "tasks": options.get("tasks", 1),
            "target": self._ground.target,
            "options": {
                "flush_records": options.get("flush_records", 20),
                "flush_seconds": options.get("flush_seconds", 0.3),
                "drain_seconds": 10,
                "retry_seconds": 0.5,
            },
            "consumer": {"session.timeout.ms": 2000, "heartbeat.interval.ms": 300},
        }
        sink = self._nursery.start(
            entry,
            fault=fault,
            name="chaos",
            files_per_commit=options.get("files_per_commit", 32),
            old_records=options.get("old_records", 8),
            hdfs_timeout=5.0,
            elasticsearch_timeout=5.0,
        )
        self._awake.append(sink)
        return sink

    def _kill(self, sink: SinkProcess) -> None:
        sink.kill()
        self._gone(sink, {-signal.SIGKILL})

    def _term(self, sink: SinkProcess) -> None:
        sink.signal(signal.SIGTERM)
        # The signal itself ends one that has not begun to listen; a second signal tells its number.
        self._gone(sink, {0, -signal.SIGTERM, 128 + signal.SIGTERM})

    def _gone(self, sink: SinkProcess, codes: set[int]) -> None:
        self._awake.remove(sink)
        self._ended.append((sink, codes))

    def _wake(self, sink: SinkProcess) -> None:
        del self._asleep[sink]
        sink.signal(signal.SIGCONT)
        self._awake.append(sink)

    def _restart(self, name: str) -> str:
        server = self._ground.servers[name]
        server.kill()
        server.start()
        server.wait_ready(120)
        return f"{name} killed and started"

    def _await_progress(self) -> str:
        """With one group alone, records must become visible."""
        for sink in [sink for sink in self._awake if sink in self._old]:
            self._kill(sink)
        if not self._awake:
            self._start({})
        before = self._store.count()
        self._store.wait_count(before + 1, sinks=[], seconds=PROGRESS_SECONDS)
        return f"progress: {self._store.count()} of {sum(self._stream.counts)} records visible"

    def _look(self) -> None:
        """No record is visible twice, and no sink ended but by what was done to it."""
        self._ground.look()
        for sink in self._awake:
            assert sink.is_running, f"sink {sink.pid} ended by itself ({sink.code}): {sink.log}\n{sink.text[-4000:]}"

    def _finish(self) -> None:
        """A last sink stores the rest; whoever slept wakes and must not repeat anything; all end in order."""
        for sink in list(self._awake):
            self._kill(sink)
        self._group += 1
        last = self._start({"flush_records": 1000})
        self._report(f"a last sink stores the rest of {sum(self._stream.counts)} records")
        self._store.wait_count(sum(self._stream.counts), sinks=[last], seconds=120)
        for sink in list(self._asleep):
            self._wake(sink)
        for sink in list(self._awake):
            if ": reads " in sink.text:
                self._term(sink)
            else:
                self._kill(sink)
        for sink, codes in self._ended:
            assert sink.wait(STEP_SECONDS) in codes, f"sink {sink.pid}: {sink.code}: {sink.log}\n{sink.text[-4000:]}"
        for sink, _ in self._ended:
            self.story.update({phrase: sink.text.count(phrase) for phrase in STORY})
        self._report("counting")
        self._store.check(self._stream)
