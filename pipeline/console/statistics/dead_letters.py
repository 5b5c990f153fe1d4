"""How many dead letters wait for somebody: those that were neither replayed nor discarded."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext_lazy as _

from pipeline.console.dead_letters.letters import letter_offsets, read_letters
from pipeline.console.panels import Panel
from pipeline.console.statistics.choice import URL
from pipeline.kafka_reads import PartitionOffsets
from sinks.config import SinkConfig
from sinks.registry import sinks

_SECONDS = 60.0
"""A count is as old at most: of a topic made again, the offsets can be those of the one before."""


@dataclass(frozen=True)
class _Counted:
    """What a sink's letters were counted from; is_complete: whether all records of their topics were read."""

    offsets: Mapping[str, list[PartitionOffsets]]
    count: int
    is_complete: bool
    until: float


_counted: dict[str, _Counted] = {}


def read(_query: Mapping[str, str]) -> dict[str, Any]:
    """The open letters of all sinks, now; is_complete: False where there are more records than may be read."""
    found = [_count(sink) for sink in sinks().values()]
    return {"count": sum(one.count for one in found), "is_complete": all(one.is_complete for one in found)}


def _count(sink: SinkConfig) -> _Counted:
    """Reads the records of the dead-letter topics only when something came or went since they were last counted."""
    offsets = letter_offsets(sink)
    known = _counted.get(sink.name)
    if known is not None and known.offsets == offsets and time.monotonic() < known.until:
        return known
    letters = read_letters(sink)
    found = _Counted(offsets, len(letters.found), letters.is_complete, time.monotonic() + _SECONDS)
    if letters.in_time:
        _counted[sink.name] = found
    return found


PANEL = Panel("dead-letters", _("Dead letters"), "statistics/dead_letters.html", read, URL, server="kafka")
