"""Asks a Kafka Connect by its REST API: that of this site within the process, others by their URL."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import requests
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.core.handlers.wsgi import WSGIRequest
from django.http import Http404, HttpRequest
from django.urls import resolve

from connectors.access import ADD, CHANGE, DELETE, VIEW
from connectors.conf import connectors_path
from pipeline.conf import console_settings
from pipeline.console.audit import audited
from pipeline.console.models import ActionKind
from pipeline.errors import ServerAway, ServerError
from pipeline.guard import guard

_READING = ("GET",)


class Refused(Exception):
    """The API has answered with an error; the text is its own."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Cluster:
    """A Kafka Connect of `settings.CONNECT`. url: empty for the connectors of this site."""

    name: str
    url: str = ""
    user: str = ""
    password: str = ""

    @property
    def server(self) -> str:
        """Its name for people."""
        if not self.url:
            return "Kafka Connect"
        parts = urlsplit(self.url)
        return f"Kafka Connect ({parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''})"


def connect_clusters() -> dict[str, Cluster]:
    """Those of the settings by name; the connectors of this site are `here` unless the settings say otherwise."""
    given: Mapping[str, Any] = getattr(settings, "CONNECT", {}) or {"here": {}}
    return {name: Cluster(name, **entry) for name, entry in given.items()}


class Client:
    """Asks for a user, who needs the permissions of connectors whatever cluster it is."""

    def __init__(self, request: HttpRequest, cluster: str) -> None:
        """Raises Http404 where there is no such cluster."""
        found = connect_clusters().get(cluster)
        if found is None:
            raise Http404("CONNECT has no such cluster")
        self.cluster = found
        self._request = request

    def get(self, path: str, **query: Any) -> Any:
        """What an address answers. Raises ServerError and Refused."""
        return self.ask("GET", path, query=query)

    def ask(self, method: str, path: str, body: Any = None, *, query: Mapping[str, Any] | None = None) -> Any:
        """One request; None for an empty answer. Raises ServerError and Refused."""
        if not self._request.user.has_perm(_permission(method, path)):
            raise PermissionDenied
        address = f"{path}?{urlencode(query, doseq=True)}" if query else path
        data = b"" if body is None else json.dumps(body).encode()
        if not self.cluster.url:
            status, content = self._here(method, address, data)
        elif method in _READING or path.endswith("/validate"):
            status, content = self._there(method, address, data)
        else:
            what = f"{method} {address}"
            with audited(self._request, ActionKind.CONNECT, f"connect cluster {self.cluster.name}", what) as log:
                status, content = self._there(method, address, data)
                log.done(str(status))
        try:
            answer = json.loads(content) if content else None
        except ValueError:
            raise ServerError(self.cluster.server, f"{status}, and no JSON") from None
        if status >= 300:
            raise Refused(status, str(answer.get("message", "")) if isinstance(answer, dict) else str(status))
        return answer

    def _here(self, method: str, address: str, data: bytes) -> tuple[int, bytes]:
        """The views of the API with this user: what they check, change and log is the same as for programs."""
        path, _, query = address.partition("?")
        environ = {
            **{key: value for key, value in self._request.META.items() if isinstance(value, str)},
            "REQUEST_METHOD": method,
            "PATH_INFO": f"/{connectors_path().strip('/')}{unquote(path)}",
            "QUERY_STRING": query,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(data)),
            "wsgi.input": io.BytesIO(data),
            "wsgi.url_scheme": self._request.scheme,
        }
        environ.pop("HTTP_AUTHORIZATION", None)
        inner = WSGIRequest(environ)
        inner.user = self._request.user
        inner.session = self._request.session
        inner._dont_enforce_csrf_checks = True  # type: ignore[attr-defined]  # the page's own request was checked
        match = resolve(inner.path_info)
        response = match.func(inner, *match.args, **match.kwargs)
        if hasattr(response, "render"):
            response.render()
        return response.status_code, bytes(response.content)

    def _there(self, method: str, address: str, data: bytes) -> tuple[int, bytes]:
        cluster = self.cluster
        with guard().read(cluster.server):
            try:
                response = requests.request(
                    method,
                    f"{cluster.url.rstrip('/')}{address}",
                    data=data or None,
                    headers={"Content-Type": "application/json"},
                    auth=(cluster.user, cluster.password) if cluster.user else None,
                    timeout=console_settings().store_timeout_seconds,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                raise ServerAway(cluster.server, f"it does not answer: {type(error).__name__}") from error
        return response.status_code, response.content


def path_of(name: str, *more: str) -> str:
    """The address of a connector."""
    return "/".join(["/connectors", quote(name, safe=""), *more])


def _permission(method: str, path: str) -> str:
    if method in _READING or path.endswith("/validate"):
        return VIEW
    if method == "POST" and path == "/connectors":
        return ADD
    return DELETE if method == "DELETE" and not path.endswith("/offsets") else CHANGE
