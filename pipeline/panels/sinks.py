"""The sinks by their heartbeats: threads, partitions, speed, lag, last write and last error."""

from datetime import datetime
from typing import Any

from django.urls import reverse

from pipeline.console.sinks.progress import longest_delay, partition_progress, total_lag
from pipeline.errors import ServerError
from pipeline.heartbeats import HeardSink, read_heartbeats
from sinks.config import sinks


def read(topics: dict[str, Any] | None) -> dict[str, Any]:
    """A row for each configured sink.

    topics: the answer of the panel `topics`, whose lag counts where there is one: Kafka also knows it of a sink that
    does not run. An answer with `error` when the database is away.
    """
    try:
        return {"sinks": [_row(heard, topics) for heard in read_heartbeats(sinks().values())]}
    except ServerError as error:
        return {"error": {"server": error.server, "text": error.text}}


def _row(heard: HeardSink, topics: dict[str, Any] | None) -> dict[str, Any]:
    progress = partition_progress(heard, None)
    delay = longest_delay(progress)
    error = next(iter(heard.errors), None)
    totals = _totals(heard.config.name, topics)
    lag = [total["lag"] for total in totals if total["lag"] is not None]
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
        "lag": sum(lag) if lag else total_lag(progress),
        "uncommitted": sum(total["uncommitted"] for total in totals),
        "delay": None if delay is None else {"seconds": delay.seconds, "bound": delay.bound},
        "last_write": _milliseconds(heard.last_write),
        "troubles": heard.troubles + (heard.state == "silent"),
        "error": None if error is None else {"moment": _milliseconds(error.moment), "text": error.text},
    }


def _totals(sink: str, topics: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What Kafka says of each topic that the sink reads."""
    entries = (topics or {}).get("topics", [])
    return [entry["sinks"][sink] for entry in entries if sink in entry["sinks"]]


def _milliseconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)
