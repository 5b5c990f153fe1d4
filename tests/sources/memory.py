"""Kafka's transactions in memory, with the answers that get lost, and owners that work on them."""

import random
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kafka_client.producer import Record
from sources.config import SourceConfig, SourceOptions
from sources.kind import SourceKind
from sources.metrics import SourceMetrics
from sources.owner import Owner, Work
from sources.positions import Positions
from sources.reader import Position
from sources.states import TaskStatus
from sources.transactions import TooLarge
from tests.sources.numbers import NumbersKind
from worker.errors import Fenced, Pending, Retriable

POSITIONS = Positions("n", "positions", 1)


def source(target: Any, **values: Any) -> SourceConfig:
    """A source of one positions partition."""
    options = SourceOptions(**values.pop("options", {}))
    return SourceConfig(
        name="n",
        kind="numbers",
        target=target,
        options=options,
        positions_topic="positions",
        positions_partitions=1,
        **values,
    )


class MemoryKafka:
    """What is committed, in order, and who may commit. faults: how often a step fails, 0 to 1."""

    def __init__(self, seed: int = 0, faults: float = 0.0) -> None:
        self.random = random.Random(seed)
        self.faults = faults
        self.log: list[Record] = []
        self.commits = 0
        self._epochs: dict[str, int] = {}

    def fails(self) -> bool:
        """Whether something fails now."""
        return self.random.random() < self.faults

    def next_epoch(self, name: str) -> int:
        """Fences all earlier owners of a transactional id."""
        self._epochs[name] = self._epochs.get(name, 0) + 1
        return self._epochs[name]

    def commit(self, name: str, epoch: int, records: list[Record]) -> None:
        """Commits a transaction. Raises Fenced."""
        self.check(name, epoch)
        self.log += records
        self.commits += 1

    def check(self, name: str, epoch: int) -> None:
        """Raises Fenced when the transactional id has a newer owner."""
        if self._epochs[name] != epoch:
            raise Fenced("a newer producer")

    def read_positions(self, number: int) -> tuple[dict[str, Position], int]:
        """As Positions.read."""
        if self.fails():
            raise Retriable("a transaction is still open")
        found: dict[str, Position] = {}
        for record in self.log:
            if record.topic != POSITIONS.topic:
                continue
            part = POSITIONS.part(record.key) or ""
            if record.value is None:
                found.pop(part, None)
            else:
                found[part] = msgspec.json.decode(record.value)
        return found, len(self.log)

    def set_position(self, part: str, position: Position | None) -> tuple[int, bytes, str]:
        """As rewind_source does; returns what a consumer sees of it."""
        self.next_epoch(POSITIONS.transactional_id(0))
        self.log.append(POSITIONS.record(part, position, "rewind"))
        return len(self.log), POSITIONS.key(part), "rewind"

    def values(self, topic: str) -> list[str]:
        """The committed values of a topic."""
        return [(record.value or b"").decode() for record in self.log if record.topic == topic]


class MemoryTransactions:
    """As sources.transactions.Transactions. most: larger values are refused by the client."""

    def __init__(self, kafka: MemoryKafka, name: str, most: int = 1000) -> None:
        self._kafka = kafka
        self._name = name
        self._most = most
        self._epoch = 0
        self._records: list[Record] = []
        self._is_committed = False

    def take_over(self) -> None:
        """May be done although the answer is lost."""
        if self._kafka.fails():
            raise Pending("no answer")
        self._epoch = self._kafka.next_epoch(self._name)
        if self._kafka.fails():
            raise Retriable("the answer was lost")

    def begin(self) -> None:
        """Fails only by what happened before."""
        self._records = []
        self._is_committed = False

    def produce(self, records: Iterable[Record], *, partition: int = -1) -> None:
        """Fails for a record that is too large, and now and then."""
        if self._kafka.fails():
            raise Retriable("a record was not delivered")
        for record in records:
            if len(record.value or b"") > self._most:
                raise TooLarge(record, "Message size too large")
            self._records.append(record)

    def commit(self) -> None:
        """May be done although the answer is lost; or asked again before it is done."""
        if self._kafka.fails():
            raise Pending("no answer")
        if not self._is_committed:
            self._kafka.commit(self._name, self._epoch, self._records)
            self._is_committed = True
        if self._kafka.fails():
            raise Pending("the answer was lost")
        if self._kafka.fails():
            raise Retriable("the answer was lost, and the producer can't go on")

    def close(self) -> None:
        """Kafka drops what was open."""


@dataclass
class Ground:
    """Owners of one partition on one Kafka; `now` is the clock of all."""

    config: SourceConfig
    kind: SourceKind = field(default_factory=NumbersKind)
    kafka: MemoryKafka = field(default_factory=MemoryKafka)
    owner_type: type[Owner] = Owner
    now: float = 0.0
    most: int = 1000

    def owner(self, parts: Iterable[str] = ("a",)) -> Owner:
        """A further owner: a task that believes that the partition is its own."""
        self.status = TaskStatus("n/0", SourceMetrics("n"))
        self.work = Work(
            source=self.config,
            kind=self.kind,
            positions=POSITIONS,
            status=self.status,
            make_transactions=lambda name: MemoryTransactions(self.kafka, name, self.most),  # type: ignore[arg-type,return-value]
            read_positions=self.kafka.read_positions,
            clock=lambda: self.now,
        )
        owner = self.owner_type(0, self.work)
        owner.want(set(parts))
        return owner

    def step(self, owner: Owner, times: int = 1, *, after: float = 0.0) -> None:
        """Steps of an owner, each some seconds after the one before."""
        for _ in range(times):
            self.now += after
            owner.step(GO_ON)


GO_ON = threading.Event()
