"""What the OpenAPI schema says of collecting: made of the kinds of events that the settings declare."""

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from events.collect import EVENTS_PATH, RETRY_AFTER_SECONDS
from events.conf import events_settings, kinds
from events.delivery import Mode
from events.kinds import Field, Kind

Schema = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_REASONS: Schema = {"type": "object", "additionalProperties": _TEXT, "description": "Field -> what is wrong with it."}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(status: str, **fields: Schema) -> Schema:
    """The body of an answer: its `status`, and fields that are always there."""
    properties = {"status": {"type": "string", "const": status}, **fields}
    return {"type": "object", "required": list(properties), "properties": properties}


_ANSWERS: dict[str, Schema] = {
    "Accepted": _answer("accepted"),
    "Ignored": _answer("ignored", detail=_TEXT),
    "Rejected": _answer("rejected", detail=_TEXT),
    "RejectedFields": _answer("rejected", errors=_REASONS),
    "Unavailable": _answer("unavailable", detail=_TEXT),
    "Rejection": {
        "type": "object",
        "required": ["index", "errors"],
        "properties": {
            "index": {**_COUNT, "description": "The place of the event in the request, from 0."},
            "id": {"type": "string", "format": "uuid", "description": "The id of the event, when it had a usable one."},
            "errors": _REASONS,
        },
    },
    "BatchAccepted": _answer("accepted", accepted=_COUNT, rejected={"type": "array", "items": _ref("Rejection")}),
    "BatchRejected": _answer(
        "rejected", accepted={"type": "integer", "const": 0}, rejected={"type": "array", "items": _ref("Rejection")}
    ),
    "BatchUnavailable": _answer(
        "unavailable",
        detail=_TEXT,
        accepted=_COUNT,
        rejected={"type": "array", "items": _ref("Rejection")},
        unavailable={"type": "array", "items": _COUNT, "description": "The events that were not taken: come again."},
    ),
}


def _one_of(*names: str) -> Schema:
    return {"oneOf": [_ref(name) for name in names]}


def _retry_after(*statuses: int) -> OpenApiParameter:
    return OpenApiParameter(
        "Retry-After",
        int,
        OpenApiParameter.HEADER,
        response=list(statuses),
        description=f"Seconds after which to come again, for example {RETRY_AFTER_SECONDS}.",
    )


_SHARED = {
    405: OpenApiResponse(_ref("Rejected"), "Another method."),
    413: OpenApiResponse(_ref("Rejected"), "The body is too large."),
    415: OpenApiResponse(_ref("Rejected"), "The Content-Type, or the Content-Encoding, is not one of those named."),
    429: OpenApiResponse(_ref("Unavailable"), "Too many requests, where a proxy limits them; the body may be its own."),
    500: OpenApiResponse(_ref("Unavailable"), "An error of the server: come again."),
}
_SELECT_ANSWERS = {
    202: OpenApiResponse(
        _one_of("Accepted", "Ignored"), "The event is on its way, or the browser asks not to be tracked."
    ),
    201: OpenApiResponse(_ref("Accepted"), "Kafka has the event (mode acknowledged, by setting)."),
    400: OpenApiResponse(_one_of("RejectedFields", "Rejected"), "The event, or the request, can't be used."),
    **_SHARED,
    503: OpenApiResponse(_ref("Unavailable"), "The event was not taken: come again."),
}
_SELECT_EXAMPLE = {"color": "red", "user": "Ada"}


def _select(method: str, **more: Any) -> Callable[[F], F]:
    retry_after = _retry_after(429, 503)
    return extend_schema(
        operation_id=f"select_{method}",
        summary="Collect one choice of a colour",
        tags=["select"],
        parameters=[*more.pop("parameters", ()), retry_after],
        **more,
    )


describe_get_select = _select(
    "get",
    parameters=[
        OpenApiParameter(
            name, _ref(f"Select/properties/{name}"), required=True, examples=[OpenApiExample(value, value=value)]
        )
        for name, value in _SELECT_EXAMPLE.items()
    ],
    responses={status: answer for status, answer in _SELECT_ANSWERS.items() if status not in (413, 415)},
)
"""Describes GET /api/select."""

describe_post_select = _select(
    "post",
    request={"application/json": _ref("Select")},
    responses=_SELECT_ANSWERS,
    examples=[OpenApiExample("One choice", value=_SELECT_EXAMPLE, request_only=True)],
)
"""Describes POST /api/select."""

describe_post_events = extend_schema(
    operation_id="events_post",
    summary="Collect one event or a batch",
    description=(
        "One event, or an array of them, plain or with `Content-Encoding: gzip`. Good events are taken, bad ones are "
        "named by their place. Fields that a kind does not know are ignored."
    ),
    tags=["events"],
    parameters=[
        OpenApiParameter(
            "mode",
            str,
            enum=[mode.value for mode in Mode],
            description=(
                "What the answer promises: the event is queued in memory, on the server's disk, or acknowledged by "
                "Kafka. Without it a setting decides."
            ),
        ),
        OpenApiParameter("Content-Encoding", str, OpenApiParameter.HEADER, enum=["gzip", "identity"]),
        _retry_after(429, 503),
    ],
    request={"application/json": _ref("Events"), "text/plain": _ref("Events")},
    responses={
        202: OpenApiResponse(
            _one_of("BatchAccepted", "Ignored"),
            "All events but those in `rejected` are taken, or the browser asks not to be tracked.",
        ),
        201: OpenApiResponse(
            _ref("BatchAccepted"), "Kafka has all events but those in `rejected` (mode acknowledged)."
        ),
        400: OpenApiResponse(_one_of("BatchRejected", "Rejected"), "No event, or nothing of the request, can be used."),
        **_SHARED,
        413: OpenApiResponse(_ref("Rejected"), "The body is too large, also inflated, or has too many events."),
        503: OpenApiResponse(_ref("BatchUnavailable"), "Some events were not taken: come again with those."),
    },
)
"""Describes POST /api/events."""


def component_name(kind: str) -> str:
    """The name of a kind's schema."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"event.{kind}")


def example_of(kind: Kind) -> dict[str, Any]:
    """An event of the kind that the endpoint accepts."""
    return {"event": kind.name, **{field.name: field.example for field in kind.fields}}


def add_kinds(result: Schema, **_: Any) -> Schema:
    """A postprocessing hook of drf-spectacular: the schemas of all declared kinds, of requests, and of answers."""
    conf, declared = events_settings(), kinds()
    names = {kind: component_name(kind) for kind in declared}
    select = declared["select-color"]
    fields = dict(zip(("color", "user"), (_field_schema(field) for field in select.fields), strict=True))
    result["components"]["schemas"] = {
        **result["components"].get("schemas", {}),
        **{names[name]: _kind_schema(kind) for name, kind in declared.items()},
        "Event": {"oneOf": [_ref(name) for name in names.values()]},
        "Events": {
            "oneOf": [
                _ref("Event"),
                {"type": "array", "items": _ref("Event"), "minItems": 1, "maxItems": conf.max_batch_events},
            ]
        },
        "Select": {"type": "object", "required": list(fields), "properties": fields},
        **_ANSWERS,
    }
    examples: Schema = {name: {"value": example_of(kind)} for name, kind in declared.items()}
    examples["batch"] = {"value": [example_of(kind) for kind in declared.values()]}
    for media_type in result["paths"][EVENTS_PATH]["post"]["requestBody"]["content"].values():
        media_type["examples"] = examples
    return result


def _kind_schema(kind: Kind) -> Schema:
    is_default = kind.name == "select-color"
    return {
        "type": "object",
        "description": inspect.getdoc(kind.event_type) or "",
        "required": [
            *([] if is_default else ["event"]),
            *(field.name for field in kind.fields if field.is_required),
        ],
        "properties": {
            "event": {"type": "string", "const": kind.name, **({"default": kind.name} if is_default else {})},
            "id": {
                "type": ["string", "null"],
                "format": "uuid",
                "description": "Made by the client, so that an event that was sent twice can be told.",
            },
            **{field.name: _field_schema(field) for field in kind.fields},
        },
        "example": example_of(kind),
    }


def _field_schema(field: Field) -> Schema:
    about = {"description": field.description} if field.description else {}
    if field.is_required:
        return {**field.rule.schema(), **about}
    # Its default, and null, are taken whatever the rule says.
    return {"anyOf": [field.rule.schema(), {"enum": [field.default, None]}], "default": field.default, **about}
