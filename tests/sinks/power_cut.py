"""What is left of a folder after a power cut: only what was synced is sure to be there.

A run of the real protocol on a real folder is recorded, system call by system call. For each moment of it a folder is
made as a power cut at that moment may leave it: names in folders and contents of files that were not synced are there
or not, as a seed decides. The next owner takes that over, and what was reported to Kafka as stored must be visible
once. What is taken for granted of the file system: a rename is done as a whole or not at all, and a folder that is
removed was empty.
"""

import errno
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from tests.sinks.schedules import RECORDS, Kafka, Live, Truth
from tests.sinks.watched_folder import WatchedFolder
from worker.errors import Fatal

_AREA = "_sink"


@dataclass(eq=False)
class Node:
    """A file or folder, whatever its name is. names: what is in the folder, by all that was done."""

    is_folder: bool
    names: dict[str, "Node"] = field(default_factory=dict)


@dataclass(eq=False)
class Entry:
    """What was done to the names in folders: `node` left the place `old` and came to the place `new`."""

    node: Node
    old: tuple[Node, str] | None = None
    new: tuple[Node, str] | None = None

    @property
    def folders(self) -> list[Node]:
        """Those whose names it changed."""
        return [place[0] for place in (self.old, self.new) if place]


@dataclass(eq=False)
class Write:
    """Bytes were added to a file."""

    node: Node
    data: bytes


@dataclass(eq=False)
class Sync:
    """All that was done to a file or folder before is on the disk. line: of the store, with its operation."""

    node: Node
    line: str


@dataclass(eq=False)
class Reported:
    """Everything below an offset was said to be stored."""

    offset: int | None


Event = Entry | Write | Sync | Reported


class Recorded(WatchedFolder):
    """Keeps what is done to it. fails: whether the next sync fails, which does nothing then."""

    def __init__(self, fails: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self.fails = fails
        self.area = Node(True)
        self.root = Node(True, {_AREA: self.area})
        self.events: list[Event] = []
        self._nodes = {
            os.stat(self.place).st_ino: self.root,
            os.stat(f"{self.place}/{_AREA}").st_ino: self.area,
        }

    def around(self, name: str, call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        if name == "fsync" and self.fails():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        result = super().around(name, call, *arguments, **options)
        getattr(self, f"on_{name}")(result, *arguments)
        return result

    def on_mkdir(self, _: None, path: str) -> None:
        self._added(path, Node(True))

    def on_open(self, file: int, path: str, flags: int, mode: int) -> None:
        if flags & os.O_CREAT:
            self._added(path, Node(False))

    def on_write(self, written: int, file: int, data: bytes) -> None:
        self.events.append(Write(self._node_of(file), bytes(data[:written])))

    def on_fsync(self, _: None, file: int) -> None:
        self.events.append(Sync(self._node_of(file), _line()))

    def on_rmdir(self, _: None, path: str) -> None:
        self._removed(path)

    def on_unlink(self, _: None, path: str) -> None:
        self._removed(path)

    def on_rename(self, _: None, *arguments: Any) -> None:
        source, destination = [each for each in arguments if isinstance(each, str)]
        old, new = self._place_of(source), self._place_of(destination)
        node = old[0].names.pop(old[1])
        new[0].names[new[1]] = node
        self.events.append(Entry(node, old, new))

    def _added(self, path: str, node: Node) -> None:
        folder, name = self._place_of(path)
        folder.names[name] = node
        self._nodes[os.stat(f"{self.place}/{path}").st_ino] = node
        self.events.append(Entry(node, new=(folder, name)))

    def _removed(self, path: str) -> None:
        folder, name = self._place_of(path)
        self.events.append(Entry(folder.names.pop(name), old=(folder, name)))

    def _node_of(self, file: int) -> Node:
        return self._nodes[os.fstat(file).st_ino]

    def _place_of(self, path: str) -> tuple[Node, str]:
        *folders, name = path.split("/")
        node = self.root
        for folder in folders:
            node = node.names[folder]
        return node, name


def _line() -> str:
    """Where a sync was asked for: the innermost line of the store, and its operation."""
    frame, line, operation = sys._getframe(), "", ""
    while frame := frame.f_back:  # type: ignore[assignment]
        if frame.f_code.co_filename.endswith("sinks/folder/store.py"):
            line = line or str(frame.f_lineno)
            operation = frame.f_code.co_name
    return f"{operation}:{line}"


class _Kafka(Kafka):
    def __init__(self, events: list[Event]) -> None:
        self._events = events

    @property
    def committed(self) -> int | None:
        return next((event.offset for event in reversed(self._events) if isinstance(event, Reported)), None)

    @committed.setter
    def committed(self, offset: int | None) -> None:
        self._events.append(Reported(offset))


def record(live: Live, seed: int) -> Recorded:
    """A whole run."""
    rng = random.Random(seed)
    recorded = Recorded(lambda: rng.random() < 0.02)
    live(recorded, _Kafka(recorded.events), rng)
    return recorded


def after_power_cut(
    recorded: Recorded, end: int, chance: float, rng: random.Random, without: str = ""
) -> WatchedFolder:
    """The folder as it may be after so many events. chance: of what was not synced to be there; without: leaves out the
    syncs of this line."""
    events = recorded.events[:end]
    synced = {event.node: i for i, event in enumerate(events) if isinstance(event, Sync) and event.line != without}
    names: dict[Node, dict[str, Node]] = {recorded.root: {_AREA: recorded.area}}
    kept: list[Entry] = []
    emptied: set[Node] = set()
    for i, event in reversed(list(enumerate(events))):
        if isinstance(event, Entry):
            is_sure = all(synced.get(folder, -1) > i for folder in event.folders)
            if is_sure or (event.old and event.old[0] in emptied) or rng.random() < chance:
                kept.append(event)
                if event.new is None and event.node.is_folder:
                    emptied.add(event.node)
    places: dict[Node, tuple[Node, str]] = {}
    for event in reversed(kept):
        if event.node in places:
            folder, name = places.pop(event.node)
            if names[folder].get(name) is event.node:
                del names[folder][name]
        if event.new:
            names.setdefault(event.new[0], {})[event.new[1]] = event.node
            places[event.node] = event.new
    return _made(recorded.root, names, lambda node: _content(events, node, synced.get(node, -1), chance, rng))


def _content(events: list[Event], node: Node, synced: int, chance: float, rng: random.Random) -> bytes:
    writes = [(i, event.data) for i, event in enumerate(events) if isinstance(event, Write) and event.node is node]
    sure = b"".join(data for i, data in writes if i < synced)
    rest = b"".join(data for i, data in writes if i >= synced)
    if rng.random() < chance:
        return sure + rest
    return sure + rng.choice([b"", rest[: rng.randint(0, len(rest))], bytes(len(rest))])


def _made(root: Node, names: dict[Node, dict[str, Node]], content: Callable[[Node], bytes]) -> WatchedFolder:
    made = WatchedFolder()

    def make(folder: Node, path: str) -> None:
        for name, node in names.get(folder, {}).items():
            if node.is_folder:
                os.makedirs(f"{path}/{name}", exist_ok=True)
                make(node, f"{path}/{name}")
            else:
                with open(f"{path}/{name}", "wb") as file:
                    file.write(content(node))

    make(root, made.place)
    return made


def survive_power_cuts(live: Live, seed: int, *, finish: Live | None = None, without: str = "") -> None:
    """Cuts the power at each moment of a run; an AssertionError tells the moment at which something was lost.

    live: the run; finish: what is done after the power cut, else a run again; without: the syncs of this line are left
    out.
    """
    recorded = record(live, seed)
    rng = random.Random(seed)
    for end in range(len(recorded.events), 0, -1):
        folder = after_power_cut(recorded, end, rng.choice([0, 0, 0.5, 0.9, 1]), rng, without)
        kafka = Kafka()
        kafka.committed = _Kafka(recorded.events[:end]).committed
        left = Truth(folder)
        assert left.is_rewound or left.end >= (kafka.committed or 0), (
            f"power cut after {end} events: ends at {left.end}"
        )
        try:
            (finish or live)(folder, kafka, rng)
        except Fatal as error:
            raise AssertionError(f"power cut after {end} events: {error}") from error
        seen = Truth(folder).seen
        assert seen == Counter(range(RECORDS)), f"power cut after {end} events: {seen}"


def needless_syncs(live: Live, operations: Collection[str], *, finish: Live | None = None) -> set[str]:
    """The lines of these operations whose syncs can be left out in some runs without a loss."""

    def is_needless(line: str) -> bool:
        for seed in range(5):
            try:
                survive_power_cuts(live, seed, finish=finish, without=line)
            except AssertionError:
                return False
        return True

    lines = {event.line for seed in range(5) for event in record(live, seed).events if isinstance(event, Sync)}
    asked = {line for line in lines if line.partition(":")[0] in operations}
    assert {line.partition(":")[0] for line in asked} == set(operations)
    return set(filter(is_needless, asked))
