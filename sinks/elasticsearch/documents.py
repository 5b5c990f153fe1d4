"""The index of events: its mapping and settings, and how it is searched."""

from typing import Any

from django_elasticsearch_dsl import Document, fields
from django_elasticsearch_dsl.registries import registry

from events.models import SelectColorEvent

TIMESTAMP_FORMAT = "yyyy-MM-dd'T'HH:mm:ss.SSSZ||strict_date_optional_time||epoch_millis"
"""The event's own format (+0900), else ISO 8601."""


@registry.register_document
class SelectColorDocument(Document):  # type: ignore[misc]  # the package has no types
    """One choice of a colour, found by time, colour, user and words of the user agent."""

    timestamp = fields.DateField(format=TIMESTAMP_FORMAT)
    colorName = fields.KeywordField()
    userName = fields.KeywordField()
    # Words are searchable; `.keyword` is what aggregations count.
    userAgent = fields.TextField(fields={"keyword": fields.KeywordField(ignore_above=8191)})
    # Not of the event: added by a sink with `user_agent_field`.
    agent = fields.ObjectField(
        properties={name: fields.KeywordField() for name in ("browser", "os", "device", "bot")},
    )

    class Index:
        name = "select-color"
        settings: dict[str, Any] = {"refresh_interval": "1s"}

    class Django:
        model = SelectColorEvent


DOCUMENTS: dict[str, type[Document]] = {"select-color": SelectColorDocument}
"""The Document of each kind of event."""
