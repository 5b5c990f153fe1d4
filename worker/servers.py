"""A server that sinks store in or sources read, as health checks ask it."""

from collections.abc import Callable
from typing import NamedTuple


class Health(NamedTuple):
    """What a server says of itself. detail: its state for people, in their language."""

    version: str | None
    detail: str


class Server(NamedTuple):
    """name: for people, with its address; ask: given a time-out in seconds, asks it.

    `ask` raises Retriable when it is away, and Fatal.
    """

    name: str
    ask: Callable[[float], Health]
