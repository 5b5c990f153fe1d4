"""The documented door of collecting: the DRF view of /api/select. Whatever happens, the answer is JSON."""

import logging
from typing import Any

import msgspec
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils import timezone, translation
from django.views import defaults
from rest_framework import exceptions, status
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.mediatypes import media_type_matches
from rest_framework.views import APIView

from events.collect import collect
from events.conf import events_settings
from events.process_producer import process_producer

logger = logging.getLogger(__name__)

PREFIX = "/api/"
"""Below this path every answer is JSON."""

_BAD_REQUEST = "The request can't be understood."
_UNEXPECTED = "Something went wrong on the server; its log tells more."


class BodyTooLarge(exceptions.APIException):
    """The body is larger than `EVENTS["max_body_bytes"]`."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class AlwaysJson(DefaultContentNegotiation):
    """Answers JSON whatever the Accept header says: a browser that navigates here sees the same."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first renderer, always."""
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """What all addresses below /api/ share: JSON in English, errors included; nothing is cached."""

    content_negotiation_class = AlwaysJson

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answers programs in one language, whatever Accept-Language says; the page translates for people."""
        with translation.override("en"):
            return super().dispatch(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds the headers of every answer."""
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("Content-Language", "en")
        # Django would log a line for each refused event; the caller was told, and the producer says it once.
        response._has_been_logged = True
        return super().finalize_response(request, response, *args, **kwargs)

    def get_exception_handler(self) -> Any:
        """The one shape of errors below /api/."""
        return _error_answer


class SelectView(ApiView):
    """GET with `?color=&user=`, or POST a JSON object with these fields: one choice of a colour becomes an event."""

    parser_classes = (JSONParser,)
    # Without HEAD: it would produce an event for a caller who only asks.
    http_method_names = ["get", "post", "options"]

    def get(self, request: Request) -> Response:
        """Collects the event of the query string."""
        # A field that is given twice stays a list, which `collect` refuses by its name.
        return self._collect(
            request,
            {name: values[0] if len(values) == 1 else values for name, values in request.query_params.lists()},
        )

    def post(self, request: Request) -> Response:
        """Collects the event of a JSON body."""
        if not media_type_matches("application/json", request.content_type):
            raise exceptions.UnsupportedMediaType(request.content_type or "")
        return self._collect(request, _json_object(_body(request)))

    def _collect(self, request: Request, params: dict[str, Any]) -> Response:
        answer = collect(
            params,
            user_agent=_user_agent(request),
            received_at=timezone.localtime(),
            topic=events_settings().topic,
            producer=process_producer(),
        )
        return Response(answer.body, answer.status, headers=answer.headers)


class NotFoundView(ApiView):
    """Any other address below /api/, by any method."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Ends each request."""
        raise exceptions.NotFound("There is nothing at this address.")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Django's handler400: a request that no view has seen, for example one with a foreign Host header."""
    if request.path_info.startswith(PREFIX):
        return JsonResponse({"status": "rejected", "detail": _BAD_REQUEST}, status=400)
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Django's handler500: an error outside the views, for example in a middleware."""
    if request.path_info.startswith(PREFIX):
        return JsonResponse({"status": "unavailable", "detail": _UNEXPECTED}, status=500)
    return defaults.server_error(request)


def _error_answer(error: Exception, context: dict[str, Any]) -> Response:
    if isinstance(error, SuspiciousOperation | BadRequest):
        error = exceptions.ParseError(_BAD_REQUEST)
    elif not isinstance(error, exceptions.APIException):
        logger.error("unexpected error at %s", context["request"].path, exc_info=error)
        error = exceptions.APIException(_UNEXPECTED)
    outcome = "rejected" if error.status_code < status.HTTP_500_INTERNAL_SERVER_ERROR else "unavailable"
    return Response({"status": outcome, "detail": str(error.detail)}, error.status_code)


def _user_agent(request: Request) -> str:
    # WSGI hands headers over as latin-1; a browser that sends UTF-8 is read as it meant.
    raw: bytes = request.META.get("HTTP_USER_AGENT", "").encode("latin-1", "replace")
    return raw.decode("utf-8", "replace")


def _body(request: Request) -> bytes:
    limit = events_settings().max_body_bytes
    declared = request.META.get("CONTENT_LENGTH") or ""
    if declared and not (declared.isascii() and declared.isdigit()):
        raise exceptions.ParseError("Content-Length is not a number.")
    if declared and int(declared) > limit:
        raise BodyTooLarge(f"The body has {declared} bytes; at most {limit} are accepted.")
    # Django reads no body without a Content-Length; a chunked one has none, but the server knows where it ends.
    chunked = not declared and request.META.get("wsgi.input_terminated")
    stream = request.META["wsgi.input"] if chunked else request
    try:
        body: bytes = stream.read(limit + 1)
    except OSError as error:
        raise exceptions.ParseError("The body could not be read to its end.") from error
    if len(body) > limit:
        raise BodyTooLarge(f"The body is too large; at most {limit} bytes are accepted.")
    return body


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise exceptions.ParseError(
            f"The body must be a JSON object with the fields color and user ({error})."
        ) from error
