"""The commit protocol under every crash and under random schedules of several owners, on an HDFS in memory.

Owners that believe to own the same partition run one HDFS operation at a time, in an order drawn from a seed; they are
stopped for long, killed between any two operations, answers are lost, and Kafka's offset is thrown back. No offset may
ever be visible twice, and in the end each must be there once.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from sinks.errors import Fenced, Retriable
from sinks.hdfs.client import NotFound
from sinks.hdfs.layout import Layout
from sinks.hdfs.ownership import Ownership
from sinks.records import Partition
from sinks.retry import Backoff, Retry
from tests.sinks.memory_hdfs import MemoryHdfs

RECORDS = 30
LAYOUT = Layout("/data", "sink", Partition("topic", 0))


class Killed(BaseException):
    """The process died."""


def visible(hdfs: MemoryHdfs) -> Counter[int]:
    """How often each offset is in a file that readers see."""
    counted: Counter[int] = Counter()
    for path, data in hdfs.files.items():
        if not path.startswith("/data/_sink/"):
            counted.update(int(line) for line in data.split())
    return counted


def check_nothing_twice(hdfs: MemoryHdfs) -> None:
    twice = [offset for offset, count in visible(hdfs).items() if count > 1]
    assert not twice, f"visible twice: {twice}"


def look(hdfs: MemoryHdfs, _: str) -> None:
    check_nothing_twice(hdfs)


class Kafka:
    """The committed offset of the group, which anyone may move anywhere."""

    committed: int | None = None


def consume(
    hdfs: MemoryHdfs, kafka: Kafka, rng: random.Random, ownership_type: type[Ownership], until: int = RECORDS
) -> None:
    """What a process does: takes over, stores from where it is told, commits; again when it is fenced."""
    retry = Retry("owner", Backoff(1e-9, 1e-9), threading.Event())
    while True:
        committed = kafka.committed
        ownership = ownership_type(hdfs, LAYOUT)
        try:
            stored = ownership.take_over(retry)
            position = committed or 0 if stored is None else max(stored, committed or 0)
            while position < until:
                files: dict[str, Callable[[], bytes]] = {}
                first = position
                for _ in range(rng.randint(1, 3)):
                    end = min(position + rng.randint(1, 4), until)
                    if end > position:
                        content = b"".join(b"%d\n" % offset for offset in range(position, end))

                        files[f"topic-0-{position:020d}-{end - 1:020d}.log"] = partial(bytes, content)
                    position = end
                ownership.store(files, first, position - 1, retry)
                kafka.committed = position
        except Fenced:
            continue
        return


class Schedule:
    """Runs owners as threads of which one moves at a time, chosen by the seed."""

    def __init__(self, seed: int, ownership_type: type[Ownership]) -> None:
        self.rng = random.Random(seed)
        self.hdfs = MemoryHdfs()
        self.hdfs.make_folders("/data")
        self.hdfs.before, self.hdfs.after = self._before, self._after
        self.kafka = Kafka()
        self._ownership_type = ownership_type
        self._turns: dict[threading.Thread, threading.Semaphore] = {}
        self._doomed: set[threading.Thread] = set()
        self._main = threading.Semaphore(0)
        self._failures: list[BaseException] = []
        self._calm = False

    def run(self) -> None:
        for _ in range(self.rng.randint(2, 4)):
            self._spawn()
        favourite = None
        for _ in range(self.rng.randint(50, 400)):
            if not self._turns:
                break
            # One owner moves for a while, as the others would when their processes are stopped.
            if favourite not in self._turns or self.rng.random() < 0.1:
                favourite = self.rng.choice(list(self._turns))
            if self.rng.random() < 0.02:
                self._doomed.add(favourite)
                self._spawn()
            if self.rng.random() < 0.02 and self.kafka.committed:
                self.kafka.committed = self.rng.randint(0, self.kafka.committed)
            self._move(favourite)
            check_nothing_twice(self.hdfs)
        self._doomed.update(self._turns)
        for owner in list(self._turns):
            self._move(owner)
        assert not self._failures, self._failures
        self._calm = True
        consume(self.hdfs, self.kafka, self.rng, self._ownership_type)
        assert visible(self.hdfs) == Counter(range(RECORDS))

    def _spawn(self) -> None:
        owner = threading.Thread(target=self._live, daemon=True)
        self._turns[owner] = threading.Semaphore(0)
        owner.start()

    def _move(self, owner: threading.Thread) -> None:
        self._turns[owner].release()
        self._main.acquire()

    def _live(self) -> None:
        me = threading.current_thread()
        self._turns[me].acquire()
        try:
            consume(self.hdfs, self.kafka, self.rng, self._ownership_type)
        except Killed:
            pass
        except BaseException as failure:  # noqa: BLE001 - told by the main thread
            self._failures.append(failure)
        del self._turns[me]
        self._main.release()

    def _before(self, _: str) -> None:
        me = threading.current_thread()
        if self._calm or me not in self._turns:
            return
        self._main.release()
        self._turns[me].acquire()
        if me in self._doomed:
            raise Killed
        if self.rng.random() < 0.02:
            raise Retriable("never arrived")

    def _after(self, _: str) -> None:
        if not self._calm and threading.current_thread() in self._turns and self.rng.random() < 0.02:
            raise Retriable("the answer was lost")


@pytest.mark.parametrize("block", range(10))
def test_random_schedules_lose_nothing_and_repeat_nothing(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        try:
            Schedule(seed, Ownership).run()
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {error}") from error


class WithoutSecondLook(Ownership):
    """Reads its records while a later owner may be taking them away."""

    def _fence_others(self) -> list[str]:
        for epoch in self._others():
            self._absorb(f"{self._layout.committed}/{epoch}")
        return sorted(self._client.names(self._own))


class WithoutFence(Ownership):
    """Finishes what others committed, but leaves them able to commit."""

    def _fence_others(self) -> list[str]:
        records = []
        for epoch in self._client.names(self._layout.committed):
            folder = f"{self._layout.committed}/{epoch}"
            for record in self._client.names(folder):
                for path in self._client.lengths(f"{folder}/{record}"):
                    self._publish(f"{folder}/{record}", path)
                records.append(record)
        return sorted(records)


class WithoutRecord(Ownership):
    """Trusts Kafka's committed offset alone."""

    def take_over(self, retry: Retry) -> int | None:
        super().take_over(retry)
        return None


@pytest.mark.parametrize("broken", [WithoutSecondLook, WithoutFence, WithoutRecord])
def test_the_model_finds_a_protocol_with_a_step_left_out(broken: type[Ownership]) -> None:
    def is_found(seed: int) -> bool:
        try:
            Schedule(seed, broken).run()
        except Exception:  # noqa: BLE001 - any: a loss, a repeat, a conflict that halts
            return True
        return False

    assert any(is_found(seed) for seed in range(3000))


@pytest.mark.parametrize("lost_answer", [False, True])
def test_killed_at_any_operation_the_next_owner_completes_each_record_once(lost_answer: bool) -> None:
    operations = 0
    while True:
        countdown = operations

        def tick(_: str) -> None:
            nonlocal countdown
            countdown -= 1
            if countdown < 0:
                raise Killed

        hdfs = MemoryHdfs(**{"after" if lost_answer else "before": tick})
        hdfs.folders.add("/data")
        kafka = Kafka()
        try:
            consume(hdfs, kafka, random.Random(operations), Ownership)
            break
        except Killed:
            operations += 1
        hdfs.before = hdfs.after = partial(look, hdfs)
        kafka.committed = None
        consume(hdfs, kafka, random.Random(operations), Ownership)
        assert visible(hdfs) == Counter(range(RECORDS)), f"killed at operation {operations}"
    assert operations > 30


def test_an_upload_that_a_later_owner_removed_under_way_means_fenced() -> None:
    def remove(operation: str) -> None:
        if operation == "create":
            raise NotFound("HDFS: File does not exist: … does not have any open files.")

    hdfs = MemoryHdfs(after=remove)
    hdfs.folders.add("/data")
    retry = Retry("owner", Backoff(1e-9, 1e-9), threading.Event())
    ownership = Ownership(hdfs, LAYOUT)
    ownership.take_over(retry)
    with pytest.raises(Fenced):
        ownership.store({"topic-0.log": lambda: b"0\n"}, 0, 0, retry)
