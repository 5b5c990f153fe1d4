"""What the OpenAPI schema says of collecting: made of the kinds of events that the settings declare."""

import inspect
import re
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from events.collect import EVENTS_PATH, RETRY_AFTER_SECONDS
from events.conf import events_settings, kinds
from events.delivery import Mode
from events.kinds import Field, Kind

Schema = dict[str, Any]


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, required: list[str] | None = None, **more: Any) -> Schema:
    """required: all properties, where nothing else is said."""
    required = list(properties) if required is None else required
    return {"type": "object", "required": required, "properties": properties, **more}


def _answer(status: str, **fields: Schema) -> Schema:
    return _object({"status": {"type": "string", "const": status}, **fields})


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_REASONS: Schema = {"type": "object", "additionalProperties": _TEXT, "description": "Field -> what is wrong with it."}
_PLACE: Schema = {**_COUNT, "description": "The place of the event in the request, from 0."}
_ID: Schema = {"type": "string", "format": "uuid", "description": "The id of the event, when it had a usable one."}
_REJECTIONS: Schema = {"type": "array", "items": _ref("Rejection")}
_NOT_TAKEN: Schema = {"type": "array", "items": _COUNT, "description": "The events that were not taken: come again."}

_ANSWERS: dict[str, Schema] = {
    "Accepted": _answer("accepted"),
    "Ignored": _answer("ignored", detail=_TEXT),
    "Rejected": _answer("rejected", detail=_TEXT),
    "RejectedFields": _answer("rejected", errors=_REASONS),
    "Unavailable": _answer("unavailable", detail=_TEXT),
    "Rejection": _object({"index": _PLACE, "id": _ID, "errors": _REASONS}, required=["index", "errors"]),
    "BatchAccepted": _answer("accepted", accepted=_COUNT, rejected=_REJECTIONS),
    "BatchRejected": _answer("rejected", accepted={"type": "integer", "const": 0}, rejected=_REJECTIONS),
    "BatchUnavailable": _answer(
        "unavailable", detail=_TEXT, accepted=_COUNT, rejected=_REJECTIONS, unavailable=_NOT_TAKEN
    ),
}


def _says(description: str, *answers: str) -> OpenApiResponse:
    """An answer of a status. answers: its schema, or several of which it has one."""
    schemas = [_ref(name) for name in answers]
    return OpenApiResponse({"oneOf": schemas} if schemas[1:] else schemas[0], description)


_SHARED = {
    405: _says("Another method.", "Rejected"),
    413: _says("The body is too large, also inflated.", "Rejected"),
    415: _says("The Content-Type or Content-Encoding is not one of those named, or the body is not UTF-8.", "Rejected"),
    429: _says("Too many requests, where a proxy limits them; the body may be its own.", "Unavailable"),
    500: _says("An error of the server: come again.", "Unavailable"),
}
_SELECT_ANSWERS = {
    202: _says("The event is on its way, or the browser asks not to be tracked.", "Accepted", "Ignored"),
    201: _says("Kafka has the event (mode acknowledged, by setting).", "Accepted"),
    400: _says("The event, or the request, can't be used.", "RejectedFields", "Rejected"),
    **_SHARED,
    503: _says("The event was not taken: come again.", "Unavailable"),
}
_EVENTS_ANSWERS = {
    202: _says(
        "All events but those in `rejected` are taken, or the browser asks not to be tracked.",
        "BatchAccepted",
        "Ignored",
    ),
    201: _says("Kafka has all events but those in `rejected` (mode acknowledged).", "BatchAccepted"),
    400: _says("No event, or nothing of the request, can be used.", "BatchRejected", "Rejected"),
    **_SHARED,
    413: _says("The body is too large, also inflated, or has too many events.", "Rejected"),
    503: _says("Some events were not taken: come again with those.", "BatchUnavailable"),
}

_ENCODINGS = ["gzip", "deflate", "identity"]
_CONTENT_ENCODING = OpenApiParameter("Content-Encoding", str, OpenApiParameter.HEADER, enum=_ENCODINGS)
_RETRY_AFTER = OpenApiParameter(
    "Retry-After",
    int,
    OpenApiParameter.HEADER,
    response=[429, 503],
    description=f"Seconds after which to come again, for example {RETRY_AFTER_SECONDS}.",
)
_SELECT_SUMMARY = "Collect one choice of a colour"
_SELECT_EXAMPLE = {"color": "red", "user": "Ada"}

_SELECT_QUERY = [
    OpenApiParameter(name, _ref(f"Select/properties/{name}"), required=True, examples=[OpenApiExample(text, text)])
    for name, text in _SELECT_EXAMPLE.items()
]

describe_get_select = extend_schema(
    operation_id="select_get",
    summary=_SELECT_SUMMARY,
    parameters=[*_SELECT_QUERY, _RETRY_AFTER],
    responses={status: answer for status, answer in _SELECT_ANSWERS.items() if status not in (413, 415)},
)

describe_post_select = extend_schema(
    operation_id="select_post",
    summary=_SELECT_SUMMARY,
    parameters=[_CONTENT_ENCODING, _RETRY_AFTER],
    request={"application/json": _ref("Select")},
    responses=_SELECT_ANSWERS,
    examples=[OpenApiExample("One choice", value=_SELECT_EXAMPLE, request_only=True)],
)

describe_post_events = extend_schema(
    operation_id="events_post",
    summary="Collect one event or a batch",
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
        _CONTENT_ENCODING,
        _RETRY_AFTER,
    ],
    request={"application/json": _ref("Events"), "text/plain": _ref("Events")},
    responses=_EVENTS_ANSWERS,
)


def example_of(kind: Kind) -> dict[str, Any]:
    """An event of the kind that the endpoint accepts."""
    return {"event": kind.name, **{field.name: field.example for field in kind.fields}}


def add_kinds(result: Schema, **_: Any) -> Schema:
    """A postprocessing hook of drf-spectacular: the schemas of all declared kinds, of requests, and of answers."""
    declared = kinds()
    names = {kind: re.sub(r"[^A-Za-z0-9._-]", "-", f"event.{kind}") for kind in declared}
    select = declared["select-color"]
    fields = dict(zip(("color", "user"), (_field_schema(field) for field in select.fields), strict=True))
    batch = {"type": "array", "items": _ref("Event"), "minItems": 1, "maxItems": events_settings().max_batch_events}
    result["components"]["schemas"] = {
        **result["components"].get("schemas", {}),
        **{names[name]: _kind_schema(kind) for name, kind in declared.items()},
        "Event": {"oneOf": [_ref(name) for name in names.values()]},
        "Events": {"oneOf": [_ref("Event"), batch]},
        "Select": _object(fields),
        **_ANSWERS,
    }
    examples: Schema = {name: {"value": example_of(kind)} for name, kind in declared.items()}
    examples["batch"] = {"value": [example_of(kind) for kind in declared.values()]}
    for media_type in result["paths"][EVENTS_PATH]["post"]["requestBody"]["content"].values():
        media_type["examples"] = examples
    return result


def _kind_schema(kind: Kind) -> Schema:
    is_default = kind.name == "select-color"
    properties = {
        "event": {"type": "string", "const": kind.name, **({"default": kind.name} if is_default else {})},
        "id": {
            "type": ["string", "null"],
            "format": "uuid",
            "description": "Made by the client, so that an event that was sent twice can be told.",
        },
        **{field.name: _field_schema(field) for field in kind.fields},
    }
    required = [*([] if is_default else ["event"]), *(field.name for field in kind.fields if field.is_required)]
    about = inspect.getdoc(kind.event_type) or ""
    return _object(properties, required, description=about, example=example_of(kind))


def _field_schema(field: Field) -> Schema:
    about = {"description": field.description} if field.description else {}
    if field.is_required:
        return {**field.rule.schema(), **about}
    # Its default, and null, are taken whatever the rule says.
    return {"anyOf": [field.rule.schema(), {"enum": [field.default, None]}], "default": field.default, **about}
