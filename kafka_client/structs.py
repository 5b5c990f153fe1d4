"""Makes types of msgspec ready for use by several threads."""

from typing import TypeVar

import msgspec

T = TypeVar("T", bound=type[msgspec.Struct])


def ready(kind: T) -> T:
    """A decorator of a Struct that is decoded or converted to: msgspec learns the type now, when it is imported.

    Otherwise msgspec (0.22) learns it at its first use, and two threads that use it first at the same moment can end
    the process by SIGSEGV.
    """
    msgspec.json.Decoder(kind)
    return kind
