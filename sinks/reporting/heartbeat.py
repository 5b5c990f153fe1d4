"""Tells the project's database every few seconds what a sink's process is doing, and asks what operators want of it.

The sink does not depend on it: a thread of its own talks to the database, and one that is away is asked again later.
"""

import logging
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error as DatabaseError
from django.db import connection

from kafka_client.structs import ready
from sinks.control import Control, Restart
from sinks.models import ALL_PARTITIONS, SinkLag, SinkPause, SinkProcess, SinkRestart, database_now
from sinks.records import Partition
from sinks.reporting.reports import SinkReport

logger = logging.getLogger(__name__)

LAG_EVERY = timedelta(seconds=15)
"""Between two samples of the lag."""

LAG_KEPT = timedelta(hours=1)
"""How long samples of the lag are kept."""

FORGOTTEN_AFTER = timedelta(hours=1)
"""A process that has sent no heartbeat for this long is forgotten when another process of its sink reports."""

RESTARTS_KEPT = timedelta(days=30)
"""How long restarts that were done are kept."""

_RATE_BEATS = 4


@ready
class _Earlier(msgspec.Struct):
    """The part of an earlier process's report that is read, whatever version wrote the report."""

    last_write: datetime | None = None


@dataclass(eq=False)
class Heartbeat:
    """The thread that reports for a process of a sink.

    status: tells what the process is doing; control: is told what operators want; every_seconds: between two beats;
    now: the wall clock, aware.
    """

    sink: str
    status: Callable[[], SinkReport]
    control: Control
    every_seconds: float
    now: Callable[[], datetime] = database_now

    def __post_init__(self) -> None:
        self._host = socket.gethostname()  # once: a host that gets another name is no other process
        self._counts: deque[tuple[datetime, int]] = deque(maxlen=_RATE_BEATS)
        self._sampled_at: datetime | None = None
        self._earlier_write: datetime | None = None
        self._failures: dict[str, tuple[type[Exception], str]] = {}  # the latest of each part of a beat that fails
        self._first = threading.Event()
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{self.sink}-heartbeat", daemon=True)

    def start(self, *, wait_seconds: float) -> None:
        """Starts the thread. Waits at most this long for the first beat, which fetches what is to be paused."""
        self._thread.start()
        if not self._first.wait(wait_seconds):
            logger.warning("%s: the database has not answered: starts without knowing what is paused", self.sink)

    def stop(self, *, wait_seconds: float) -> None:
        """Reports a last time that the process stops. Waits at most this many seconds for the database."""
        self._leaving.set()
        self._thread.join(wait_seconds)

    def beat(self, *, stopped: bool = False) -> None:
        """Reports once, asks once, and samples the lag when that is due."""
        self._attempt("report", partial(self._report, stopped=stopped))
        self._attempt("ask what is to be paused", self._ask_pauses)
        self._attempt("ask where to go back to", self._ask_restarts)
        self._attempt("sample the lag", self._sample_lag)

    def _run(self) -> None:
        while True:
            stopped = self._leaving.is_set()
            self.beat(stopped=stopped)
            self._first.set()
            if stopped:
                return
            self._leaving.wait(self.every_seconds)

    def _attempt(self, what: str, part: Callable[[], None]) -> None:
        """Does a part of a beat. A part that fails is tried again with the next beat, and stops no other part."""
        try:
            part()
        except (DatabaseError, ImproperlyConfigured) as error:
            if self._is_new(what, error):
                text = "%s: can't %s, the database says: %s; tries on, the sink goes on"
                logger.warning(text, self.sink, what, error)
            with suppress(DatabaseError):
                connection.close()  # it may be broken: the next query makes a new one
        except Exception as error:
            if self._is_new(what, error):
                logger.exception("%s: can't %s, by an unexpected error; tries on, the sink goes on", self.sink, what)
        else:
            if self._failures.pop(what, None) and not self._failures:
                logger.info("%s: reports to the database and asks it again", self.sink)

    def _is_new(self, what: str, error: Exception) -> bool:
        """Notes a failure. Says whether it is to be told: neither this part nor another one has failed so before."""
        cause = type(error), str(error)
        of_part, _ = self._failures.get(what, (None, ""))
        is_known = of_part is type(error) or cause in self._failures.values()
        self._failures[what] = cause
        return not is_known

    def _report(self, *, stopped: bool = False) -> None:
        now = self.now()
        report = self.status()
        if not self._counts:
            self._earlier_write = self._read_last_write()
        if report.last_write is None:
            report = msgspec.structs.replace(report, last_write=self._earlier_write)
        self._counts.append((now, report.records))
        SinkProcess.objects.update_or_create(
            sink=self.sink,
            host=self._host,
            pid=os.getpid(),
            defaults={
                "started": report.since,
                "version": settings.VERSION,
                "heard_at": now,
                "stopped": stopped,
                "records_per_second": 0.0 if stopped else self._rate(),
                "report": msgspec.json.encode(report).decode(),
            },
        )

    def _rate(self) -> float:
        (begin, before), (end, after) = self._counts[0], self._counts[-1]
        seconds = (end - begin).total_seconds()
        return (after - before) / seconds if seconds > 0 else 0.0

    def _read_last_write(self) -> datetime | None:
        """When the sink's processes before this one stored last: they are forgotten one day."""
        writes = []
        for report in SinkProcess.objects.filter(sink=self.sink).values_list("report", flat=True):
            with suppress(msgspec.DecodeError):  # of another version, or cut off
                writes.append(msgspec.json.decode(report, type=_Earlier).last_write)
        return max((write for write in writes if write), default=None)

    def _sample_lag(self) -> None:
        now = self.now()
        if self._sampled_at is not None and now - self._sampled_at < LAG_EVERY:
            return
        parts = [
            (part.topic, part.partition, part.end, done)
            for part in self.status().partitions
            if part.end is not None and (done := part.done) is not None
        ]
        SinkLag.objects.create(sink=self.sink, sampled_at=now, parts=msgspec.json.encode(parts).decode())
        SinkLag.objects.filter(sink=self.sink, sampled_at__lt=now - LAG_KEPT).delete()
        SinkProcess.objects.filter(sink=self.sink, heard_at__lt=now - FORGOTTEN_AFTER).delete()
        SinkRestart.objects.filter(sink=self.sink, done_at__lt=now - RESTARTS_KEPT).delete()
        self._sampled_at = now

    def _ask_pauses(self) -> None:
        pauses = list(SinkPause.objects.filter(sink=self.sink))
        self.control.want_paused(
            (Partition(pause.topic, pause.partition) for pause in pauses),
            everything=any(pause.partition == ALL_PARTITIONS for pause in pauses),
        )

    def _ask_restarts(self) -> None:
        outcomes = self.control.outcomes()
        for number, error in outcomes.items():
            SinkRestart.objects.filter(pk=number).update(done_at=self.now(), error=error)
        self.control.forget(outcomes)
        own = {(part.topic, part.partition) for part in self.status().partitions}
        self.control.want_restarts(
            Restart(wish.pk, Partition(wish.topic, wish.partition), wish.offset)
            for wish in SinkRestart.objects.filter(sink=self.sink, done_at=None).order_by("pk")
            if (wish.topic, wish.partition) in own
        )
