"""The spool's segment log against a log in SQLite (WAL mode): appending, and delivering while others append."""

import itertools
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench.report import Figure, Report
from devstack.stack import Stack
from events.spool.log import Fsync, Spool
from events.spool.reader import SpoolReader
from events.spool.segments import pack, unpack

ROUNDS = 5
FSYNCS: tuple[Fsync, ...] = ("never", "interval", "always")
APPENDS = ((1, 1), (1, 8), (50, 1), (500, 1))  # records an append, and threads


class Segments:
    """The spool as it is."""

    def __init__(self, root: Path, fsync: Fsync) -> None:
        self._spool = Spool(root, max_bytes=2**40, segment_bytes=2**24, fsync=fsync)
        self._reader = SpoolReader(self._spool.folder, lambda: self._spool.end)
        self.append = self._spool.append
        self.close = self._spool.close

    def deliver(self) -> int:
        """Reads and removes the next records; returns how many."""
        count = len(self._reader.read(2000, 2**20))
        self._reader.commit()
        return count


class SQLite:
    """A row for each append, which is faster than one for each record. Appends that wait together share one commit."""

    def __init__(self, root: Path, fsync: Fsync) -> None:
        self._write, self._read = (
            sqlite3.connect(root / "spool.db", isolation_level=None, check_same_thread=False) for _ in range(2)
        )
        synchronous = {"never": "off", "interval": "normal", "always": "full"}[fsync]  # normal: at each checkpoint
        self._write.executescript(f"pragma journal_mode=wal; pragma synchronous={synchronous}")
        self._write.execute("create table records (id integer primary key, data blob)")
        self._lock = threading.Lock()
        self._tickets = itertools.count()
        self._waiting: dict[int, bytes] = {}

    def append(self, payloads: Sequence[bytes]) -> None:
        """Returns once the records are committed."""
        ticket = next(self._tickets)
        self._waiting[ticket] = pack(payloads)
        with self._lock:
            if ticket in self._waiting:
                group = self._waiting.copy()
                self._write.execute("begin immediate")
                self._write.executemany("insert into records (data) values (?)", zip(group.values(), strict=True))
                self._write.execute("commit")
                for each in group:
                    del self._waiting[each]

    def deliver(self) -> int:
        """Reads and removes the next records; returns how many."""
        rows = self._read.execute("select id, data from records order by id limit 40").fetchall()
        if rows:
            with self._lock:
                self._write.execute("delete from records where id <= ?", (rows[-1][0],))
        return sum(len(unpack(data, 2000)[0]) for _, data in rows)

    def close(self) -> None:
        """Closes both connections."""
        self._read.close()
        self._write.close()


def run(_: Stack, report: Report, scale: float) -> None:
    """Both in turn, five times; the median of each counts."""

    def compare(name: str, fsync: Fsync, measure: Callable[[Segments | SQLite], float]) -> None:
        rates: dict[type, list[float]] = {Segments: [], SQLite: []}
        for kind in [*rates] * ROUNDS:
            with tempfile.TemporaryDirectory(prefix="bench-spool-", dir=".") as root:  # /tmp may be no disk
                log = kind(Path(root), fsync)
                rates[kind].append(measure(log))
                log.close()
        report.add(Figure(name, median(rates[Segments]), "records/s", "SQLite", median(rates[SQLite])))

    for fsync, (batch, threads) in itertools.product(FSYNCS, APPENDS):
        name = f"fsync {fsync}, records an append: {batch}, threads: {threads}"
        compare(name, fsync, lambda log, b=batch, t=threads: _append(log, b, t, scale / 2))  # type: ignore[misc]
    compare("delivered while a thread appends 50 at a time", "never", lambda log: _deliver(log, scale / 2))


def _append(log: Segments | SQLite, batch: int, threads: int, seconds: float) -> float:
    """Records per second that all threads together append."""
    payloads, ends_at = [b"x" * 200] * batch, time.monotonic() + seconds

    def work(_: int) -> int:
        count = 0
        while time.monotonic() < ends_at:
            log.append(payloads)
            count += batch
        return count

    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(work, range(threads))) / seconds


def _deliver(log: Segments | SQLite, seconds: float) -> float:
    """Records per second that are read and removed while a thread appends."""
    count, ends_at = 0, time.monotonic() + seconds
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_append, log, 50, 1, seconds)
        while time.monotonic() < ends_at:
            count += log.deliver()
    return count / seconds
