"""Explains mistakes in `SINKS` at start (`manage.py check`)."""

from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from sinks.config import sinks


@checks.register("sinks")
def check_sinks(**_: Any) -> list[checks.CheckMessage]:
    """sinks.E001: an entry of SINKS can't be used."""
    try:
        sinks()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See docs/configuration.md, Sinks.", id="sinks.E001")]
    return []
