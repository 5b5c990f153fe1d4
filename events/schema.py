"""Checks the bytes of a Kafka record against a kind of event, for sinks. No Django here."""

import codecs
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import msgspec

from events.event import EVENT_TYPES, YEARS, Event, field_types, parse_timestamp
from events.shortening import shortened

ANY_JSON = "json"
"""The kind of event that stands for any JSON object."""

ANY_TEXT = "text"
"""The kind of event that stands for any bytes without a line's end, such as the lines of a file."""

_OPEN, _CLOSE = b"{}"

# What an Elasticsearch long and an integer of Avro or Parquet hold.
_LONG = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]

# Decode with spare stack frames: code that decodes the same record later, from deeper in the stack, must not hit the
# recursion limit.
_SPARE_FRAMES = 100

# A reason may quote the record, which may be large.
_MAX_REASON = 300

_BEGINNINGS = {
    codecs.BOM_UTF8: "begins with a byte order mark, which JSON does not allow",
    **dict.fromkeys(
        (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, b"{\0", b"\0{", b"\0\0\0{"), "is UTF-16 or UTF-32, not UTF-8"
    ),
    b"\0": "begins with a byte 0, as the values of a schema registry's serializers do: it is no plain JSON",
}
"""What a text is that begins in a way that no JSON does."""


class InvalidRecord(ValueError):
    """A Kafka record that is not an event of the expected kind; the text says why."""


def explained(value: bytes, error: Exception) -> str:
    """Why a text can't be used, where what decoding it has raised does not say so. error: what it has raised."""
    if not value.strip():
        return "the text is empty"
    for beginning, meaning in _BEGINNINGS.items():
        if value.startswith(beginning):
            return f"the text {meaning}"
    if isinstance(error, RecursionError):
        return "JSON is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8: {error}"
    if isinstance(error, msgspec.DecodeError) and not isinstance(error, msgspec.ValidationError):
        # Python reads what JSON does not allow: NaN, and halves of characters.
        constants: list[str] = []
        with suppress(ValueError, RecursionError):
            json.loads(value, parse_constant=constants.append)
            if not constants:
                return "JSON has half of a character: an escape of \\ud800 to \\udfff without its other half"
        if constants:
            return f"{constants[0]} is no JSON: a number is needed, or null"
    return shortened(str(error), _MAX_REASON)


class Check:
    """Tells which records a sink can use.

    kind: what their values must hold; has_timestamp: whether its field `timestamp` must be a time; tombstones: whether
    a record without a value is one.
    """

    def __init__(self, kind: Any, *, has_timestamp: bool, tombstones: bool = False) -> None:
        self._tombstones = tombstones
        self._one = msgspec.json.Decoder(kind)
        self._has_timestamp = has_timestamp
        if has_timestamp:
            moment = Annotated[datetime, msgspec.Meta(tz=True)]
            kind = msgspec.defstruct(
                "Timed", [("timestamp", moment)], bases=(kind,), frozen=True, gc=False, kw_only=True
            )
        self._many = msgspec.json.Decoder(kind)

    def __call__(self, value: bytes | None) -> None:
        """Raises InvalidRecord when the value can't be used."""
        if value is None:
            if self._tombstones:
                return
            raise InvalidRecord("the record has no value (a tombstone)")
        try:
            if not value.isascii():
                value.decode()  # msgspec looks at known fields only
            event = _deeper(_SPARE_FRAMES, self._one.decode, value)
            if self._has_timestamp:
                parse_timestamp(event.timestamp)
        except (ValueError, RecursionError) as error:  # also those of msgspec and of Unicode
            raise InvalidRecord(explained(value, error)) from error

    def refusals(self, values: Sequence[bytes | None], lines: bytes | None) -> dict[int, str]:
        """Which of the values can't be used: place -> why. Much quicker than one by one where all can.

        lines: `as_lines` of the values.
        """
        if lines is not None and self._are_usable(values, lines):
            return {}
        refused = {}
        for place, value in enumerate(values):
            try:
                self(value)
            except InvalidRecord as invalid:
                refused[place] = str(invalid)
        return refused

    def _are_usable(self, values: Sequence[bytes | None], lines: bytes) -> bool:
        """Whether all values can be used for sure. False means that each must be looked at."""
        # When each value begins with { and ends with }, no object can begin in one line and end in another. So when
        # there are as many objects as values, each value is one object.
        opened, closed = [value[0] for value in values], [value[-1] for value in values]  # type: ignore[index]
        if not opened.count(_OPEN) == closed.count(_CLOSE) == len(values):
            return False
        try:
            if not lines.isascii():
                lines.decode()
            events = _deeper(_SPARE_FRAMES, self._many.decode_lines, lines)
        except (ValueError, RecursionError):
            return False
        if len(events) != len(values):
            return False
        if not self._has_timestamp:
            return True
        years: set[int] = {event.timestamp.year for event in events}
        return YEARS[0] < min(years) and max(years) < YEARS[1]


class TextCheck(Check):
    """Refuses what is no line: a reader of the files would take a text with a line's end for two records."""

    def __init__(self) -> None:
        """There is nothing to decode."""

    def __call__(self, value: bytes | None) -> None:
        """Raises InvalidRecord when the value can't be used."""
        if value is None:
            raise InvalidRecord("the record has no value (a tombstone)")
        if b"\n" in value or b"\r" in value:
            raise InvalidRecord("the text has a line's end in it, and must be one line")

    def _are_usable(self, values: Sequence[bytes | None], lines: bytes) -> bool:
        return b"\r" not in lines


def _deeper(frames: int, decode: Callable[[bytes], Any], text: bytes) -> Any:
    """Decodes with fewer stack frames left, which bounds how deep the text may be nested."""
    return _deeper(frames - 1, decode, text) if frames else decode(text)


def as_lines(values: Sequence[bytes | None]) -> bytes | None:
    """The values in one text, each with a line's end; None when one is missing, empty, or more than a line."""
    if not all(values):
        return None
    if b"\n" in b"".join(values):  # type: ignore[arg-type]  # quicker than counting the lines
        return None
    return b"\n".join((*values, b""))  # type: ignore[arg-type]


def check_for(event: str, *, tombstones: bool = False) -> Check:
    """The check of a kind of event: a name of EVENT_TYPES, "json" for any JSON object, or "text" for any line.

    A field that the kind does not know is no error: it is stored as it came. tombstones: whether the sink can use a
    record without a value, too. Raises KeyError for an unknown kind.
    """
    if event == ANY_TEXT:
        return TextCheck()
    if event == ANY_JSON:
        return Check(dict[str, msgspec.Raw], has_timestamp=False, tombstones=tombstones)
    event_type = EVENT_TYPES[event]
    has_timestamp = "timestamp" in event_type.__struct_fields__
    return Check(_storable(event_type), has_timestamp=has_timestamp, tombstones=tombstones)


def _storable(event_type: type[Event]) -> type[msgspec.Struct]:
    """The kind of event with integers that every store holds."""
    types = field_types(event_type)
    integers = [
        (field.name, _LONG, msgspec.field(default=field.default))
        for field in msgspec.structs.fields(event_type)
        if types[field.name] is int
    ]
    return msgspec.defstruct(event_type.__name__, integers, bases=(event_type,), frozen=True, gc=False, kw_only=True)
