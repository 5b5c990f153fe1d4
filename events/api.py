"""The documented door of collecting: its DRF views, and their schema. Whatever happens, the answer is JSON."""

from typing import Any

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import translation
from django.views import defaults
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.views import SpectacularAPIView
from rest_framework import exceptions, status
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.collect import EVENTS_PATH, SELECT_PATH, UNEXPECTED, collect
from events.http import BAD_REQUEST
from events.openapi import describe_get_select, describe_post_events, describe_post_select
from events.process_collector import count_answer, process_collector
from kafka_client.log import repeating_logger

logger = repeating_logger(__name__)

PREFIX = "/api/"
"""Below this path every answer is JSON, but for the page that shows the schema."""

_HEADERS = {"Cache-Control": "no-store", "Content-Language": "en"}


class AlwaysJson(DefaultContentNegotiation):
    """Answers JSON whatever the Accept header says: a browser that navigates here sees the same."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first renderer, always."""
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """What all addresses below /api/ share: public; JSON in English, errors included; nothing is cached."""

    authentication_classes = ()
    permission_classes = (AllowAny,)
    content_negotiation_class = AlwaysJson
    endpoint: str | None = None
    """What its answers are counted under."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers programs in one language, whatever Accept-Language says; the page translates for people."""
        with translation.override("en"):
            return super().dispatch(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds the headers of every answer."""
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        # Otherwise Django logs a line for each refused event, although the answer tells the caller.
        response._has_been_logged = True
        if self.endpoint is not None:
            count_answer("view", self.endpoint, str(response.status_code))
        return super().finalize_response(request, response, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        """The one shape of errors below /api/."""
        return _error_answer


class SelectView(ApiView):
    """GET with `?color=&user=`, or POST a JSON object with these fields: one choice of a colour becomes an event."""

    endpoint = SELECT_PATH
    # Without HEAD: it would produce an event for a caller who only asks.
    http_method_names = ["get", "post", "options"]

    @describe_get_select
    def get(self, request: Request) -> Response:
        """Collects the event of the query string."""
        return _collect(request)

    @describe_post_select
    def post(self, request: Request) -> Response:
        """Collects the event of a JSON body."""
        return _collect(request)


class EventsView(ApiView):
    """POST one event or an array of events of any kind."""

    endpoint = EVENTS_PATH
    http_method_names = ["post", "options"]

    @describe_post_events
    def post(self, request: Request) -> Response:
        """One event, or an array of them. Good events are taken, bad ones are named by their place. Fields that a kind
        does not know are ignored.
        """
        return _collect(request)


class SchemaView(ApiView, SpectacularAPIView):
    """The OpenAPI schema of this API, with the kinds of events that are declared now."""

    schema = None
    http_method_names = ["get", "options"]
    renderer_classes = [OpenApiJsonRenderer2]


class NotFoundView(ApiView):
    """Any other address below /api/, by any method."""

    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Ends each request."""
        raise exceptions.NotFound("There is nothing at this address.")


def view_headers(view: type[ApiView]) -> dict[str, str]:
    """The headers that a view gives every answer, beside its type."""
    return {**view().default_response_headers, **_HEADERS}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400: a request that no view has seen, for example one with a foreign Host header."""
    if request.path_info.startswith(PREFIX):
        return JsonResponse({"status": "rejected", "detail": BAD_REQUEST}, status=400)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500: an error outside the views, for example in a middleware."""
    if request.path_info.startswith(PREFIX):
        return JsonResponse({"status": "unavailable", "detail": UNEXPECTED}, status=500)
    return defaults.server_error(request)


def _error_answer(error: Exception, context: dict[str, Any]) -> Response:
    if isinstance(error, SuspiciousOperation | BadRequest):
        error = exceptions.ParseError(BAD_REQUEST)
    elif not isinstance(error, exceptions.APIException):
        logger.error("unexpected error at %s", context["request"].path, exc_info=error)
        error = exceptions.APIException(UNEXPECTED)
    outcome = "rejected" if error.status_code < status.HTTP_500_INTERNAL_SERVER_ERROR else "unavailable"
    return Response({"status": outcome, "detail": str(error.detail)}, error.status_code)


def _collect(request: Request) -> Response:
    answer = collect(request.META, process_collector)
    return Response(answer.body, answer.status, headers=answer.headers)
