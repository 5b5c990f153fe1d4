"""The page of the sinks, the page of one of them, and what operators may do with it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from pipeline.access import CONTROL
from pipeline.conf import console_settings
from pipeline.console.audit import audited
from pipeline.console.models import ActionKind
from pipeline.console.pages import link, named, page_response
from pipeline.console.panels import panel, section
from pipeline.console.sinks import actions
from pipeline.console.sinks.chart import LagChart, Sample, lag_chart
from pipeline.console.sinks.progress import partition_progress, shared_progress, sink_progress, with_delays
from pipeline.heartbeats import read_heartbeats, read_lag_history, read_now, sample_gap
from sinks.config import SinkConfig
from sinks.registry import kind_of, sinks


def index(request: HttpRequest) -> HttpResponseBase:
    """All sinks at a glance."""
    return page_response(request, title=_("Sinks"), panels=[section(overview_panel)])


def sink(request: HttpRequest, name: str) -> HttpResponseBase:
    """A sink's page."""
    config = named(sinks(), name)
    panels = [section(processes_panel, name=name), section(partitions_panel, name=name)]
    return page_response(request, "sinks/sink.html", title=name, sink=config, panels=panels)


def lag(request: HttpRequest, name: str, topic: str, partition: int) -> HttpResponseBase:
    """The lag of one partition over time, as a chart and as a table."""
    config = named(sinks(), name)
    if topic not in config.topics:
        raise Http404(f"{name} does not read {topic}")
    chart = _large_chart(config, read_lag_history(config.name).of((topic, partition)), read_now())
    title = f"{_('Lag over time')}: {topic}-{partition}"
    return page_response(request, "sinks/lag.html", title=title, sink=config, chart=chart)


def control(request: HttpRequest, name: str) -> HttpResponseBase:
    """Asks for confirmation of an action (GET), then does it (POST)."""
    config = named(sinks(), name)
    try:
        action = actions.parse(config, request.POST if request.method == "POST" else request.GET)
    except ValueError as error:
        raise Http404(str(error)) from error
    heard = read_heartbeats([config])[0]
    if request.method != "POST":
        plan = actions.plan(action, heard)
        return page_response(
            request,
            "sinks/control.html",
            title=name,
            sink=config,
            action=action,
            plan=plan,
            heard=heard,
            restarts=kind_of(config).restarts,
        )
    with audited(request, ActionKind.CONTROL, f"sink {name}", action.logged) as log:
        refusal = actions.carry_out(action, heard, asked_by=request.user.get_username())
        log.done(refusal or "asked for")
    if refusal:
        messages.error(request, refusal)
    else:
        messages.success(request, _("Asked for. The sink confirms it with its next heartbeat."))
    return HttpResponseRedirect(link("sink", name))


@panel("sinks-overview", gettext_lazy("All sinks"), "sinks/overview.html", "console:sinks_overview")
def overview_panel(_request: HttpRequest) -> dict[str, Any]:
    """A row for each configured sink; late while Kafka is being asked."""
    known = shared_progress(sinks().values())
    now = read_now()
    heard = read_heartbeats(sinks().values(), now=now)
    return {
        "rows": [
            {"sink": sink, "error": error, "progress": sink_progress(sink, offsets, now=now)}
            for sink in heard
            for offsets, error in [known[sink.config.name]]
        ],
        "troubles": sum(sink.troubles + (sink.state == "silent") for sink in heard),
        "more": {"late": (None, None) in known.values()},
    }


@panel("sink-processes", gettext_lazy("State"), "sinks/processes.html", "console:sink_processes")
def processes_panel(request: HttpRequest, name: str) -> dict[str, Any]:
    """A sink's state, processes, errors and lag over time."""
    config, now = named(sinks(), name), read_now()
    return {
        "sink": read_heartbeats([config], now=now)[0],
        "may_control": request.user.has_perm(CONTROL),
        "chart": _large_chart(config, read_lag_history(config.name).total(), now),
        "command": f"python manage.py run_sink --sink {config.name}",
    }


def _large_chart(config: SinkConfig, samples: Sequence[Sample], now: datetime) -> LagChart | None:
    return lag_chart(samples, gap=sample_gap(config), now=now, width=600, height=90)


@panel("sink-partitions", gettext_lazy("Partitions"), "sinks/partitions.html", "console:sink_partitions")
def partitions_panel(request: HttpRequest, name: str) -> dict[str, Any]:
    """A sink's partitions; late while Kafka is being asked."""
    config = named(sinks(), name)
    gap, now = sample_gap(config), read_now()
    heard = read_heartbeats([config], now=now)[0]
    history = read_lag_history(config.name)
    offsets, error = shared_progress([config])[config.name]
    rows = with_delays(config.name, partition_progress(heard, offsets), now=now)
    shown = rows[: console_settings().partitions]
    return {
        "sink": heard,
        "error": error,
        "may_control": request.user.has_perm(CONTROL),
        "rows": [
            {
                "progress": row,
                "chart": lag_chart(history.of((row.topic, row.partition)), gap=gap, now=now, width=90, height=20),
                "wants_pause": heard.wants_pause((row.topic, row.partition)),
                "is_paused_alone": (row.topic, row.partition) in heard.pauses,
                "is_pending": (row.topic, row.partition) in heard.pending,
            }
            for row in shown
        ],
        "left_out": len(rows) - len(shown),
        "more": {"late": offsets is None and error is None},
    }
