"""What people get from pages that can't be made because a server is away.

First of all the database: who is signed in is only known there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error, InterfaceError, OperationalError, ProgrammingError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from kafka_client.log import repeating_logger
from pipeline.access import CONTENT_SECURITY_POLICY
from pipeline.errors import ServerError

logger = repeating_logger(__name__)

_RETRY_SECONDS = 5


def database_error(error: Error) -> ServerError:
    """The database's own words for people; the database is named without user and password.

    One that was not migrated to this version is no database that can't be read: the error says what to do.
    """
    name = f"{connection.display_name} ({connection.settings_dict['NAME']})"
    return _not_migrated(error) or ServerError(name, str(error).strip())


@contextmanager
def reading_database() -> Iterator[None]:
    """Around reads of the database: an error of it is raised as ServerError."""
    try:
        yield
    except Error as error:
        raise database_error(error) from error


def _not_migrated(error: Error) -> ServerError | None:
    """What to do where migrations were not applied; None where the error has another cause.

    Only what may be a missing table or column makes it look: SQLite says "no such …" with an OperationalError,
    PostgreSQL and MariaDB raise a ProgrammingError.
    """
    if not (isinstance(error, ProgrammingError) or "no such" in str(error)):
        return None
    try:
        executor = MigrationExecutor(connection)
        is_complete = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    except Error:
        return None
    if is_complete:
        return None
    text = _("The database lacks tables of this version: migrations are missing. Apply them with: {command}")
    return ServerError("", text.format(command="python manage.py migrate"))


def unavailable(
    request: HttpRequest, error: ServerError, *, title: str, retry_seconds: int, **more: object
) -> HttpResponse:
    """The answer 503 with an error: a page to who asks for one, else JSON as panels do, with what else is given."""
    answer: HttpResponse
    if request.accepts("text/html"):
        context = {"server": error.server, "text": error.text, "title": title}
        answer = HttpResponse(render_to_string("admin/away.html", context), status=503)
    else:
        answer = JsonResponse({**error.answer(), **more}, status=503)
    answer.headers["Retry-After"] = str(retry_seconds)
    answer.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return answer


class AwayMiddleware:
    """Answers 503 with the error of a server without which the page can't be made."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Passes the request on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        """Called by Django with what a view, or the rendering of its page, raised."""
        not_migrated = _not_migrated(exception) if isinstance(exception, Error) else None
        if not_migrated is not None:
            error = not_migrated
            logger.warning("%s can't be answered: %s", request.path, error)
        elif isinstance(exception, (OperationalError, InterfaceError)):
            logger.warning("%s can't be answered: %s", request.path, database_error(exception))
            # Whoever asks may be a stranger: nothing here tells hosts and names.
            error = ServerError(connection.display_name, _("The log of the website has more."))
        elif isinstance(exception, ServerError):
            error = exception
        else:
            return None
        if error.server:
            title = _("{server} can’t be read").format(server=error.server)
        else:
            title = _("This page can’t be shown yet")
        return unavailable(request, error, title=title, retry_seconds=_RETRY_SECONDS)
