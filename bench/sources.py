"""The core of sources against a plain loop that produces the same records in transactions of the same size.

The source's records lie in memory: what is measured is what the core adds to reading. The benchmark of a kind is a
module of its own.
"""

import threading
import time
from collections.abc import Iterable, Sequence

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic
from django.test import override_settings

from bench.records import event, make_topic
from bench.report import Figure, Report
from devstack.stack import Stack
from kafka_client.producer import Record
from sources import registry
from sources.build import build_source
from sources.config import SourceConfig
from sources.kind import SourceKind
from sources.positions import POSITIONS_CONFIG
from sources.reader import Chunk, Position
from sources.transactions import PRODUCER_DEFAULTS, PRODUCER_REQUIRED
from worker.servers import Server

_TURNS = 3
_SECONDS = 120
_READ_RECORDS = 1_000


def run(stack: Stack, report: Report, scale: float) -> None:
    """Transactions of 1,000 and of 10,000 records, of one part and of ten. The best of several turns counts."""
    for size, count, parts in ((10_000, 1_000_000, 1), (10_000, 1_000_000, 10), (1_000, 300_000, 1)):
        count = max(int(count * scale) // (size * parts), 1) * size * parts
        topic = make_topic(stack)
        records = [Record(topic, event(number)) for number in range(count)]
        plain = source = 0.0
        for _ in range(_TURNS):
            plain = max(plain, count / _plain_loop(stack, records, size))
            source = max(source, count / _source(stack, records, size, parts))
        what = f"{parts} part{'s' if parts > 1 else ''}, transactions of {size:,} records"
        report.add(Figure(f"core of sources, {what}", source, "records/s", "plain loop", plain))


def _plain_loop(stack: Stack, records: Sequence[Record], size: int) -> float:
    own = {"bootstrap.servers": stack.bootstrap_servers, "transactional.id": f"bench-{time.monotonic_ns()}"}
    producer = Producer({**PRODUCER_DEFAULTS, **PRODUCER_REQUIRED, **own})
    producer.init_transactions(60)
    begin = time.perf_counter()
    for first in range(0, len(records), size):
        producer.begin_transaction()
        for record in records[first : first + size]:
            producer.produce(record.topic, record.value)
        producer.commit_transaction(60)
    return time.perf_counter() - begin


class MemoryTarget(msgspec.Struct, frozen=True):
    """Nothing is to be set."""


class MemoryReader:
    """Gives records of memory; the clock runs from the first read on."""

    def __init__(self, records: Sequence[Record], begun: list[float]) -> None:
        self._records = records
        self._begun = begun
        self._next = 0

    def open(self, position: Position | None) -> None:
        """Goes to a position."""
        self._next = position["next"] if position else 0

    def read(self) -> Chunk | None:
        """The next records."""
        self._begun.append(time.perf_counter())
        if self._next >= len(self._records):
            return None
        records = self._records[self._next : self._next + _READ_RECORDS]
        self._next += len(records)
        return Chunk(records, {"next": self._next}, more=self._next < len(self._records))

    def close(self) -> None:
        """Holds nothing."""


class MemoryKind(SourceKind):
    """Parts that hold records in memory."""

    name = "memory"
    title = "Memory"
    target = MemoryTarget

    def __init__(self, records: Sequence[Record], parts: int) -> None:
        self._records = {str(number): records[number::parts] for number in range(parts)}
        self.begun: list[float] = []

    def check(self, source: SourceConfig) -> None:
        """There is nothing to check."""

    def topics(self, source: SourceConfig) -> list[str]:
        """They are made already."""
        return []

    def parts(self, source: SourceConfig) -> Iterable[str]:
        """Their numbers."""
        return self._records

    def reader(self, source: SourceConfig, part: str) -> MemoryReader:
        """A reader of one part."""
        return MemoryReader(self._records[part], self.begun)

    def servers(self, sources: Iterable[SourceConfig]) -> list[Server]:
        """There are none."""
        return []


def _source(stack: Stack, records: Sequence[Record], size: int, parts: int) -> float:
    """Seconds from the first read until everything is committed."""
    positions = f"bench-positions-{time.monotonic_ns()}"
    admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers})
    for future in admin.create_topics([NewTopic(positions, 1, 1, config=POSITIONS_CONFIG)]).values():
        future.result()
    kind = registry.KINDS["memory"] = MemoryKind(records, parts)
    entry = {
        "kind": "memory",
        "target": {},
        "positions_topic": positions,
        "positions_partitions": 1,
        "options": {"transaction_records": size, "transaction_seconds": 60},
    }
    with override_settings(KAFKA={"default": {"bootstrap.servers": stack.bootstrap_servers}}):
        source = build_source(registry.source_of(positions, entry))
    stop = threading.Event()
    (task,) = source.tasks
    thread = threading.Thread(target=task.run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + _SECONDS
    try:
        while task.status.records < len(records):
            if not thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the source did not read its records")
            time.sleep(0.005)
        return time.perf_counter() - kind.begun[0]
    finally:
        stop.set()
        thread.join()
        del registry.KINDS["memory"]
