"""What the statistics page is rendered from: panels, time ranges, and the texts of its scripts."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from pipeline.conf import console_settings
from pipeline.panels import panels_of, services, top_browsers
from pipeline.statistics import EVENT, stored_kinds, text_fields
from pipeline.time_range import DEFAULT_SPAN, SPANS, is_chosen_by_dates, parse_time_range

SINKS = "sinks"
"""The panel that the database fills."""

SYSTEMS = "top-systems"
"""The panel that shows another part of the top browsers' data."""


def chosen_kind(query: Mapping[str, str]) -> str:
    """The kind of event that a query string names by `event`, select-color where it names none that is stored."""
    event = query.get("event", EVENT)
    return event if event in stored_kinds() else EVENT


def chosen_field(query: Mapping[str, str], event: str) -> str:
    """The field of a kind of event that a query string names by `by`, else its first text; empty when it has none."""
    fields = text_fields(event)
    field = query.get("by", "")
    return field if field in fields else next(iter(fields), "")


def page_context(query: Mapping[str, str]) -> dict[str, Any]:
    """The template's context; a range or end that can't be understood is left out."""
    try:
        parse_time_range(query, now=datetime.now(UTC))
    except ValueError:
        query = {"event": query.get("event", EVENT), "by": query.get("by", "")}
    chosen = query.get("range") or DEFAULT_SPAN
    event = chosen_kind(query)
    field = chosen_field(query, event)
    own_titles = {panel.id: panel.title for panel in panels_of(event, field).values()}
    titles = {**own_titles, SINKS: _("Sinks"), SYSTEMS: _("Top systems")}
    return {
        "kinds": [{"name": name, "is_chosen": name == event} for name in stored_kinds()],
        "is_of_choices": event == EVENT,
        "fields": [] if event == EVENT else [(name, name == field) for name in text_fields(event)],
        "spans": [{"key": key, "label": span.label, "is_chosen": key == chosen} for key, span in SPANS.items()],
        "panels": {
            id.replace("-", "_"): {"id": id, "title": title, "source": top_browsers.PANEL.id if id == SYSTEMS else ""}
            for id, title in titles.items()
        },
        "services": services.PANELS,
        "time_zone": timezone.get_current_timezone_name(),
        "config": {
            "event": event,
            "firstEvent": EVENT,
            "by": field,
            "range": chosen,
            "spans": {key: span.length // timedelta(milliseconds=1) for key, span in SPANS.items()},
            "end": int(query["end"]) if query.get("end") and not is_chosen_by_dates(query) else None,
            "from": query.get("from") or None,
            "to": query.get("to") or None,
            "panelsUrl": reverse("admin:events_selectcolorevent_panels"),
            "timeZone": timezone.get_current_timezone_name(),
            "refreshSeconds": console_settings().refresh_seconds,
            "texts": script_texts(),
        },
    }


def script_texts() -> dict[str, str | dict[str, str]]:
    """The texts that scripts write into the page; {name} stands for what they fill in.

    One that counts things has its forms, by the names that browsers give them (Intl.PluralRules).
    """
    return {
        "pause": _("Pause"),
        "resume": _("Resume"),
        "paused": _("Paused"),
        "updated": _("Updated {time}"),
        "other": _("other"),
        "unknown": _("unknown"),
        "total": _("Total"),
        "time": _("Time"),
        "events": _("Events"),
        "share": _("Share"),
        "user": _("User"),
        "browser": _("Browser"),
        "system": _("System"),
        "color": _("Colour"),
        "userAgent": _("User agent"),
        "record": _("Record"),
        "recordHelp": _("topic-partition-offset of the Kafka record"),
        "missing": _("missing"),
        "perBar": _("One bar is {interval}."),
        "seconds": _("{n} s"),
        "minutes": _("{n} min"),
        "hours": _("{n} h"),
        "days": _("{n} d"),
        "chartLabel": _forms(
            "Bar chart of {n} event stacked by {field}; the table below holds the same numbers.",
            "Bar chart of {n} events stacked by {field}; the table below holds the same numbers.",
        ),
        "emptyIndex": _("No documents yet in the index “{index}”."),
        "emptyIndexHint": _("Is the Elasticsearch sink running? Start it with: {command}"),
        "emptyYet": _("The sink {sink} is running; no event has come yet."),
        "emptyRange": _("No events in this time range."),
        "newestIs": _("The newest event is from {time}."),
        "goToNewest": _("Go to newest"),
        "between": _("Showing events from {from} to {to}."),
        "now": _("now"),
        "until": _("Showing events up to {time}."),
        "backToNow": _("Back to now"),
        "valuesTotal": _("Different values: {n}."),
        "usersTotal": _forms("{n} user in all.", "{n} users in all."),
        "usersShown": _("{n} users in all; the top {top} are shown."),
        "agentsAll": _forms("Read from {n} user agent.", "Read from {n} different user agents."),
        "agentsSome": _("Read from the most frequent user agents, {read} of about {n}; events: {events} of {total}."),
        "partition": _("Partition"),
        "first": _("First offset"),
        "end": _("End offset"),
        "committed": _("Committed"),
        "lag": _("Lag"),
        "lagHelp": _(
            "Offsets from what the sink has committed to the end; compaction and transactions leave gaps, so there may "
            "be fewer records"
        ),
        "deadLetters": _("dead letters"),
        "openLetters": _("Neither replayed nor discarded"),
        "someLetters": _("Neither replayed nor discarded, as far as some of the records tell: there are too many"),
        "noCommit": _("no commit yet"),
        "noCommits": _("{n} without a commit"),
        "notRead": _("not read by this sink"),
        "expired": _("records before {first} are gone"),
        "ahead": _("beyond the end: was the topic made anew?"),
        "noTopic": _("This topic does not exist yet. Create it with: {command}"),
        "noDeadLetters": _("This topic does not exist yet."),
        "morePartitions": _forms(
            "{n} more partition is counted but not listed.", "{n} more partitions are counted but not listed."
        ),
        "group": _("consumer group {group}"),
        "cluster": _("cluster {cluster}"),
        "sink": _("Sink"),
        "state": _("State"),
        "threads": _("Threads"),
        "partitions": _("Partitions"),
        "recordsPerSecond": _("Records/s"),
        "behind": _("Behind"),
        "lastWrite": _("Last write"),
        "lastError": _("Last error"),
        "noSinks": _("SINKS has no entry."),
        "running": _("running"),
        "isPaused": _("paused"),
        "backingOff": _("backing off"),
        "failed": _("failed"),
        "stopped": _("stopped at {time}"),
        "silent": _("not heard since {time}"),
        "neverHeard": _("not running"),
        "pauseAsked": _("a pause is asked for"),
        "pausedPartitions": _forms("{n} partition paused", "{n} partitions paused"),
        "away": _("away"),
        "notAnswering": _("{server} can’t be read"),
        "requestFailed": _("This site did not answer as expected (status {status})."),
        "requestTimeout": _("This site did not answer within {n} s."),
        "requestLost": _("This site can’t be reached."),
        "signedOut": _("You are signed out. Load the page again to sign in."),
        "forbidden": _("You may not see events any more."),
    }


def _forms(one: str, other: str) -> dict[str, str]:
    return {"one": ngettext(one, other, 1), "other": ngettext(one, other, 2)}
