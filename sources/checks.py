"""Explains mistakes in `SOURCES` at start (`manage.py check`)."""

from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sources.registry import kind_of, sources

_HINT = "See docs/sources.md."


@checks.register("sources")
def check_sources(**_: Any) -> list[checks.CheckMessage]:
    """sources.E001: an entry of SOURCES can't be used; sources.W001: doubtful."""
    try:
        entries = list(sources().values())
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint=_HINT, id="sources.E001")]
    doubts = [f"SOURCES[{entry.name!r}]: {text}" for entry in entries for text in kind_of(entry).warnings(entry)]
    return [checks.Warning(text, hint=_HINT, id="sources.W001") for text in doubts]
