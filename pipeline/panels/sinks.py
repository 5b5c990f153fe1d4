"""The sinks by their heartbeats: threads, partitions, speed, lag, last write and last error."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.urls import reverse

from pipeline.console.sinks.progress import sink_progress
from pipeline.errors import ServerError
from pipeline.heartbeats import HeardSink, read_heartbeats, read_now
from pipeline.kafka_reads import ClusterOffsets
from pipeline.panels.topics import OFFSETS
from sinks.registry import sinks


def read() -> list[HeardSink] | ServerError:
    """What each configured sink last said, or why the database does not tell."""
    try:
        return read_heartbeats(sinks().values())
    except ServerError as error:
        return error


def shown(heard: list[HeardSink] | ServerError, topics: dict[str, Any] | None) -> dict[str, Any]:
    """A row for each sink of an answer of `read`; `error` when the database is away.

    topics: the answer of the panel `topics`, None while Kafka is still being asked: without it no lag is known.
    """
    try:
        if isinstance(heard, ServerError):
            raise heard
        offsets, now = (topics or {}).get(OFFSETS, {}), read_now()
        return {"sinks": [_row(sink, offsets.get(sink.config.name), now) for sink in heard]}
    except ServerError as error:
        return error.answer()


def _row(heard: HeardSink, offsets: ClusterOffsets | None, now: datetime) -> dict[str, Any]:
    progress = sink_progress(heard, offsets, now=now)
    error = next(iter(heard.errors), None)
    return {
        "name": heard.config.name,
        "kind": heard.config.kind,
        "url": reverse("console:sink", args=[heard.config.name]),
        "state": heard.state,
        "heard_at": _milliseconds(heard.heard_at),
        "awaits_pause": heard.awaits_pause,
        "held": heard.held,
        "tasks": heard.tasks,
        "partitions": len(heard.partitions),
        "records_per_second": heard.records_per_second if heard.living else None,
        "lag": progress.lag,
        "uncommitted": progress.uncommitted,
        "delay": None if progress.delay is None else asdict(progress.delay),
        "last_write": _milliseconds(heard.last_write),
        "troubles": heard.troubles + (heard.state == "silent"),
        "error": None if error is None else {"moment": _milliseconds(error.moment), "text": error.text},
    }


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
