"""Kinds of events: how what a caller sent becomes an event of its kind. No Django here."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Self

import msgspec

from events.event import Event, InvalidEvent
from events.rules import REQUIRED, Rule, rule_of

SERVER_FIELDS = Event.__struct_fields__
"""The fields that the server sets."""

CLIENT_FIELDS = ("event", "id")
"""Keys that a caller may give beside the fields of the kind."""


@dataclass(frozen=True)
class Field:
    """A field that callers give. default: NODEFAULT when it is required."""

    name: str
    rule: Rule
    default: Any
    description: str = ""
    example: Any = None

    @property
    def is_required(self) -> bool:
        """Whether a caller must give it."""
        return self.default is msgspec.NODEFAULT


def _field(field: Any) -> Field:
    rule = rule_of(field.type)
    notes = [note for note in getattr(field.type, "__metadata__", ()) if isinstance(note, msgspec.Meta)]
    description = next((note.description for note in notes if note.description), "")
    examples = next((note.examples for note in notes if note.examples), [rule.example()])
    return Field(field.name, rule, field.default, description, examples[0])


class Kind:
    """A kind of event: its name, its type, its fields with their rules, and its topic.

    Raises TypeError for a type that can't be a kind.
    """

    def __init__(self, name: str, event_type: type[Event], topic: str) -> None:
        if not (isinstance(event_type, type) and issubclass(event_type, Event)):
            raise TypeError(f"{event_type!r} is no subclass of events.event.Event")
        self.name = name
        self.event_type = event_type
        self.topic = topic
        fields = msgspec.structs.fields(event_type)
        self.fields = tuple(_field(field) for field in fields if field.name not in SERVER_FIELDS)
        self._checks = [(field.name, field.rule.error, field.default) for field in self.fields]
        """Of each field: what callers name it, what finds its error, its default."""
        if clash := {field.name for field in self.fields} & set(CLIENT_FIELDS):
            raise TypeError(f"{event_type.__name__}.{clash.pop()}: the name has a meaning of its own")

    def called(self, names: Mapping[str, str]) -> Self:
        """This kind for callers of `make` who have other names for its fields. names: field -> what they call it."""
        other = copy(self)
        other._checks = [(names[name], *check) for name, *check in self._checks]
        return other

    def make(self, given: Mapping[str, object], *, timestamp: str, user_agent: str) -> Event:
        """The event of what a caller gave. Raises InvalidEvent naming each bad field."""
        values: list[Any] = [timestamp, user_agent]
        errors: dict[str, str] = {}
        for name, find_error, default in self._checks:
            value = given.get(name)
            if value is None or (error := find_error(value)) is not None:
                if value is None or value == default:
                    value = default
                    error = REQUIRED if default is msgspec.NODEFAULT else None
                if error is not None:
                    errors[name] = error
            values.append(value)
        if errors:
            raise InvalidEvent(errors)
        return self.event_type(*values)

    def make_all(self, given: Sequence[Mapping[str, object]], *, timestamp: str, user_agent: str) -> list[Event] | None:
        """The events of what a caller gave. A field of all events is checked at once: much quicker than `make`.

        None when an event can't be made, or when only `make` can tell.
        """
        columns: list[list[Any]] = []
        for field in self.fields:
            name = field.name
            values = [each.get(name) for each in given]
            present = values
            if None in values:
                if field.is_required:
                    return None
                present = [value for value in values if value is not None]
                values = [field.default if value is None else value for value in values]
            if present and not field.rule.allows_all(present):
                return None
            columns.append(values)
        return list(map(self.event_type, repeat(timestamp, len(given)), repeat(user_agent), *columns))
