"""Names the browser, system and device behind a user agent, for the index and the statistics. No Django here."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import msgspec
import ua_parser

from sinks.fields import field_reader

MAX_PARSED = 512
"""Characters of a user agent that are parsed: real ones are shorter, and a hostile one may cost no time."""

FIELD = "agent"
"""The object that is added to a stored event."""

_CACHED = 4096
_BOT = "Spider"


class Agent(NamedTuple):
    """What a user agent names; None where it names nothing that is known.

    browser: for example "Chrome" or "Mobile Safari"; os: "Windows"; device: "iPhone"; bot: whether it is a crawler.
    """

    browser: str | None
    os: str | None
    device: str | None
    bot: bool


def agent_of(user_agent: str) -> Agent:
    """What a user agent names."""
    result = ua_parser.parse(user_agent[:MAX_PARSED])
    device = result.device.family if result.device else None
    return Agent(
        browser=result.user_agent.family if result.user_agent else None,
        os=result.os.family if result.os else None,
        device=None if device == _BOT else device,
        bot=device == _BOT,
    )


def adding_agent(field: str) -> Callable[[bytes], bytes]:
    """Gives a function that adds the object FIELD to a JSON object, behind its own fields, which stay byte for byte.

    field: holds the user agent. Without it, or where there is such an object already, nothing is added.
    """
    read = field_reader(field)
    own = b'"%b"' % FIELD.encode()

    def add(value: bytes) -> bytes:
        user_agent = read(value)
        if not isinstance(user_agent, str):
            return value
        if own in value and FIELD in msgspec.json.decode(value, type=dict[str, msgspec.Raw]):
            return value  # Elasticsearch refuses an object with one field twice
        return value.rstrip()[:-1] + _tail(user_agent[:MAX_PARSED])

    return add


@lru_cache(_CACHED)
def _tail(user_agent: str) -> bytes:
    """How the object begins and ends an event whose closing brace was cut off."""
    found = {name: value for name, value in agent_of(user_agent)._asdict().items() if value is not None}
    return b',"%b":%b}' % (FIELD.encode(), msgspec.json.encode(found))
