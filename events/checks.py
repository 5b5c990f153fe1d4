"""Explains mistakes in `EVENTS` and `KAFKA` at start (`manage.py check`)."""

from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from events.conf import events_settings, kinds, producer_options
from kafka_client.producer import UNHURRIED, check_options


@checks.register
def check_events_settings(**_: Any) -> list[checks.CheckMessage]:
    """events.E001: EVENTS or KAFKA can't be used as they are."""
    try:
        conf = events_settings()
        options = producer_options(conf)
        kinds()
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), id="events.E001")]
    try:
        check_options({**UNHURRIED, **options})
    except ValueError as error:
        hint = "See KAFKA_OPTIONS and EVENTS_PRODUCER_OPTIONS in docs/configuration.md."
        return [checks.Error(f"Kafka options: {error}", hint=hint, id="events.E001")]
    return []
