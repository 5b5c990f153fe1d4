"""The index of events: its mapping and settings, and how it is searched."""

from collections.abc import Callable
from typing import Any

from django_elasticsearch_dsl import Document, fields
from django_elasticsearch_dsl.registries import registry

from events.event import EVENT_TYPES, field_types
from events.models import SelectColorEvent

TIMESTAMP_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSSZ||strict_date_optional_time||epoch_millis"
"""The event's own format (+0900), else ISO 8601."""


def _agent() -> fields.ObjectField:
    """What a sink with `user_agent_field` adds to the event."""
    return fields.ObjectField(properties={name: fields.KeywordField() for name in ("browser", "os", "device", "bot")})


def _text() -> fields.TextField:
    """Words are searchable; `.keyword` is what aggregations count."""
    return fields.TextField(fields={"keyword": fields.KeywordField(ignore_above=8191)})


@registry.register_document
class SelectColorDocument(Document):  # type: ignore[misc]  # the package has no types
    """One choice of a colour, found by time, colour, user and words of the user agent."""

    timestamp = fields.DateField(format=TIMESTAMP_FORMAT)
    colorName = fields.KeywordField()
    userName = fields.KeywordField()
    userAgent = _text()
    agent = _agent()

    class Index:
        name = "select-color"
        settings: dict[str, Any] = {"refresh_interval": "1s"}

    class Django:
        model = SelectColorEvent


DOCUMENTS: dict[str, type[Document]] = {"select-color": SelectColorDocument}
"""The Document of each kind of event."""

_FIELDS: dict[type, Callable[[], Any]] = {
    str: lambda: fields.KeywordField(ignore_above=8191),
    int: fields.LongField,
    float: fields.DoubleField,
    bool: fields.BooleanField,
}


def document_of(event: str) -> type[Document] | None:
    """The Document of a kind of event, made of its fields where none is written down; None for any JSON."""
    if event in DOCUMENTS or event not in EVENT_TYPES:
        return DOCUMENTS.get(event)
    own = {name: _FIELDS[kind]() for name, kind in field_types(EVENT_TYPES[event]).items()}
    shared = {"timestamp": fields.DateField(format=TIMESTAMP_FORMAT), "userAgent": _text()}
    index = type("Index", (), {"name": event, "settings": SelectColorDocument.Index.settings})
    document: type[Document] = type("EventDocument", (Document,), {"agent": _agent(), **own, **shared, "Index": index})
    return document
