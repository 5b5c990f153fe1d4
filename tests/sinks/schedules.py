"""Random schedules of several owners of one partition, on an HDFS in memory or on a folder.

Owners that believe to own the same partition run one HDFS operation at a time, in an order drawn from a seed; they are
stopped for long, killed between any two operations and in the middle of an append, answers are lost, requests arrive
long after nobody waits for them, and Kafka's offset is thrown back. After every operation each offset that is
committed must be stored once, and none visible twice; in the end each must be visible once.
"""

import errno
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest

from sinks.files.layout import Layout, flat, unflat
from sinks.files.ownership import Ownership
from sinks.files.store import NotAllowed, NotEmpty, NotFound
from sinks.records import Partition
from tests.sinks.memory_hdfs import File, MemoryHdfs
from tests.sinks.watched import LATE, READING
from tests.sinks.watched_folder import DONE, WatchedFolder
from worker.errors import Fatal, Retriable
from worker.retry import Backoff, Retry

RECORDS = 30
LAYOUT = Layout("/data", "sink", Partition("topic", 0))


class Killed(BaseException):
    """The process died."""


class Kafka:
    """The committed offset of the group, which anyone may move anywhere."""

    committed: int | None = None


Store = MemoryHdfs | WatchedFolder

Live = Callable[[Store, Kafka, random.Random], None]
"""What a process does: takes over, stores from where it is told, commits; again when it is fenced."""


def hasty_retry() -> Retry:
    return Retry("owner", Backoff(1e-9, 1e-9), threading.Event())


_COMMITTED = f"{LAYOUT.committed}/"


class Truth:
    """What an HDFS holds at a moment.

    seen: how often each offset is in a file that readers see; of an open one only what is committed counts. stored: how
    often it is there or in a commit record. end: the offset below which everything is committed. -1 stands for a record
    that is torn.
    """

    def __init__(self, hdfs: Store) -> None:
        records = {path for path in hdfs.folders if path.startswith(_COMMITTED) and path.count("/") == _DEPTH + 1}
        newest = max(records, key=lambda path: path.rpartition("/")[2], default="")
        self.end = int(newest.rpartition("-")[2]) + 1 if newest else 0
        self.is_rewound = newest.rpartition("/")[2].startswith("r")
        # The open files that the newest record tells of: place -> final place, committed length
        marks: dict[str, tuple[str, int]] = {}
        for path in hdfs.folders:
            if newest and path.startswith(f"{newest}/") and path.count("/") == _DEPTH + 3:
                place, _, length = path.split("/")[-2].rpartition(".")
                marks[_place(place)] = (_place(path.split("/")[-1]), int(length))
        finals = {final for final, _ in marks.values()}
        self.seen: Counter[int] = Counter()
        self.stored: Counter[int] = Counter()
        for path, file in hdfs.files.items():
            if path.startswith(_COMMITTED):
                record, _, name = path.rpartition("/")
                place = _place(name)
                if place in marks:
                    if f"{record}/{_flat(marks[place][0])}" not in hdfs.files:  # else it was copied
                        self.stored.update(_offsets(file.data[: marks[place][1]]))
                elif place not in finals or place not in hdfs.files:
                    self.stored.update(_offsets(file.data))
            elif not path.startswith("/data/_sink/"):
                data = file.data
                if path.endswith(".open"):
                    assert path in marks, f"{path} is visible, and no record tells of it"
                    data = data[: marks[path][1]]
                self.seen.update(_offsets(data))
        self.stored.update(self.seen)


_DEPTH = LAYOUT.committed.count("/") + 1


def _place(name: str) -> str:
    return f"/data/{unflat(name)}"


def _flat(place: str) -> str:
    return flat(place.removeprefix("/data/"))


def _offsets(data: bytes) -> list[int]:
    return [int(line[:-1]) if line.endswith(b";") and line[:-1].isdigit() else -1 for line in data.splitlines()]


def check(hdfs: Store) -> None:
    """Nothing is visible twice, and what is committed is stored once."""
    truth = Truth(hdfs)
    twice = [offset for offset, count in truth.seen.items() if count > 1]
    assert not twice, f"visible twice: {twice}"
    assert truth.stored == Counter(range(truth.end)), f"below {truth.end} are stored: {truth.stored}"


class Schedule:
    """Runs owners as threads of which one moves at a time, chosen by the seed. live: what each of them does."""

    hdfs_type: type[Store] = MemoryHdfs
    moves = (50, 400)
    restlessness = 0.1

    def __init__(self, seed: int, live: Live) -> None:
        self.rng = random.Random(seed)
        self.hdfs = self.new_store()
        self.hdfs.before, self.hdfs.after = self._before, self._after
        self.hdfs.during, self.hdfs.interrupted = self._during, self._interrupted
        self.kafka = Kafka()
        self._live = live
        self._turns: dict[threading.Thread, threading.Semaphore] = {}
        self._doomed: set[threading.Thread] = set()
        self._main = threading.Semaphore(0)
        self._failures: list[BaseException] = []
        self._calm = False

    def new_store(self) -> Any:
        """Where the owners store, with nothing in it."""
        store = self.hdfs_type()
        store.make_folders("/data")
        return store

    def run(self) -> None:
        """Raises AssertionError when a record is lost or repeated, and whatever a process dies of by itself."""
        with patch("uuid.uuid4", lambda: UUID(int=self.rng.getrandbits(128))):  # so that the seed decides on all
            self._run()

    def _run(self) -> None:
        for _ in range(self.rng.randint(2, 4)):
            self._spawn()
        favourite = None
        for _ in range(self.rng.randint(*self.moves)):
            if not self._turns:
                break
            # One owner moves for a while, as the others would when their processes are stopped.
            if favourite not in self._turns or self.rng.random() < self.restlessness:
                favourite = self.rng.choice(list(self._turns))
            if self.rng.random() < 0.02:
                self._doomed.add(favourite)
                self._spawn()
            if self.rng.random() < 0.02 and self.kafka.committed:
                self.kafka.committed = self.rng.randint(0, self.kafka.committed)
            if self.rng.random() < 0.1:
                self._do_late()
            before = self.hdfs.changes
            self._move(favourite)
            if self.hdfs.changes != before:
                self.check()
        self._doomed.update(self._turns)
        for owner in list(self._turns):
            self._move(owner)
        assert not self._failures, self._failures
        self._calm = True
        self.finish()
        self.check()
        while self.hdfs.late:
            self._do_late()
        assert self.seen() == Counter(range(RECORDS))

    def check(self) -> None:
        """What is true at every moment."""
        check(self.hdfs)

    def seen(self) -> Counter[int]:
        """How often readers see each offset."""
        return Truth(self.hdfs).seen

    def finish(self) -> None:
        """What is done when nobody else lives."""
        self._live(self.hdfs, self.kafka, self.rng)

    def _do_late(self) -> None:
        """Carries out a request of which its owner has heard nothing."""
        if self.hdfs.late:
            request = self.hdfs.late.pop(self.rng.randrange(len(self.hdfs.late)))
            with suppress(NotAllowed, NotFound, NotEmpty, Retriable, Fatal):
                request()
            self.check()

    def _spawn(self) -> None:
        owner = threading.Thread(target=self._run_owner, daemon=True)
        self._turns[owner] = threading.Semaphore(0)
        owner.start()

    def _move(self, owner: threading.Thread) -> None:
        self._turns[owner].release()
        self._main.acquire()

    def _run_owner(self) -> None:
        me = threading.current_thread()
        self._turns[me].acquire()
        try:
            self._live(self.hdfs, self.kafka, self.rng)
        except Killed:
            pass
        except BaseException as failure:  # noqa: BLE001 - told by the main thread
            self._failures.append(failure)
        del self._turns[me]
        self._main.release()

    @property
    def _is_watched(self) -> bool:
        return not self._calm and threading.current_thread() in self._turns

    def _wait_for_turn(self) -> None:
        me = threading.current_thread()
        self._main.release()
        self._turns[me].acquire()
        if me in self._doomed:
            raise Killed

    def _before(self, operation: str) -> str | None:
        if self._is_watched:
            self._wait_for_turn()
            if self.rng.random() < 0.02:
                raise Retriable("never arrived")
            if operation not in READING and self.rng.random() < (0.2 if operation == "append" else 0.02):
                return LATE
        return None

    def _after(self, _: str) -> None:
        if self._is_watched and self.rng.random() < 0.02:
            raise Retriable("the answer was lost")

    def _during(self, _: str) -> None:
        if self._is_watched:
            self._wait_for_turn()
            if self.rng.random() < 0.1:
                raise Retriable("cut in the middle")

    def _interrupted(self, file: File, rest: bytes) -> None:
        """The DataNode ends the append at once, later, or never; it may have got all of it."""
        if self.rng.random() < 0.5:
            file.data += rest

        def release() -> None:
            file.leased = False

        if self.rng.random() < 0.5:
            release()
        elif self.rng.random() < 0.5:
            self.hdfs.late.append(release)


def blocks_of_seeds(number: int, size: int) -> list[Any]:
    """The first `number` seeds, a block for each test. The first block is fast, the others are marked slow."""
    return [
        pytest.param(range(first, first + size), id=f"{first}", marks=pytest.mark.slow if first else ())
        for first in range(0, number, size)
    ]


class OnFolder(Schedule):
    """As above, on a folder: owners are stopped and killed between any two system calls, which fail at times."""

    hdfs_type = WatchedFolder
    moves = (200, 1600)
    restlessness = 0.01

    def _during(self, call: str) -> None:
        if self._is_watched:
            self._wait_for_turn()
            if self.rng.random() < 0.002:
                raise OSError(errno.EIO, os.strerror(errno.EIO))


class OnShare(OnFolder):
    """As above, where renames are done by steps, between which a file has two names."""

    def check(self) -> None:
        if self._calm:
            super().check()


def survive(seeds: range, live: Live, schedule: type[Schedule] = Schedule) -> None:
    """Runs schedules; an AssertionError names the seed that failed."""
    for seed in seeds:
        try:
            schedule(seed, live).run()
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def finds(seeds: range, live: Live, schedule: type[Schedule] = Schedule) -> bool:
    """Whether a schedule fails in any way: a loss, a repeat, a conflict that halts."""

    def fails(seed: int) -> bool:
        try:
            schedule(seed, live).run()
        except Exception:  # noqa: BLE001
            return True
        return False

    return any(map(fails, seeds))


def killed_at_any_operation(live: Live, *, lost_answer: bool, hdfs_type: type[Store] = MemoryHdfs) -> int:
    """Kills a process at each of its operations in turn, after it if its answer is to be lost, and in mid-append; the
    next one must complete each record once. Returns at how many."""
    operations = 0
    while True:
        countdown = operations

        def tick(_: str) -> None:
            nonlocal countdown
            countdown -= 1
            if countdown < 0:
                raise Killed

        hdfs = hdfs_type()
        hdfs.make_folders("/data")
        setattr(hdfs, "after" if lost_answer else "before", tick)
        hdfs.during = tick
        kafka = Kafka()
        try:
            live(hdfs, kafka, random.Random(operations))
            return operations
        except Killed:
            operations += 1
        hdfs.before = hdfs.after = hdfs.during = lambda _, hdfs=hdfs: check(hdfs)
        kafka.committed = None
        live(hdfs, kafka, random.Random(operations))
        assert Truth(hdfs).seen == Counter(range(RECORDS)), f"killed at operation {operations}"


def interrupted_at_any_call(live: Live, seed: int, *, wakes: bool) -> int:
    """Lets a process on a folder fall asleep before each of its system calls in turn; when another one has done all, it
    wakes and must do no harm, or is killed in its sleep. Returns at how many.

    seed: of one run that is interrupted so often.
    """
    number = 0
    while True:
        hdfs = WatchedFolder()
        sleeper = _Sleeper(partial(live, hdfs, Kafka(), random.Random(seed)), number, wakes=wakes)
        hdfs.during = sleeper.tick
        sleeper.start()
        sleeper.is_still.wait()
        if not sleeper.sleeps:
            sleeper.end()
            return number
        hdfs.after = lambda name, hdfs=hdfs: name in READING or check(hdfs)
        live(hdfs, Kafka(), random.Random(seed + 1))
        assert Truth(hdfs).seen == Counter(range(RECORDS)), f"asleep at call {number}"
        try:
            sleeper.end()
        except BaseException as error:
            raise AssertionError(f"woken at call {number}: {error}") from error
        assert Truth(hdfs).seen == Counter(range(RECORDS)), f"woken at call {number}"
        number += 1


class _Sleeper(threading.Thread):
    """Sleeps before its system call of a number, if it comes to that; is_still: it sleeps, or has come to its end."""

    def __init__(self, live: Callable[[], None], number: int, *, wakes: bool) -> None:
        super().__init__(daemon=True)
        self._live = live
        self._left = number
        self._wakes = wakes
        self._woken = threading.Event()
        self._failure: BaseException | None = None
        self.is_still = threading.Event()
        self.sleeps = False

    def end(self) -> None:
        """Wakes it, and waits for its end. Raises what it fails with."""
        self._woken.set()
        self.join()
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        try:
            self._live()
        except Killed:
            pass
        except BaseException as failure:  # noqa: BLE001 - raised by `end`
            self._failure = failure
        self.is_still.set()

    def tick(self, call: str) -> None:
        """To be called around each system call."""
        if threading.current_thread() is self and not call.endswith(DONE):
            self._left -= 1
            if self._left == -1:
                self.sleeps = True
                self.is_still.set()
                self._woken.wait()
                if not self._wakes:
                    raise Killed


# Protocols with a step left out, which schedules must find


class WithoutSecondLook(Ownership):
    """Reads its records while a later owner may be taking them away."""

    def _fence_others(self) -> list[str]:
        for epoch in self._others():
            self._absorb(f"{self._layout.committed}/{epoch}")
        return sorted(self._client.names(self._own))


class WithoutFence(Ownership):
    """Takes the records of others, but leaves them able to commit."""

    def _fence_others(self) -> list[str]:
        for epoch in self._others():
            for record in self._client.names(f"{self._layout.committed}/{epoch}"):
                self._client.rename(f"{self._layout.committed}/{epoch}/{record}", f"{self._own}/{record}")
        return sorted(self._client.names(self._own))


class WithoutRecord(Ownership):
    """Trusts Kafka's committed offset alone."""

    async def take_over(self) -> int | None:
        await super().take_over()
        return None
