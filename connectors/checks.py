"""Explains mistakes in `CONNECTORS` at start (`manage.py check`)."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from connectors.conf import connectors_settings


@checks.register("connectors")
def check_connectors(**_: Any) -> list[checks.CheckMessage]:
    """connectors.E001: an entry of CONNECTORS can't be used; connectors.W001: everybody may change connectors."""
    try:
        is_open = connectors_settings().open
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint="See docs/connectors.md.", id="connectors.E001")]
    if is_open and not settings.DEBUG and "devstack" not in settings.INSTALLED_APPS:
        text = "CONNECTORS['open'] lets everybody who reaches the website make and delete connectors"
        return [checks.Warning(text, hint="It is for development alone.", id="connectors.W001")]
    return []
