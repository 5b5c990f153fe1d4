"""Reads the entries of SINKS, SOURCES and STREAMS."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from kafka_client.clusters import settings_errors_in

Entry = TypeVar("Entry")
Target = TypeVar("Target", bound=msgspec.Struct)


def read_entries(setting: str, read: Callable[[str, Mapping[str, Any]], Entry], *, shape: str) -> dict[str, Entry]:
    """What `read` makes of each entry of a setting, given its name and itself.

    shape: what an entry must be. Raises ImproperlyConfigured naming the entry and key that is wrong.
    """
    found = {}
    for name, entry in getattr(settings, setting).items():
        where = f"{setting}[{name!r}]"
        if not isinstance(entry, dict):
            # The error does not show the text, which may hold a password.
            raise ImproperlyConfigured(f"{where} must be {shape}")
        with settings_errors_in(where):
            found[name] = read(name, entry)
    return found


def read_target(given: dict[str, Any], wanted: type[Target], *, key: str = "target") -> Target:
    """What an entry gives under `key`, as its kind declares it. Raises ValueError that names the key."""
    try:
        return msgspec.convert(given, wanted)
    except msgspec.ValidationError as error:
        text, found, place = str(error).partition(" - at `$")  # msgspec writes the place behind the text
        raise ValueError(f"{text} - at `$.{key}{place}" if found else f"{text} - at `$.{key}`") from error
