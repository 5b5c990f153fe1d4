"""Turns what a caller sent into an event on its way to Kafka, and into the answer. No Django here.

Every door to the pipeline calls `collect`, so that all give the same answers.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from events.event import MAX_TEXT, InvalidEvent, SelectColor, encode, format_timestamp
from events.producer import KafkaUnavailable

RETRY_AFTER_SECONDS = 5

# What decoding puts in the place of bytes that are not UTF-8.
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Produces(Protocol):
    """What `collect` needs of a producer."""

    def produce(self, topic: str, value: bytes | None) -> None:
        """Raises KafkaUnavailable."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status, JSON body and headers."""

    status: int
    body: dict[str, object]
    headers: dict[str, str] = field(default_factory=dict)


def collect(
    params: Mapping[str, object], *, user_agent: str, received_at: datetime, topic: str, producer: Produces
) -> Answer:
    """Produces the event of one choice of a colour.

    params: the caller's `color` and `user`; received_at: the server's time (aware). Returns 202 once the event is
    queued for Kafka, 400 naming each bad field, 503 when Kafka does not keep up.
    """
    try:
        event = select_color(params, user_agent=user_agent, received_at=received_at)
    except InvalidEvent as invalid:
        return Answer(400, {"status": "rejected", "errors": invalid.errors})
    try:
        producer.produce(topic, encode(event))
    except KafkaUnavailable as unavailable:
        return Answer(
            503,
            {"status": "unavailable", "detail": str(unavailable)},
            {"Retry-After": str(RETRY_AFTER_SECONDS)},
        )
    return Answer(202, {"status": "accepted"})


def select_color(params: Mapping[str, object], *, user_agent: str, received_at: datetime) -> SelectColor:
    """The event of the given `color` and `user`. Raises InvalidEvent naming each bad field."""
    errors = {name: error for name in ("color", "user") if (error := _text_error(params.get(name))) is not None}
    if errors:
        raise InvalidEvent(errors)
    return SelectColor(
        timestamp=format_timestamp(received_at),
        userAgent=user_agent,
        colorName=str(params["color"]),
        userName=str(params["user"]),
    )


def _text_error(value: object) -> str | None:
    if value is None:
        return "This field is required."
    if not isinstance(value, str):
        return "Must be one string."
    if not value.strip():
        return "Must not be empty."
    if len(value) > MAX_TEXT:
        return f"Must be at most {MAX_TEXT} characters long, not {len(value)}."
    if _REPLACEMENT in value:
        return "Must be valid UTF-8."
    if value.isprintable():
        return None
    for character in value:
        category = unicodedata.category(character)
        if category == "Cc":
            return f"Must not contain control characters (U+{ord(character):04X})."
        if category == "Cs":
            return f"Must be valid Unicode (U+{ord(character):04X} is half a character)."
    return None
