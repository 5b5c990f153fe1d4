"""Random schedules of transactions on a database in memory, read by the readers of the database source.

Transactions draw numbers, insert or update rows, and end by COMMIT or ROLLBACK, some after they were prepared. Their
steps lie in between all steps of the reader, which is killed at any moment: before and after its chunk is committed.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from kafka_client.producer import Record
from sources.database.changes import ChangedRows
from sources.database.gaps import Range
from sources.database.horizon import Look
from sources.database.incrementing import IncrementingRows
from sources.database.mariadb import look_of as mariadb_look
from sources.database.postgres import look_of as postgres_look
from sources.database.rows import Page, Row, Timed

BATCH = 7
MAX_GAPS = 6
MAX_YOUNG = 10
SKEW = 6
COARSE = 4
KEYS = 12
CACHED = 5

Steps = Iterator[None]


class World:
    """A database. Each of its transactions is a generator of steps."""

    def __init__(self, seed: int, kind: str) -> None:
        self.random = random.Random(seed)
        self.transaction = {
            "postgres": self._postgres,
            "mariadb": self._mariadb,
            "cached": self._cached,
            "updates": self._updates,
        }[kind]
        self.is_over = self.is_still = False
        self.ticks = 0
        self.last = 0
        self.names = 0
        self.running: dict[int, tuple[Steps, float]] = {}
        self.virtual_ids: set[str] = set()
        self.prepared: set[str] = set()
        self.statements: set[tuple[int, int]] = set()
        self.begun: list[tuple[int, str]] = []  # connection, time
        self.connections = set(range(1, 6))
        self.numbers: set[int] = set()
        self.writers = set(range(5))  # those that have no transaction
        self.writer_of: dict[int, int] = {}  # of each number
        self.rows: dict[int, tuple[int, int]] = {}  # key -> time, version
        self.locked: set[int] = set()

    def run(self, steps: int) -> None:
        """Some steps of any transactions; some go on seldom."""
        for _ in range(0 if self.is_over or self.is_still else steps):
            self.ticks += 1
            if len(self.running) < 5 and self.random.random() < 0.3:
                self.running[self._name()] = self.transaction(), self.random.choice((1, 1, 0.3, 0.05))
            if self.running:
                names = list(self.running)
                [name] = self.random.choices(names, [self.running[name][1] for name in names])
                self._step(name)

    def between(self) -> None:
        """What happens between two statements of the reader."""
        self.run(self.random.choice((0, 0, 0, 1, 3, 20)))

    def finish(self) -> None:
        """All transactions end, and no others begin."""
        self.is_over = True
        while self.running:
            self.ticks += 1
            self._step(self.random.choice(list(self.running)))

    def look(self) -> Look:
        """As the database of this kind is looked at."""
        self.between()
        if self.transaction == self._mariadb:
            statements = sorted(self.statements)
            self.between()
            found = mariadb_look(statements, list(self.begun))
        else:
            running = set(self.virtual_ids)
            self.between()
            found = postgres_look(running, set(self.prepared))
        self.between()
        return found

    def _step(self, name: int) -> None:
        if next(self.running[name][0], self) is self:
            del self.running[name]

    def _name(self) -> int:
        self.names += 1
        return self.names

    def _draw(self) -> int:
        self.last += 1
        return self.last

    def _postgres(self) -> Steps:
        """The rows can be seen before the transaction is no longer there; a prepared one is seen twice for a moment."""
        virtual = f"virtual {self._name()}"
        self.virtual_ids.add(virtual)
        writer = self.random.choice(sorted(self.writers))
        self.writers.remove(writer)
        rows = []
        for _ in range(self.random.choice((1, 1, 2, 4))):
            yield
            rows.append(self._draw())
            self.writer_of[rows[-1]] = writer
            yield
        end = self.random.choice(("commit", "commit", "roll back", "prepare"))
        if end != "prepare":
            self.numbers.update(rows if end == "commit" else ())
            yield
            self.virtual_ids.remove(virtual)
            self.writers.add(writer)
            return
        prepared = f"prepared {self._name()}"
        self.prepared.add(prepared)
        yield
        self.virtual_ids.remove(virtual)
        yield
        self.numbers.update(rows if self.random.random() < 0.7 else ())
        yield
        self.prepared.remove(prepared)
        self.writers.add(writer)

    def _mariadb(self) -> Steps:
        """A number is drawn before the transaction begins for InnoDB; its time has coarse units."""
        if not self.connections:
            return
        connection = self.random.choice(sorted(self.connections))
        self.connections.remove(connection)
        rows: list[int] = []
        transaction = None
        statements = self.random.choice((1, 1, 2, 3))
        ends_alone = self.random.random() < 0.5  # by autocommit, within the last statement
        end = self.random.choice(("commit", "commit", "roll back", "prepare"))
        for number in range(1, statements + 1):
            statement = connection, self._name()
            self.statements.add(statement)
            yield
            rows.append(self._draw())
            yield
            if transaction is None:
                transaction = connection, str(self.ticks // COARSE)
                self.begun.append(transaction)
                yield
            if number == statements and ends_alone:
                self.numbers.update(rows if end == "commit" else ())
                yield
                self.begun.remove(transaction)
            self.statements.remove(statement)
            yield
        assert transaction
        if end == "prepare" and not ends_alone:
            self.begun[self.begun.index(transaction)] = transaction = 0, transaction[1]
            self.connections.add(connection)
            yield
            end = "commit"
        if not ends_alone:
            self.numbers.update(rows if end == "commit" else ())
            yield
            self.begun.remove(transaction)
        self.connections.add(connection)

    def _cached(self) -> Steps:
        """A session draws numbers at once and uses them in several transactions."""
        drawn = [self._draw() for _ in range(CACHED)]
        for number in drawn:
            virtual = f"virtual {self._name()}"
            self.virtual_ids.add(virtual)
            yield
            self.numbers.update([number] if self.random.random() < 0.8 else ())
            self.virtual_ids.remove(virtual)
            yield

    def _updates(self) -> Steps:
        """The time of a row is coarse, and may lie before the beginning of the transaction."""
        virtual = f"virtual {self._name()}"
        when = (self.ticks - self.random.randrange(SKEW + 1)) // COARSE * COARSE
        self.virtual_ids.add(virtual)
        yield
        changed = {}
        for _ in range(self.random.choice((1, 1, 2, 6))):
            key = self.random.randrange(KEYS)
            if key not in self.locked:
                self.locked.add(key)
                changed[key] = when, self._draw()
                yield
        if self.random.random() < 0.8:
            self.rows.update(changed)
            for key in list(changed) if self.random.random() < 0.1 else ():
                del self.rows[key]
        self.locked.difference_update(changed)
        yield
        self.virtual_ids.remove(virtual)


class Numbered:
    """The rows of a world by number."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.look: Callable[[], Look | None] = world.look

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        self._world.between()
        self._world.is_still = True
        yield
        self._world.is_still = False

    def highest(self) -> int | None:
        self._world.between()
        return max(self._world.numbers, default=None)

    def within(self, ranges: Sequence[Range], limit: int) -> Page[int]:
        return self._page(lambda number: any(first <= number <= last for first, last in ranges), limit)

    def above(self, seen: int, limit: int) -> Page[int]:
        return self._page(lambda number: number > seen, limit)

    def _page(self, fits: Callable[[int], bool], limit: int) -> Page[int]:
        self._world.between()
        limit = min(limit, self._world.random.randrange(1, BATCH + 1))  # fewer where rows are large
        found = sorted(filter(fits, self._world.numbers))
        rows = [Row(number, Record("t", str(number).encode())) for number in found[:limit]]
        self._world.between()
        return Page(rows, is_last=len(found) < limit)


class Changed:
    """The rows of a world by time and key."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.look: Callable[[], Look | None] = world.look

    def clock(self) -> int:
        self._world.between()
        return self._world.ticks - SKEW - COARSE

    def after(self, place: Timed | None, before: Any, limit: int) -> Page[Timed]:
        self._world.between()
        found = sorted((when, (key,), version) for key, (when, version) in self._world.rows.items())
        rows = []
        for when, key, version in found:
            if place and (when < place.time or (when == place.time and place.key is not None and key <= place.key)):
                continue
            if before is None or when < before:
                rows.append(Row(Timed(when, key), Record("t", json.dumps([*key, version]).encode())))
        self._world.between()
        return Page(rows[:limit], is_last=len(rows) < limit)


class Numbers(NamedTuple):
    """committed: the numbers that were; read: how often each was; in_order: whether those of each writer were in order."""

    committed: set[int]
    read: Counter[int]
    in_order: bool


def numbers_read(
    seed: int,
    kind: str,
    reader: Callable[..., Any] = IncrementingRows,
    table: Callable[[World], Any] = Numbered,
    gap_seconds: float = 0,
) -> Numbers:
    """What a reader reads in one schedule."""
    world = World(seed, kind)

    def opened(position: Any) -> Any:
        found = reader(
            table(world),
            name="t",
            batch=BATCH,
            max_gaps=MAX_GAPS,
            gap_seconds=gap_seconds,
            clock=lambda: world.ticks,
        )
        found.open(position)
        return found

    sent = [int(record.value) for record in _read_all(world, opened)]
    last: dict[int, int] = {}
    in_order = True
    for number in sent:
        if (writer := world.writer_of.get(number)) is not None:
            in_order &= last.get(writer, 0) < number
            last[writer] = number
    return Numbers(world.numbers, Counter(sent), in_order)


def versions_read(
    seed: int, reader: Callable[..., Any] = ChangedRows, table: Callable[[World], Any] = Changed
) -> tuple[set[tuple[int, int]], Counter[tuple[int, int]]]:
    """The keys with their last versions, and how often each version was read."""
    world = World(seed, "updates")

    def opened(position: Any) -> Any:
        found = reader(
            table(world), name="t", batch=BATCH, max_young=MAX_YOUNG, gap_seconds=0, clock=lambda: world.ticks
        )
        found.open(position)
        return found

    sent = _read_all(world, opened)
    last = {(key, version) for key, (_, version) in world.rows.items()}
    return last, Counter(tuple(json.loads(record.value)) for record in sent)


def _read_all(world: World, opened: Callable[[Any], Any]) -> list[Any]:
    sent: list[Record] = []
    position = None
    reader = opened(position)
    quiet = 0
    for number in range(1000):
        is_over = number >= 60
        if number == 60:
            world.finish()
            quiet = 0
        if is_over:
            world.ticks += 200
        else:
            world.run(world.random.randrange(6))
        chunk = reader.read()
        quiet = 0 if chunk and chunk.records else quiet + 1
        if is_over and quiet > 15:
            return sent
        is_killed = not is_over and world.random.random() < 0.15
        if chunk and not (is_killed and world.random.random() < 0.5):
            assert len(chunk.records) <= BATCH
            sent += chunk.records
            position = json.loads(json.dumps(chunk.position))
            assert len(position.get("gaps", ())) <= MAX_GAPS
            assert len(position.get("sent", ())) <= MAX_YOUNG + BATCH
        elif chunk:
            is_killed = True
        if is_killed:
            reader = opened(position)
    raise AssertionError("the reader does not come to rest")
