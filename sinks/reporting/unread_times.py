"""Reports records whose time field holds no time, so that they are stored by Kafka's time."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from events.shortening import shortened
from kafka_client.log import REPEAT_SECONDS
from sinks.records import Partition
from sinks.reporting.metrics import SinkMetrics

logger = logging.getLogger(__name__)

_EXAMPLE = 100


class UnreadTimes:
    """Counts records without a readable time, and logs the count with an example once an interval.

    field: the one for the time; clock: monotonic seconds.
    """

    def __init__(self, field: str, metrics: SinkMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._field = field
        self._metrics = metrics
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._told_at = -REPEAT_SECONDS

    def note(self, partition: Partition, values: Sequence[Any]) -> None:
        """Records of a partition have these values in the field."""
        if not values:
            return
        self._metrics.unread_times(partition, len(values))
        with self._lock:
            self._count += len(values)
            if self._clock() - self._told_at < REPEAT_SECONDS:
                return
            count, self._count, self._told_at = self._count, 0, self._clock()
        text = "%s: the field %s of %d records is no time, as %s; they are stored by Kafka's time"
        example = shortened(repr(values[0]), _EXAMPLE)
        logger.warning(f"{text} (docs/configuration.md, Times)", partition, self._field, count, example)
