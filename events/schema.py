"""Checks the bytes of a Kafka record against a kind of event, for sinks. No Django here."""

from collections.abc import Callable

import msgspec

from events.event import EVENT_TYPES, parse_timestamp

Check = Callable[[bytes | None], None]
"""Takes a record's value; raises InvalidRecord when a sink can't use it."""

ANY_JSON = "json"
"""The kind of event that stands for any JSON object."""


# A reason may quote the record, which may be large.
_MAX_REASON = 300


class InvalidRecord(ValueError):
    """A Kafka record that is not an event of the expected kind; the text says why."""


def check_for(event: str) -> Check:
    """The check of a kind of event: a name of EVENT_TYPES, or "json" for any JSON object.

    A field that the kind does not know is no error: it is stored as it came. Raises KeyError for an unknown kind.
    """
    if event == ANY_JSON:
        return _check_with(msgspec.json.Decoder(dict[str, msgspec.Raw]), has_timestamp=False)
    event_type = EVENT_TYPES[event]
    return _check_with(msgspec.json.Decoder(event_type), has_timestamp="timestamp" in event_type.__struct_fields__)


def _check_with(decoder: "msgspec.json.Decoder", *, has_timestamp: bool) -> Check:  # type: ignore[type-arg]
    def check(value: bytes | None) -> None:
        if value is None:
            raise InvalidRecord("the record has no value (a tombstone)")
        try:
            if not value.isascii():
                value.decode()  # msgspec looks at known fields only
            event = decoder.decode(value)
            if has_timestamp:
                parse_timestamp(event.timestamp)
        except UnicodeDecodeError as error:
            raise InvalidRecord(f"not UTF-8: {error}") from error
        except (ValueError, RecursionError) as error:  # msgspec's DecodeError and ValidationError are ValueErrors
            raise InvalidRecord(str(error)[:_MAX_REASON]) from error

    return check
