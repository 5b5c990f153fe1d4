"""One bound for all requests of the console and of the REST API of connectors in a process.

The other threads of the web server stay for collecting.

Whatever such a request waits for (Kafka, a store, the database, a slow client), it holds one of a few places. Where all
are taken, the next request is told so at once.
"""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils.translation import get_language_from_request, override
from django.utils.translation import gettext as _

from connectors.conf import connectors_path
from pipeline.away import unavailable
from pipeline.conf import console_settings
from pipeline.errors import ServerError

_RETRY_SECONDS = 1


class Places:
    """`requests_at_once` places, each of which one request holds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.taken = 0

    def take(self) -> bool:
        """Whether there was a place."""
        with self._lock:
            is_free = self.taken < console_settings().requests_at_once
            self.taken += is_free
        return is_free

    def give_back(self) -> None:
        """Frees the place of a request that has ended."""
        with self._lock:
            self.taken -= 1


PLACES = Places()
"""Those of this process."""


class BudgetMiddleware:
    """Lets `requests_at_once` requests of the admin and of the REST API in, and answers 503 to those beyond.

    It stands before all middleware that asks the database, as that of sessions does.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """The place is given back when the web server closes the answer: a download holds it to its end."""
        of_connectors = _is_of_connectors(request)
        if not (of_connectors or request.path_info.startswith(_admins_address())):
            return self._get_response(request)
        if not PLACES.take():
            return _busy_connectors() if of_connectors else _busy(request)
        with ExitStack() as place:
            place.callback(PLACES.give_back)
            response = self._get_response(request)
            place.callback(response.close)
            response.close = place.pop_all().close  # type: ignore[method-assign]
        return response


@cache
def _admins_address() -> str:
    """What the paths of the admin begin with; on a site without one, what no path begins with."""
    try:
        return "/" + reverse("admin:index").removeprefix(get_script_prefix())
    except NoReverseMatch:
        return "\n"


def _is_of_connectors(request: HttpRequest) -> bool:
    return f"{request.path_info}/".startswith(f"/{connectors_path().strip('/')}/")


def _busy_connectors() -> HttpResponseBase:
    """In the shape of the errors of the REST API, for programs."""
    text = "As many requests are answered as may be at a time; ask again in a moment"
    return JsonResponse({"error_code": 503, "message": text}, status=503, headers={"Retry-After": _RETRY_SECONDS})


def _busy(request: HttpRequest) -> HttpResponseBase:
    with override(get_language_from_request(request)):
        error = ServerError("", _("The console answers as many requests as it may at a time. Ask again in a moment."))
        return unavailable(request, error, title=_("The console is busy"), retry_seconds=_RETRY_SECONDS, is_busy=True)
