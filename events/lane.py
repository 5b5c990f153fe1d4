"""The fast door of collecting: a WSGI application in front of Django's that answers the hot addresses itself.

It collects by the same `collect` as the DRF views and builds no Django request. Django's middleware adds headers to an
answer: the lane asks the middleware once for each kind of request, and remembers the headers. Where the middleware
answers itself (a redirect to HTTPS, a foreign Host), and for all other requests, Django answers.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import HttpResponse

from events.api import EventsView, SelectView, view_headers
from events.collect import EVENTS_PATH, SELECT_PATH, collect
from events.http import Environ
from events.process_collector import count_answer, process_collector

StartResponse = Callable[[str, list[tuple[str, str]]], Any]
WSGIApplication = Callable[[Environ, Any], Iterable[bytes]]

_VIEWS = {SELECT_PATH: SelectView, EVENTS_PATH: EventsView}
_HOT = {("GET", SELECT_PATH), ("POST", SELECT_PATH), ("POST", EVENTS_PATH)}
"""Method and path of the requests that are answered here."""

_ENVELOPES = 1024
"""The most kinds of requests whose headers are remembered."""

_MAX_DECIDING = 512
"""A kind of request with more characters is not remembered: headers that callers make up must not fill the memory."""

Deciding = tuple[str | None, ...]
"""The values of a request on which the headers of its answer depend."""

Envelope = list[tuple[str, str]] | None
"""The headers that an answer has beside its own; None: Django answers."""

_NOT_ASKED: Envelope = []


class Lane:
    """Answers hot requests; hands all others to `django`."""

    def __init__(self, django: WSGIApplication) -> None:
        self._django = django
        self._middleware = _Middleware()
        # All that the project's middleware looks at.
        self._deciding = ["REQUEST_METHOD", "PATH_INFO", "SCRIPT_NAME"]
        self._deciding += ["wsgi.url_scheme", "HTTP_HOST", "HTTP_ORIGIN", "SERVER_NAME", "SERVER_PORT"]
        if settings.SECURE_PROXY_SSL_HEADER:
            self._deciding.append(settings.SECURE_PROXY_SSL_HEADER[0])
        if settings.USE_X_FORWARDED_HOST:
            self._deciding.append("HTTP_X_FORWARDED_HOST")
        self._envelopes: dict[Deciding, Envelope] = {}

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        deciding = tuple(map(environ.get, self._deciding))
        envelope = self._envelopes.get(deciding, _NOT_ASKED)
        if envelope is _NOT_ASKED:
            envelope = self._find_envelope(deciding)
        if envelope is None:
            return self._django(environ, start_response)
        status, headers, content = collect(environ, process_collector).wire
        count_answer("lane", environ["PATH_INFO"], status[:3])
        start_response(status, envelope + headers)
        # A list, no other sequence: granian sends it at once, what else there is piece by piece.
        return [content]

    def _find_envelope(self, deciding: Deciding) -> Envelope:
        method, path, prefix, *_ = deciding
        if prefix or (method, path) not in _HOT:
            return None
        given = {name: value for name, value in zip(self._deciding, deciding, strict=True) if value is not None}
        envelope = self._middleware.headers({**given, "QUERY_STRING": ""})
        if sum(map(len, given.values())) <= _MAX_DECIDING:
            if len(self._envelopes) >= _ENVELOPES:
                self._envelopes.clear()
            self._envelopes[deciding] = envelope
        return envelope


class _Middleware(WSGIHandler):
    """Django's middleware around a view with an empty answer."""

    def headers(self, environ: Environ) -> Envelope:
        """The headers of a hot answer, None when the middleware gives an answer of its own."""
        request = WSGIRequest({"wsgi.input": BytesIO(), **environ})
        response = self.get_response(request)
        if not getattr(response, "is_hot", False):
            return None
        return [(name, value) for name, value in response.items() if name != "Content-Length"]

    def _get_response(self, request: Any) -> Any:
        view = _VIEWS[request.path_info]
        response = HttpResponse(content_type="application/json", headers=view_headers(view))
        response.is_hot = True  # type: ignore[attr-defined]
        return response
