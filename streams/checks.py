"""Explains mistakes in `STREAMS` at start (`manage.py check`)."""

from itertools import combinations
from typing import Any

from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from streams.options import check_kafka_options
from streams.registry import streams

_HINT = "See docs/streams.md."


@checks.register("streams")
def check_streams(**_: Any) -> list[checks.CheckMessage]:
    """streams.E001: an entry can't be used; streams.E002: two entries share a group."""
    try:
        configs = [entry.config for entry in streams().values()]
        for config in configs:
            check_kafka_options(config)
    except ImproperlyConfigured as error:
        return [checks.Error(str(error), hint=_HINT, id="streams.E001")]
    return [
        checks.Error(
            f"STREAMS[{one.name!r}] and STREAMS[{other.name!r}] have one group, {one.group_id}: each would lose "
            "partitions to the other, and use its state",
            hint=_HINT,
            id="streams.E002",
        )
        for one, other in combinations(configs, 2)
        if (one.kafka, one.group_id) == (other.kafka, other.group_id)
    ]
