"""Explains mistakes in `CONSOLE` at start (`manage.py check`)."""

from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from pipeline.conf import console_settings


@checks.register
def check_console_settings(**_: Any) -> list[checks.CheckMessage]:
    """pipeline.E001: CONSOLE can't be used as it is."""
    try:
        console_settings()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See docs/configuration.md, Console.", id="pipeline.E001")]
    return []
