"""Reads the entries of SINKS and SOURCES."""

from typing import Any, TypeVar

import msgspec

Target = TypeVar("Target", bound=msgspec.Struct)


def read_target(given: dict[str, Any], wanted: type[Target]) -> Target:
    """The `target` of an entry as its kind declares it. Raises ValueError that names the key."""
    try:
        return msgspec.convert(given, wanted)
    except msgspec.ValidationError as error:
        text, found, place = str(error).partition(" - at `$")  # msgspec writes the place behind the text
        raise ValueError(f"{text} - at `$.target{place}" if found else f"{text} - at `$.target`") from error
