"""Where a database sink stores, and what of a record goes into which column."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from django.db import DEFAULT_DB_ALIAS
from msgspec import Meta

from events.event import EVENT_TYPES, field_types
from events.schema import ANY_JSON
from kafka_client.structs import ready

Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]

TOPIC, NUMBER, OFFSET = "kafka.topic", "kafka.partition", "kafka.offset"
TIMESTAMP, KEY, VALUE = "kafka.timestamp", "kafka.key", "kafka.value"
KEY_FIELD = "kafka.key."
"""What the name of a field of the record's key begins with."""

OF_KAFKA: Mapping[str, Any] = {
    TOPIC: str,
    NUMBER: int,
    OFFSET: int,
    TIMESTAMP: None,
    KEY: str,
    VALUE: str,
}
"""What a column may hold beside a field of the record, with its type; None: a time."""

PLACE = {"kafka_topic": TOPIC, "kafka_partition": NUMBER, "kafka_offset": OFFSET}
"""The columns that tell which record a row is of, unless `columns` says otherwise."""


@ready
class DatabaseTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of a database sink."""

    table: Name
    """The table of the rows. setup_pipeline makes it where it is missing."""
    database: str = DEFAULT_DB_ALIAS
    """The database: an entry of settings.DATABASES, which has PostgreSQL, MariaDB or SQLite."""
    columns: dict[Name, str] = {}
    """What each column holds: a field of the record (in an object within it: `outer.inner`), or `kafka.topic`,
    `kafka.partition`, `kafka.offset`, `kafka.timestamp`, `kafka.key` (or a field of a key that is a JSON object:
    `kafka.key.id`) or `kafka.value`. Default: a column for each field of the kind of event, and kafka_topic,
    kafka_partition and kafka_offset. Needed for the event json."""
    key: tuple[Name, ...] = ()
    """The columns of a unique key: a record replaces the row with the same values in them. Default: none, and each
    record is a row of its own."""

    tombstones: Literal["dead-letter", "ignore", "delete"] = "dead-letter"
    """What becomes of a record without a value: a dead letter; nothing; or it deletes the row of its key, for which the
    columns of `key` must hold `kafka.key` or fields of it."""

    def sources(self, event: str) -> dict[str, str]:
        """What each column holds. Raises ValueError naming what is wrong."""
        if self.columns:
            return self.columns
        if event == ANY_JSON:
            raise ValueError("columns are needed, for the event json has no fields of its own")
        return {**PLACE, **{name: name for name in field_types(EVENT_TYPES[event])}}

    def check(self, event: str) -> None:
        """Raises ValueError naming what is wrong."""
        sources = self.sources(event)
        _check(self.key, sources, "key names {name}, which is no column of the sink")
        if self.tombstones == "delete":
            if not self.key:
                raise ValueError("tombstones 'delete' needs a key, which says what is deleted")
            for name in self.key:
                if sources[name] != KEY and not sources[name].startswith(KEY_FIELD):
                    raise ValueError(f"tombstones 'delete': {name} of the key must hold {KEY} or {KEY_FIELD}…")
        of_kafka = [
            source for source in sources.values() if source.startswith("kafka.") and not source.startswith(KEY_FIELD)
        ]
        _check(of_kafka, OF_KAFKA, f"columns: {{name}} is none of {', '.join(OF_KAFKA)}")

    def place(self, event: str) -> tuple[str, str, str] | None:
        """The columns with topic, partition and offset; None when one of them is missing."""
        columns = {source: name for name, source in self.sources(event).items()}
        try:
            return columns[TOPIC], columns[NUMBER], columns[OFFSET]
        except KeyError:
            return None

    def __str__(self) -> str:
        return f"database {self.database}, table {self.table}"


def _check(names: Iterable[str], known: Mapping[str, Any], text: str) -> None:
    for name in names:
        if name not in known:
            raise ValueError(text.format(name=name))
