"""Counters of several processes: their sum is exact, and never goes down."""

import multiprocessing
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from events.counters import Counters, Key, read_counters
from events.metrics import DELIVERED, KAFKA_AWAY, QUEUE_SECONDS, REQUESTS, metrics_text

REQUEST: Key = (REQUESTS, "lane", "/api/events", "202")


def samples(folder: Path) -> dict[str, float]:
    """Name and labels -> number, as Prometheus reads it."""
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics_text(folder).decode())
        for sample in family.samples
    }


def count(folder: Path) -> float:
    return samples(folder).get("collector_requests_total lane /api/events 202", 0)


@pytest.mark.parametrize("is_shared", [True, False])
def test_threads_that_count_at_once_are_counted_exactly(tmp_path: Path, *, is_shared: bool) -> None:
    counters = Counters(tmp_path if is_shared else None)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def work() -> None:
        for number in range(50_000):
            counters.add(REQUEST)
            if not number % 1000:
                counters.add((REQUESTS, "view", "/api/events", str(200 + number // 1000)))

    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    values = counters.values()
    assert values.pop(REQUEST) == 200_000
    assert set(values.values()) == {4} and len(values) == 50
    if is_shared:
        assert count(tmp_path) == 200_000


def _count_for_ever(folder: Path, said: Any) -> None:
    counters = Counters(folder)
    counters.set((KAFKA_AWAY,), 1)
    counters.set((QUEUE_SECONDS,), 2_000_000)
    for number in range(1_000_000):
        counters.add(REQUEST)
        said.send(number + 1)


def test_what_a_killed_process_has_counted_stays_and_its_state_goes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    own = Counters(tmp_path)
    own.add(REQUEST, 7)
    total = 7
    for _ in range(2):
        ours, theirs = context.Pipe()
        child = context.Process(target=_count_for_ever, args=(tmp_path, theirs))
        child.start()
        theirs.close()
        for _ in range(100):
            last = ours.recv()
        seen = samples(tmp_path)
        assert (seen["collector_processes"], seen["collector_kafka_away"], seen["collector_queue_seconds"]) == (2, 1, 2)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        try:
            while True:
                last = ours.recv()
        except EOFError:
            pass
        counted = int(count(tmp_path))
        # It may have been killed between counting and saying so.
        assert total + last <= counted <= total + last + 1
        total = counted
    seen = samples(tmp_path)
    assert (seen["collector_processes"], seen["collector_kafka_away"], seen["collector_queue_seconds"]) == (1, 0, 0)
    Counters(tmp_path)  # one more process: the files of the dead are folded
    assert len(list(tmp_path.glob("*.counters"))) == 2
    assert count(tmp_path) == total


def test_one_who_dies_while_folding_has_nobody_counted_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Counters(tmp_path)
    gone.add(REQUEST, 5)
    gone.abandon()

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", dies)
        with pytest.raises(KeyboardInterrupt):
            Counters(tmp_path)
    assert count(tmp_path) == 5
    alive = Counters(tmp_path)
    alive.add(REQUEST, 1)
    assert count(tmp_path) == 6
    assert len(list(tmp_path.glob("*.counters"))) == 1


@pytest.mark.parametrize("damage", [b"", b"\0" * 5000, b"{"])
def test_what_a_dying_machine_left_stops_nobody(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "ended.json").write_bytes(damage)
    (tmp_path / "1-00000000.counters").write_bytes(damage)
    counters = Counters(tmp_path)
    counters.add((DELIVERED,), 3)
    assert samples(tmp_path)["collector_records_delivered_total"] == 3


def test_more_metrics_than_there_is_room_for_cost_the_others_nothing(tmp_path: Path) -> None:
    counters = Counters(tmp_path)
    counters.add(REQUEST)
    for number in range(1000):
        counters.add((REQUESTS, "view", "/api/events", str(number)))
    counters.add(REQUEST)
    assert counters.values()[REQUEST] == 2
    assert 500 < len(read_counters(tmp_path).living[0]) < 512
