"""What people get from pages that can't be made because a server is away.

First of all the database: who is signed in is only known there.
"""

from collections.abc import Callable

from django.db import Error, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from kafka_client.log import repeating_logger
from pipeline.console.access import CONTENT_SECURITY_POLICY
from pipeline.errors import ServerError

logger = repeating_logger(__name__)

_RETRY_SECONDS = "5"


def database_error(error: Error) -> ServerError:
    """The database's own words for people; the database is named without user and password."""
    return ServerError(f"{connection.display_name} ({connection.settings_dict['NAME']})", str(error).strip())


class AwayMiddleware:
    """Answers 503 with the server's error: a page to who asks for one, else JSON as panels do."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Passes the request on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Called by Django with what a view, or the rendering of its page, raised."""
        if isinstance(exception, (OperationalError, InterfaceError)):
            logger.warning("%s can't be answered: %s", request.path, database_error(exception))
            # Whoever asks may be a stranger: nothing here tells hosts and names.
            entry = {"server": connection.display_name, "text": _("The log of the website has more.")}
        elif isinstance(exception, ServerError):
            entry = {"server": exception.server, "text": exception.text}
        else:
            return None
        answer: HttpResponse
        if request.accepts("text/html"):
            answer = HttpResponse(render_to_string("admin/away.html", entry), status=503)
        else:
            answer = JsonResponse({"error": entry}, status=503)
        answer.headers["Retry-After"] = _RETRY_SECONDS
        answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return answer
