"""A client that calls a WSGI application as a web server does, so that one suite runs on both doors of collecting."""

from functools import cache
from typing import Any

from django import test
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.http import HttpResponse

from events.lane import Lane


@cache
def _django() -> WSGIHandler:
    return WSGIHandler()


DOORS = {"view": _django, "lane": lambda: Lane(_django())}


def call(application: Any, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """What a web server gets of a WSGI application: status, headers, body."""
    answered: list[Any] = []
    # As Django's own test client: connections to the database belong to the test.
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    try:
        result = application(environ, lambda status, headers: answered.append((status, headers)))
        body = b"".join(result)
        if hasattr(result, "close"):
            result.close()
    finally:
        request_started.connect(close_old_connections)
        request_finished.connect(close_old_connections)
    ((status, headers),) = answered
    return status, headers, body


class Client(test.Client):
    """Django's test client on a WSGI application: that of `door`, which a fixture sets."""

    door = "view"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.handler = _Server(DOORS[self.door]())  # type: ignore[assignment]


class _Server:
    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any]) -> HttpResponse:
        status, headers, body = call(self._application, environ)
        response = HttpResponse(body, status=int(status.partition(" ")[0]), reason=status.partition(" ")[2])
        del response.headers["Content-Type"]
        for name, value in headers:
            assert name not in response.headers
            response.headers[name] = value
        if environ["REQUEST_METHOD"] != "HEAD":
            assert response.headers.get("Content-Length", str(len(body))) == str(len(body))
        response.wsgi_request = None  # type: ignore[assignment]
        return response
