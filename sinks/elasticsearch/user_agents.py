"""Names the browser, system and device behind a user agent, for the index and the statistics. No Django here."""

from functools import lru_cache
from typing import NamedTuple

import msgspec
import ua_parser

from events.bots import MAX_LENGTH, is_bot
from sinks.elasticsearch.fields import FieldReader

FIELD = "agent"
"""The object that is added to a stored event."""

_OWN = b'"%b"' % FIELD.encode()
_CACHED = 4096
_NO_DEVICE = "Spider"


class Agent(NamedTuple):
    """What a user agent names; None where it names nothing that is known.

    browser: for example "Chrome" or "Mobile Safari"; os: "Windows"; device: "iPhone"; bot: whether it is a program, as
    the header `event.bot` says.
    """

    browser: str | None
    os: str | None
    device: str | None
    bot: bool


def agent_of(user_agent: str) -> Agent:
    """What a user agent names."""
    result = ua_parser.parse(user_agent[:MAX_LENGTH])
    found = (result.user_agent, result.os, result.device)
    browser, system, device = (part.family if part else None for part in found)
    return Agent(browser, system, None if device == _NO_DEVICE else device, is_bot(user_agent))


class AddingAgent:
    """Adds the object FIELD to JSON objects, behind their own fields, which stay byte for byte.

    field: holds the user agent. Without it, or where there is such an object already, nothing is added.
    """

    def __init__(self, field: str) -> None:
        self._read = FieldReader(field)

    def __call__(self, value: bytes) -> bytes:
        """One object. Raises InvalidRecord as FieldReader."""
        user_agent = self._read(value)
        if not isinstance(user_agent, str):
            return value
        if _OWN in value and FIELD in msgspec.json.decode(value, type=dict[str, msgspec.Raw]):
            return value  # Elasticsearch refuses an object with one field twice
        return value.rstrip()[:-1] + _tail(user_agent[:MAX_LENGTH])

    def all(self, lines: bytes) -> list[bytes]:
        """The object of each line. Raises InvalidRecord when one of them does."""
        values = lines.split(b"\n")[:-1]
        if _OWN in lines:
            return [self(value) for value in values]
        return [
            value.rstrip()[:-1] + _tail(user_agent[:MAX_LENGTH]) if isinstance(user_agent, str) else value
            for value, user_agent in zip(values, self._read.all(lines), strict=True)
        ]


@lru_cache(_CACHED)
def _tail(user_agent: str) -> bytes:
    """How the object begins and ends an event whose closing brace was cut off."""
    found = {name: value for name, value in agent_of(user_agent)._asdict().items() if value is not None}
    return b',"%b":%b}' % (FIELD.encode(), msgspec.json.encode(found))
