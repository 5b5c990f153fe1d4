"""What the stored events say: Elasticsearch aggregations over a time range, each one bounded search."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from events.conf import kinds
from events.rules import Text
from pipeline.browsers import AgentCount, count_agents
from pipeline.elasticsearch_reads import asking, bars_of, search, within
from pipeline.time_range import TimeRange
from sinks.config import SinkConfig
from sinks.elasticsearch.user_agents import FIELD
from sinks.kind import Documents
from sinks.registry import kind_of, sinks

EVENT = "select-color"
"""The kind of event that statistics begin with."""

FIELDS = 12
"""Fields of a kind whose values are counted."""

_AGENT = "userAgent.keyword"
"""What every kind has as a keyword."""

_PRECISION = 3000
"""Up to so many different values are counted exactly."""


@dataclass(frozen=True)
class Series:
    """The events with one value of a field, one count for each bar."""

    name: str
    counts: list[int]


@dataclass(frozen=True)
class EventsOverTime:
    """Events for each bar.

    starts: when each bar begins (epoch milliseconds); counts: all events of it; series: those of the most frequent
    values of `field`, and what is missing from the sum is of other values. newest: the newest event of all time (epoch
    milliseconds), None when the index has none or does not exist.
    """

    field: str
    total: int
    starts: list[int]
    counts: list[int]
    series: list[Series]
    newest: int | None


@dataclass(frozen=True)
class TopValues:
    """The most frequent values of a field, each with its number of events.

    different: how many values there are (about, when there are thousands).
    """

    field: str
    different: int
    top: list[tuple[str, int]]


@dataclass(frozen=True)
class TopBrowsers:
    """Browsers, and the systems that they run on, by the number of their events.

    agents: how many different user agents there are (about); agents_read: how many were read, the most frequent first;
    events_read: the events that these sent, of `total`.
    """

    total: int
    agents: int
    agents_read: int
    events_read: int
    browsers: list[AgentCount]
    systems: list[AgentCount]


def stored_kinds() -> list[str]:
    """The kinds of events that a sink stores in Elasticsearch, select-color first."""
    stored = {sink.event for sink in sinks().values() if kind_of(sink).documents(sink) is not None}
    return [EVENT, *(name for name in kinds() if name in stored and name != EVENT)]


def text_fields(event: str) -> list[str]:
    """The first FIELDS fields of a kind of event whose values are texts, so keywords of its index."""
    return [field.name for field in kinds()[event].fields if isinstance(field.rule, Text)][:FIELDS]


def events_sink(event: str = EVENT) -> tuple[SinkConfig, Documents]:
    """The sink that stores a kind of event, and where. Raises ImproperlyConfigured when SINKS has none."""
    for sink in sinks().values():
        if sink.event == event and (documents := kind_of(sink).documents(sink)) is not None:
            return sink, documents
    raise ImproperlyConfigured(f"SINKS has no entry of the kind elasticsearch for the event {event}")


def events_over_time(time_range: TimeRange, *, event: str, field: str, series: int) -> EventsOverTime:
    """Events for each interval, for the `series` most frequent values of a field of the kind. Raises ServerError.

    field: one of its texts, empty for a kind that has none.
    """
    _sink, target = events_sink(event)
    field = field or _AGENT
    bars = {"bars": {"date_histogram": bars_of(time_range, "timestamp")}}
    top = {"series": {"terms": {"field": field, "size": series}, "aggs": bars}}
    total, answer = _counted(target, time_range, top)
    if not answer:
        return EventsOverTime(field, 0, [], [], [], None)
    found = answer["series"]["buckets"]
    if found and sum(value["doc_count"] for value in found) == total:
        # The values make up all there is: a second look at millions of documents would tell the same.
        starts = sorted({bucket["key"] for value in found for bucket in value["bars"]["buckets"]})
        counts = [sum(part) for part in zip(*(_counts_at(starts, value["bars"]) for value in found), strict=True)]
    else:
        every = _counted(target, time_range, bars)[1].get("bars", {}).get("buckets", [])
        starts, counts = [bucket["key"] for bucket in every], [bucket["doc_count"] for bucket in every]
    return EventsOverTime(
        field=field,
        total=total,
        starts=starts,
        counts=counts,
        series=[Series(value["key"], _counts_at(starts, value["bars"])) for value in found],
        newest=_newest_timestamp(target),
    )


def top_values(time_range: TimeRange, *, event: str, fields: Sequence[str], top: int) -> tuple[int, list[TopValues]]:
    """How many events there are, and the `top` most frequent values of texts of the kind. Raises ServerError."""
    asked: dict[str, Any] = {}
    for field in fields:
        asked[f"top {field}"] = {"terms": {"field": field, "size": top}}
        asked[f"different {field}"] = _different(field)
    total, found = _counted(events_sink(event)[1], time_range, asked)
    if not found:
        return 0, [TopValues(field, 0, []) for field in fields]
    return total, [
        TopValues(field, found[f"different {field}"]["value"], _pairs(found[f"top {field}"])) for field in fields
    ]


def top_browsers(time_range: TimeRange, *, top: int, agents: int) -> TopBrowsers:
    """The `top` browsers and systems: as stored by the sink, else parsed from the `agents` most frequent user agents.

    Raises ServerError.
    """
    _sink, target = events_sink()
    if target.user_agent_field:
        return _stored_browsers(target, time_range, top=top)
    asked = {"agents": {"terms": {"field": _AGENT, "size": agents}}, "different": _different(_AGENT)}
    total, found = _counted(target, time_range, asked)
    if not found:
        return TopBrowsers(0, 0, 0, 0, [], [])
    read = _pairs(found["agents"])
    return TopBrowsers(
        total=total,
        # The count is an estimate, what was read is not.
        agents=max(found["different"]["value"], len(read)),
        agents_read=len(read),
        events_read=sum(count for _, count in read),
        browsers=count_agents(read, lambda agent: agent.browser)[:top],
        systems=count_agents(read, lambda agent: agent.os)[:top],
    )


def _stored_browsers(target: Documents, time_range: TimeRange, *, top: int) -> TopBrowsers:
    # Documents from before the sink stored it have no agent.
    read = {"filter": {"exists": {"field": f"{FIELD}.bot"}}}
    # Not below that filter, though it means the same there: it would cost several times as much.
    names = {name: {"terms": {"field": f"{FIELD}.{name}", "size": top}} for name in ("browser", "os")}
    total, found = _counted(target, time_range, {"different": _different(_AGENT), "read": read, **names})
    if not found:
        return TopBrowsers(0, 0, 0, 0, [], [])
    agents, events = found["different"]["value"], found["read"]["doc_count"]
    browsers, systems = (_stored_agents(found[name], events)[:top] for name in names)
    return TopBrowsers(total, agents, agents, events, browsers, systems)


def _stored_agents(found: dict[str, Any], read: int) -> list[AgentCount]:
    """The buckets of a terms aggregation; what is missing to `read` events is unknown."""
    counts = [AgentCount(*pair) for pair in _pairs(found)]
    unknown = read - sum(one.count for one in counts) - found["sum_other_doc_count"]
    if unknown > 0:
        counts.append(AgentCount(None, unknown))
    return sorted(counts, key=lambda one: -one.count)


def _newest_timestamp(target: Documents) -> int | None:
    # Sorted by an indexed date and cut to one: fast whatever the size of the index.
    order = {"timestamp": {"order": "desc", "unmapped_type": "date"}}
    value = {"field": "timestamp", "format": "epoch_millis"}
    with asking(target.cluster) as client:
        answer = search(
            client, target, [], size=1, sort=[order], docvalue_fields=[value], source=False, track_total_hits=False
        )
    values = [hit.get("fields", {}).get("timestamp") for hit in answer["hits"]["hits"]]
    return int(values[0][0]) if values and values[0] else None


def _counted(target: Documents, time_range: TimeRange, aggregations: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """How many events there are, and what these aggregations make of them: nothing where there is no index."""
    times = {"range": {"timestamp": within(time_range)}}
    with asking(target.cluster) as client:
        answer = search(client, target, [times], size=0, track_total_hits=True, aggregations=aggregations)
    return int(answer["hits"]["total"]["value"]), answer.get("aggregations", {})


def _different(field: str) -> dict[str, Any]:
    return {"cardinality": {"field": field, "precision_threshold": _PRECISION}}


def _pairs(found: dict[str, Any]) -> list[tuple[str, int]]:
    """The values of a terms aggregation with their numbers of events."""
    return [(bucket["key"], bucket["doc_count"]) for bucket in found["buckets"]]


def _counts_at(starts: list[int], histogram: dict[str, Any]) -> list[int]:
    counts = {bucket["key"]: bucket["doc_count"] for bucket in histogram["buckets"]}
    return [counts.get(start, 0) for start in starts]
