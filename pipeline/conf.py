"""The typed view of `settings.CONSOLE`: how much the admin's statistics read, and how long they wait for a server."""

from functools import cache
from typing import Annotated

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from msgspec import Meta


class ConsoleSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of what operators see; every entry has a default, and CONSOLE itself may be missing."""

    refresh_seconds: Annotated[float, Meta(ge=1, description="Seconds between two reads of a visible panel.")] = 5.0
    elasticsearch_timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="The longest wait for a search, in seconds.")
    ] = 5.0
    kafka_timeout_seconds: Annotated[
        float, Meta(gt=0, le=60, description="The longest wait for the offsets of a Kafka cluster, in seconds.")
    ] = 5.0
    top: Annotated[int, Meta(ge=1, le=100, description="Rows of top users and top browsers.")] = 10
    colors: Annotated[int, Meta(ge=1, le=20, description="Colours with a series of their own in the chart.")] = 8
    newest: Annotated[int, Meta(ge=1, le=200, description="Rows of the newest events.")] = 20
    user_agents: Annotated[
        int, Meta(ge=1, le=5000, description="Different user agents that are read to count browsers.")
    ] = 500
    partitions: Annotated[
        int, Meta(ge=1, le=10_000, description="Partitions of one topic that are listed; totals count all of them.")
    ] = 200


@cache
def console_settings() -> ConsoleSettings:
    """`settings.CONSOLE`; raises ImproperlyConfigured naming the entry that is wrong."""
    try:
        return msgspec.convert(getattr(settings, "CONSOLE", {}), ConsoleSettings)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"CONSOLE: {error}") from error
