"""Kafka and the servers that sinks store in: whether each answers, and which version it is."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from events.conf import events_settings
from pipeline.conf import console_settings
from pipeline.console.panels import Panel
from pipeline.console.statistics.choice import URL
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import guard
from pipeline.kafka_reads import read_brokers, server_name
from sinks.kind import Kind
from sinks.registry import KINDS, sinks
from worker.errors import Fatal, Retriable
from worker.servers import Server


def read_kafka(_query: Mapping[str, str]) -> dict[str, Any]:
    """The Kafka clusters that events and sinks use."""
    used = dict.fromkeys([events_settings().kafka, *(sink.kafka for sink in sinks().values())])
    return {"services": [_asked("Kafka", server_name(cluster), partial(_kafka, cluster)) for cluster in used]}


def read_stores(kind: Kind, _query: Mapping[str, str]) -> dict[str, Any]:
    """The servers that the sinks of a kind store in."""
    servers = kind.servers([sink for sink in sinks().values() if sink.kind == kind.name])
    return {"services": [_asked(kind.title, server.name, partial(_store, server)) for server in servers]}


def _asked(name: str, server: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A server's entry: what `ask` says of it, or its error."""
    entry: dict[str, Any] = {"name": name, "server": server, "version": None, "detail": "", "error": None}
    try:
        with guard().read(server):
            return {**entry, **ask()}
    except ServerError as error:
        return {**entry, "error": error.text}


def _kafka(cluster: str) -> dict[str, Any]:
    found = read_brokers(cluster, timeout=console_settings().kafka_timeout_seconds)
    detail = ngettext("{n} broker", "{n} brokers", found.count).format(n=found.count)
    return {"version": found.version, "detail": detail}


def _store(server: Server) -> dict[str, Any]:
    try:
        health = server.ask(console_settings().store_timeout_seconds)
    except Retriable as error:
        raise ServerAway(server.name, str(error)) from error
    except Fatal as error:
        raise ServerError(server.name, str(error)) from error
    return {"version": health.version, "detail": health.detail}


_TEMPLATE = "statistics/servers.html"

PANELS = (
    Panel("service-kafka", _("Kafka"), _TEMPLATE, read_kafka, URL, server="kafka"),
    *(
        Panel(f"service-{kind.name}", kind.title, _TEMPLATE, partial(read_stores, kind), URL, server=kind.name)
        for kind in KINDS.values()
    ),
)
