"""Serves a process's metrics and status by HTTP: /metrics for Prometheus, /healthz for probes, /status for people."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer


class Report(Protocol):
    """What a process says of itself; a msgspec.Struct."""

    @property
    def healthy(self) -> bool:
        """Whether all of it works."""

    def unhealthy(self) -> Mapping[str, list[Any]]:
        """The tasks and the parts that do not work."""


class _Handler(WSGIRequestHandler):
    timeout = 10  # of a client that sends nothing

    def log_message(self, *_: object) -> None:
        """Probes and scrapes are no news."""


def monitor_app(registry: CollectorRegistry, report_now: Callable[[], Report]) -> WSGIApplication:
    """The WSGI application. registry: what /metrics shows; report_now: what /status shows."""
    metrics = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if path == "/status":
            return _json(start_response, "200 OK", report_now())
        if path == "/healthz":
            report = report_now()
            if report.healthy:
                return _json(start_response, "200 OK", {"healthy": True})
            return _json(start_response, "503 Service Unavailable", {"healthy": False, **report.unhealthy()})
        return _json(start_response, "404 Not Found", {"detail": "try /metrics, /healthz or /status"})

    return app


def serve(app: WSGIApplication, *, host: str, port: int) -> None:
    """Serves in a thread until the process ends. Raises OSError when the port is not to be had."""
    server = make_server(host, port, app, ThreadingWSGIServer, _Handler)
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()


def _json(start_response: StartResponse, status: str, content: object) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [msgspec.json.format(msgspec.json.encode(content)) + b"\n"]
