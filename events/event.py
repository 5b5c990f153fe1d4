"""The event: what one click becomes, and how it is written as JSON. No Django here."""

import time
from collections.abc import Callable, Sequence
from datetime import MAXYEAR, datetime, tzinfo
from functools import lru_cache
from typing import Annotated, get_type_hints

import msgspec
from msgspec import Meta

_ENCODER = msgspec.json.Encoder()

YEARS = (1000, MAXYEAR)
"""Between them lies the year of every timestamp: it has four digits in any zone."""


class InvalidEvent(ValueError):
    """Input that can't become an event.

    errors: the field as the caller named it -> what is wrong with it; reason: in a word: fields, kind, id, size, json.
    """

    def __init__(self, errors: dict[str, str], *, reason: str = "fields") -> None:
        super().__init__("; ".join(f"{field}: {error}" for field, error in errors.items()))
        self.errors = errors
        self.reason = reason


class Event(msgspec.Struct, frozen=True, gc=False):
    """What every kind of event begins with; the server sets both.

    A kind is a subclass: a field is a str, int, float or bool, or one of these with a rule of events/rules.py and, for
    the OpenAPI schema, a description and example of its own (msgspec.Meta); a field with a default need not be given.
    """

    timestamp: str
    userAgent: str


class SelectColor(Event, frozen=True, gc=False):
    """One choice of a colour, field for field and in the order in which the Java original writes it."""

    colorName: Annotated[str, Meta(description="The colour that was chosen.", examples=["red"])]
    userName: Annotated[str, Meta(description="Who chose it.", examples=["Ada"])]


EVENT_TYPES: dict[str, type[Event]] = {"select-color": SelectColor}
"""The kinds of events that endpoint, sinks and index know, by the name that a sink's `event` setting uses.

Those of the setting EVENTS["kinds"] are added at start (events/kinds.py).
"""


def field_types(event_type: type[Event]) -> dict[str, type]:
    """The fields of a kind of event, in their order, each with its plain type: str, int, float or bool."""
    hints = get_type_hints(event_type)  # without Annotated
    return {name: hints[name] for name in event_type.__struct_fields__}


encode: Callable[[msgspec.Struct], bytes] = _ENCODER.encode
"""The event as one line of compact JSON (UTF-8), fields in their declared order."""


def encode_all(events: Sequence[msgspec.Struct]) -> list[bytes]:
    """As `encode` of each, in half of the time."""
    return _ENCODER.encode_lines(events).split(b"\n")[:-1]  # inside JSON there is no line's end


def format_timestamp(moment: datetime) -> str:
    """`moment` (aware) as the Java original prints it: SimpleDateFormat `yyyy-MM-dd'T'HH:mm:ss.SSSZZ`.

    For example 2026-11-20T10:15:30.123+0900.
    """
    text = moment.isoformat(timespec="milliseconds")
    return text[:-3] + text[-2:]


def clock(zone: tzinfo) -> Callable[[], str]:
    """Gives the time of receipt as events of a zone carry it; one millisecond is formatted once."""

    @lru_cache(maxsize=1)
    def formatted(milliseconds: int) -> str:
        return format_timestamp(datetime.fromtimestamp(milliseconds / 1000, zone))

    return lambda: formatted(time.time_ns() // 1_000_000)


def parse_timestamp(text: str) -> datetime:
    """The moment (aware) that an event's timestamp names; the zone may be written +0900, +09:00 or Z.

    Raises ValueError when it is not ISO 8601, has no zone, or its year can't be told in every zone.
    """
    try:
        moment = datetime.fromisoformat(text.upper())  # RFC 3339 allows a small t and z
    except ValueError:
        raise ValueError(f"timestamp {text!r} is not ISO 8601") from None
    if moment.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no time zone")
    if not YEARS[0] < moment.year < YEARS[1]:
        raise ValueError(f"timestamp {text!r} is out of range")
    return moment
