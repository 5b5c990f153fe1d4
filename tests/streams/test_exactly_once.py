"""activity-counts on a real Kafka: processes are killed, their state is lost; the counts are those of a plain loop."""

import json
import random
import shutil
import threading
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from streams.activity_counts import Window
from tests.streams.running import BEGIN, RunningStream, read_committed, send
from tests.support import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("streams")]

EVENTS = 3_000
BATCH = 100
WINDOWS = (Window(seconds=10), Window(seconds=60, step_seconds=10))
COLORS = ("red", "yellow", "green", "blue", "색깔")


def events(seed: int) -> list[tuple[int, int, bytes | None]]:
    """Events of five minutes, out of order by some seconds, and among them what is none."""
    rng = random.Random(seed)
    found: list[tuple[int, int, bytes | None]] = []
    for number in range(EVENTS):
        time = BEGIN + number * 100 + rng.randrange(-3_000, 3_000)
        value = json.dumps({"colorName": rng.choice(COLORS), "userName": f"user-{number}"}).encode()
        if number % 97 == 5:
            value = rng.choice([b"\xff no JSON", b"[]", b'{"colorName": "red"', b""])
        found.append((rng.randrange(3), time, value))
    return found


def counted_plainly(topic: str, records: list[tuple[int, int, bytes | None]]) -> Counter[tuple[Any, ...]]:
    """What the stream must count, by a loop over all records."""
    counts: Counter[tuple[Any, ...]] = Counter()
    for _, time, value in records:
        try:
            event = json.loads(value or b"")
        except ValueError:
            continue
        if not isinstance(event, dict):
            continue
        for window in WINDOWS:
            step = (window.step_seconds or window.seconds) * 1000
            begin = time - time % step
            while begin > time - window.seconds * 1000:
                for counted in ((None, None), ("colorName", event["colorName"])):
                    counts[(begin, begin + window.seconds * 1000, topic, *counted)] += 1
                begin -= step
    return counts


@contextmanager
def fed(stack: Stack, topic: str, records: list[tuple[int, int, bytes | None]], may_send: Any) -> Iterator[None]:
    """Sends records in small batches beside the block. may_send: asked before the record of that number."""
    is_over = threading.Event()

    def feed() -> None:
        for begin in range(0, len(records), BATCH):
            wait_until(lambda begin=begin: may_send(begin) or is_over.is_set(), seconds=60, what="the stream to read")
            if is_over.is_set():
                return
            send(stack, topic, records[begin : begin + BATCH])

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def test_counts_are_those_of_a_plain_loop_whatever_is_stopped_killed_or_lost(kafka: Stack, tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    rng = random.Random(seed)
    topic, to = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("events", "counts"))
    windows = [{"seconds": window.seconds, "step_seconds": window.step_seconds} for window in WINDOWS]
    settings = {"topics": {topic: ["colorName"]}, "to": to, "windows": windows}
    entry = {"type": "streams.activity_counts.ActivityCounts", "settings": settings}
    stream = RunningStream(kafka, tmp_path, entry, topic, to)
    records = events(seed)
    expected = counted_plainly(topic, records)

    def somewhere_after(share: float) -> int:
        return int(EVENTS * share) + rng.randrange(EVENTS // 10)

    # Not further ahead than some batches, so that there is something to do at each kill.
    ahead = 15 * BATCH
    with fed(kafka, topic, records, lambda sent: sent - stream.count_read(topic) <= ahead):
        with stream.running() as process:
            stream.wait_read(topic, somewhere_after(0.0), process)
            assert process.stop() == 0, process.text
        with stream.running() as process:
            stream.wait_read(topic, somewhere_after(0.1), process)
            process.kill()
        with stream.running() as process:
            stream.wait_read(topic, somewhere_after(0.25), process)
            process.kill()
        shutil.rmtree(stream.state())
        with stream.running() as process, stream.running(number=1) as other:
            stream.wait_read(topic, somewhere_after(0.45), process, other)
            wait_until(lambda: any(stream.state(1).rglob("CURRENT")), what="the second process to get partitions")
            process.kill()
            stream.wait_read(topic, somewhere_after(0.7), other)
        with stream.running() as process:
            stream.wait_read(topic, EVENTS, process)
            read_committed(kafka, to, at_least=expected.total())
            assert process.stop() == 0, process.text

    found = defaultdict(list)
    for message in read_committed(kafka, to):
        count = json.loads(message.value())
        assert json.loads(message.key()) == [count["kind"], count["field"], count["value"]]
        found[(count["begin"], count["end"], count["kind"], count["field"], count["value"])].append(count["count"])
    assert {key: counts[-1] for key, counts in found.items()} == dict(expected)
    # Each change was written once and in order.
    assert all(counts == list(range(1, len(counts) + 1)) for counts in found.values())

    letters = read_committed(kafka, stream.dead_letters)
    bad = [value for number, (_, _, value) in enumerate(records) if number % 97 == 5]
    assert Counter(message.value() for message in letters) == Counter(bad)
    places = [tuple(dict(m.headers())[name] for name in ("dlq.partition", "dlq.offset")) for m in letters]
    assert len(set(places)) == len(places)
    origins = {(m.partition(), m.offset()): m.value() for m in read_committed(kafka, topic)}
    assert all(origins[int(a), int(b)] == m.value() for (a, b), m in zip(places, letters, strict=True))
