"""The documented door of collecting: the DRF view of /api/select."""

from datetime import datetime
from typing import Any, ClassVar

from django.utils import timezone
from rest_framework import exceptions, status
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from events.collect import collect
from events.conf import events_settings
from events.process_producer import process_producer


class BodyTooLarge(exceptions.APIException):
    """The body is larger than `EVENTS["max_body_bytes"]`."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class AlwaysJson(DefaultContentNegotiation):
    """Answers JSON whatever the Accept header says: a browser that navigates here sees the same."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """The first renderer, always."""
        return renderers[0], renderers[0].media_type


class SelectView(APIView):
    """GET with `?color=&user=`, or POST a JSON object with these fields: one choice of a colour becomes an event."""

    content_negotiation_class = AlwaysJson
    parser_classes = (JSONParser,)
    # Without HEAD: it would produce an event for a caller who only asks.
    http_method_names: ClassVar[list[str]] = ["get", "post", "options"]

    def get(self, request: Request) -> Response:
        """Collects the event of the query string."""
        return self._collect(request, request.query_params.dict())

    def post(self, request: Request) -> Response:
        """Collects the event of a JSON body."""
        _refuse_large_body(request)
        if not isinstance(request.data, dict):
            raise exceptions.ParseError("The body must be a JSON object with the fields color and user.")
        return self._collect(request, request.data)

    def _collect(self, request: Request, params: dict[str, Any]) -> Response:
        answer = collect(
            params,
            user_agent=_user_agent(request),
            received_at=_now(),
            topic=events_settings().topic,
            producer=process_producer(),
        )
        return Response(answer.body, answer.status, headers={"Cache-Control": "no-store", **answer.headers})


def _now() -> datetime:
    return timezone.localtime()


def _user_agent(request: Request) -> str:
    # WSGI hands headers over as latin-1; a browser that sends UTF-8 is read as it meant.
    raw = request.META.get("HTTP_USER_AGENT", "").encode("latin-1", "replace")
    return raw.decode("utf-8", "replace")


def _refuse_large_body(request: Request) -> None:
    limit = events_settings().max_body_bytes
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise exceptions.ParseError("Content-Length is not a number.") from None
    if length > limit:
        raise BodyTooLarge(f"The body has {length} bytes; at most {limit} are accepted.")
