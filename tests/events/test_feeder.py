"""The feeder passes nothing over, whatever goes wrong on the way."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from events.delivery import to_payload
from events.feeder import Feeder
from events.spool import Spool
from tests.support import wait_until


class Kafka:
    """A producer that delivers at once, after as many unexpected errors as it is told."""

    def __init__(self, errors: int) -> None:
        self.errors = errors
        self.delivered: list[bytes] = []
        self._lock = threading.Lock()

    def produce(self, topic: str, value: bytes, *, headers: Any, on_delivery: Callable[..., None]) -> None:
        with self._lock:
            if len(self.delivered) >= 3 and self.errors:
                self.errors -= 1
                raise RuntimeError("unexpected")
            self.delivered.append(value)
        on_delivery(None, None)


def test_an_unexpected_error_costs_a_repeat_and_no_event(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=2**20, segment_bytes=4096, fsync="never")
    values = [b"%d" % number for number in range(10)]
    spool.append([to_payload(("t", value, None)) for value in values])
    kafka = Kafka(errors=2)
    feeder = Feeder(tmp_path, spool, kafka)  # type: ignore[arg-type]
    wait_until(lambda: feeder.fed == 10, what="all that is in the spool")
    feeder.stop()
    feeder.finish()
    spool.close()
    assert set(kafka.delivered) == set(values)
    assert list(tmp_path.iterdir()) == []
