"""The sinks by their heartbeats: threads, partitions, speed, lag, last write and last error."""

from datetime import datetime
from typing import Any

from django.urls import reverse

from pipeline.console.sinks.progress import longest_delay, partition_progress, total_lag
from pipeline.errors import ServerError
from pipeline.heartbeats import HeardSink, read_heartbeats
from sinks.config import sinks


def read() -> dict[str, Any]:
    """A row for each configured sink, by its own word; an answer with `error` when the database is away."""
    try:
        return {"sinks": [_row(heard) for heard in read_heartbeats(sinks().values())]}
    except ServerError as error:
        return {"error": {"server": error.server, "text": error.text}}


def with_lag(answer: dict[str, Any], topics: dict[str, Any] | None) -> dict[str, Any]:
    """An answer of `read` with the lag that Kafka tells, where it does: it also knows it of a sink that does not run.

    topics: the answer of the panel `topics`.
    """
    if "error" in answer:
        return answer
    return {"sinks": [{**row, **_lag(row["name"], row["lag"], topics)} for row in answer["sinks"]]}


def _row(heard: HeardSink) -> dict[str, Any]:
    progress = partition_progress(heard, None)
    delay = longest_delay(heard.config.name, progress)
    error = next(iter(heard.errors), None)
    return {
        "name": heard.config.name,
        "kind": heard.config.kind,
        "url": reverse("console:sink", args=[heard.config.name]),
        "state": heard.state,
        "heard_at": _milliseconds(heard.heard_at),
        "wants_pause": bool(heard.pauses),
        "tasks": heard.tasks,
        "partitions": len(heard.partitions),
        "records_per_second": heard.records_per_second if heard.living else None,
        "lag": total_lag(progress),
        "delay": None if delay is None else {"seconds": delay.seconds, "bound": delay.bound},
        "last_write": _milliseconds(heard.last_write),
        "troubles": heard.troubles + (heard.state == "silent"),
        "error": None if error is None else {"moment": _milliseconds(error.moment), "text": error.text},
    }


def _lag(sink: str, heard: int | None, topics: dict[str, Any] | None) -> dict[str, Any]:
    """The sum over the topics that the sink reads."""
    totals = [entry["sinks"][sink] for entry in (topics or {}).get("topics", []) if sink in entry["sinks"]]
    known = [total["lag"] for total in totals if total["lag"] is not None]
    return {"lag": sum(known) if known else heard, "uncommitted": sum(total["uncommitted"] for total in totals)}


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
