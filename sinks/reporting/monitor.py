"""Serves a sink's metrics and status by HTTP: /metrics for Prometheus, /healthz for probes, /status for people."""

import threading
from collections.abc import Iterable
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from sinks.reporting.states import SinkStatus


class _Handler(WSGIRequestHandler):
    timeout = 10  # of a client that sends nothing

    def log_message(self, *_: object) -> None:
        """Probes and scrapes are no news."""


def monitor_app(registry: CollectorRegistry, status: SinkStatus) -> WSGIApplication:
    """The WSGI application. registry: what /metrics shows."""
    metrics = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if path == "/status":
            return _json(start_response, "200 OK", status.report())
        if path == "/healthz":
            report = status.report()
            if report.healthy:
                return _json(start_response, "200 OK", {"healthy": True})
            health = {
                "healthy": False,
                "tasks": [task for task in report.tasks if not task.healthy],
                "partitions": [partition for partition in report.partitions if not partition.healthy],
            }
            return _json(start_response, "503 Service Unavailable", health)
        return _json(start_response, "404 Not Found", {"detail": "try /metrics, /healthz or /status"})

    return app


def serve(app: WSGIApplication, *, host: str, port: int) -> None:
    """Serves in a thread until the process ends. Raises OSError when the port is not to be had."""
    server = make_server(host, port, app, ThreadingWSGIServer, _Handler)
    threading.Thread(target=server.serve_forever, name="monitor", daemon=True).start()


def _json(start_response: StartResponse, status: str, content: object) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "application/json")])
    return [msgspec.json.format(msgspec.json.encode(content)) + b"\n"]
