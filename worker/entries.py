"""Reads the entries of SINKS, SOURCES and STREAMS."""

from typing import Any, TypeVar

import msgspec

Target = TypeVar("Target", bound=msgspec.Struct)


def read_target(given: dict[str, Any], wanted: type[Target], *, key: str = "target") -> Target:
    """What an entry gives under `key`, as its kind declares it. Raises ValueError that names the key."""
    try:
        return msgspec.convert(given, wanted)
    except msgspec.ValidationError as error:
        text, found, place = str(error).partition(" - at `$")  # msgspec writes the place behind the text
        raise ValueError(f"{text} - at `$.{key}{place}" if found else f"{text} - at `$.{key}`") from error
