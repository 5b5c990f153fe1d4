"""The small parts of a sink: batches, file names and lines, memory, retries, identities of topics."""

import itertools
import threading
from concurrent.futures import Future
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from sinks.config import SinkOptions
from sinks.files.formats import as_line
from sinks.files.layout import flat, unflat
from sinks.loop.memory import MemoryBudget
from sinks.records import Batch, Columns, Partition, Rejected, Run
from sinks.topic_ids import TopicAdmin
from worker.errors import Cancelled, Retriable
from worker.retry import Backoff, Retry

PARTITION = Partition("select-color", 0)
LIMITS = SinkOptions(flush_records=3, flush_bytes=100, flush_seconds=10)


def batch(count: int, size: int = 10, first: int = 10) -> Batch:
    filled = Batch(PARTITION, first, 5_000, opened_at=0.0)
    filled.add(columns(count, size, first), {})
    return filled


def columns(count: int, size: int = 10, first: int = 10, timestamp: int = 5_000) -> Columns:
    return Columns(range(first, first + count), [b"x" * size] * count, [timestamp] * count)


def test_a_batch_is_full_by_records_or_bytes_and_due_by_age() -> None:
    assert not LIMITS.is_full(batch(2))
    assert LIMITS.is_full(batch(3))
    assert LIMITS.is_full(batch(1, size=100))
    assert not LIMITS.is_due(batch(1), 9.9, 0)
    assert LIMITS.is_due(batch(1), 10.0, 0)


@pytest.mark.parametrize(
    ("limits", "timestamps", "joining"),
    [
        (LIMITS, [5_000] * 4, 2),  # one of three records is there
        (replace(LIMITS, flush_records=100), [5_000] * 20, 9),  # up to the one that reaches the bytes
        (replace(LIMITS, flush_interval_seconds=60.0), [59_999, 60_000], 1),
        (replace(LIMITS, flush_interval_seconds=60.0), [60_000], 0),
        (LIMITS, [60_000_000], 1),
    ],
)
def test_so_many_records_join_a_batch(limits: SinkOptions, timestamps: list[int], joining: int) -> None:
    given = columns(1 + len(timestamps))
    more = Columns(given.offsets, given.values, [5_000, *timestamps])
    assert limits.end(batch(1), more, 1) == 1 + joining


def test_a_batch_gives_its_records_back_byte_for_byte_and_leaves_the_refused_ones_out() -> None:
    values = [b"{}", None, b"", b'{"a":\n1}', b"{ }", b"{}"]
    headers = [None, None, [("id", b"7")], None, None, None]
    given = Columns([3, 4, 7, 8, 9, 20], values, [1, 2, 3, 4, 5, 6], [b"k"] * 6, headers)
    filled = Batch(PARTITION, 3, 1, opened_at=0.0)
    filled.add(given.part(0, 5), {1: "no value", 4: "wrong"})
    filled.add(given.part(5, 6), {})
    everything = [given.record(place) for place in range(6)]
    assert list(filled.records) == [record for record in everything if record.offset not in (4, 9)]
    assert filled.rejected == [Rejected(everything[1], "no value"), Rejected(everything[4], "wrong")]
    assert (filled.count, filled.next_offset) == (6, 21)


@pytest.mark.parametrize(
    ("schedule", "before", "after"),
    [
        ("hourly", "2026-11-20T14:59:59+00:00", "2026-11-20T15:00:00+00:00"),
        ("daily", "2026-11-20T14:59:59+00:00", "2026-11-20T15:00:00+00:00"),  # midnight in Seoul
    ],
)
def test_a_schedule_ends_batches_with_the_hour_or_day_of_its_zone(schedule: str, before: str, after: str) -> None:
    limits = replace(LIMITS, flush_schedule=schedule, flush_time_zone="Asia/Seoul")
    period = limits.period(datetime.fromisoformat(before).timestamp())
    opened = Batch(PARTITION, 0, 0, opened_at=0.0, period=period)
    assert not limits.is_due(opened, 0.0, period)
    assert limits.is_due(opened, 0.0, limits.period(datetime.fromisoformat(after).timestamp()))


def test_an_hour_that_the_clock_shows_twice_ends_twice() -> None:
    limits = replace(LIMITS, flush_schedule="hourly", flush_time_zone="Europe/Vienna")
    summer = datetime.fromisoformat("2026-10-25T00:30:00+00:00").timestamp()
    assert limits.period(summer) != limits.period(summer + 3600)


@pytest.mark.parametrize(
    ("value", "line"), [(b'{"a": 1 }', b'{"a": 1 }'), (b'{"a":\n 1}', b'{"a":1}'), (b'{"a":\r1}', b'{"a":1}')]
)
def test_a_line_is_the_bytes_as_they_came_unless_they_span_lines(value: bytes, line: bytes) -> None:
    assert as_line(value) == line + b"\n"


def test_memory_is_pressed_from_the_bound_until_a_sixteenth_of_the_rest_is_free() -> None:
    budget = MemoryBudget(160)
    share = budget.join()  # 80 of its own, and 80 of the common rest
    pressed = []
    for size in (159, 1, -5, -1):
        share.used += size
        pressed.append(share.press(budget.pool_used))
    assert pressed == [False, True, True, False]


def test_a_partition_that_is_stuck_leaves_each_other_its_share_of_the_memory() -> None:
    budget = MemoryBudget(160)
    stuck, other = budget.join(), budget.join()
    stuck.used += 40 + 80
    assert stuck.press(budget.pool_used)
    other.used += 39
    assert not other.press(budget.pool_used)
    other.used += 1
    assert other.press(budget.pool_used)
    assert budget.used == budget.limit
    budget.leave(stuck)
    assert not other.press(budget.pool_used)


def test_key_and_headers_count_as_memory() -> None:
    plain = columns(1)
    held = Columns(plain.offsets, plain.values, plain.timestamps, [b"k" * 500], [[("name", b"v" * 1_000)]])
    assert Run(held).memory > Run(plain).memory + 1_500


def test_delays_double_up_to_the_maximum_and_half_of_each_is_random() -> None:
    for _ in range(50):
        delays = list(itertools.islice(Backoff(initial=1, maximum=4).delays(), 5))
        for delay, ceiling in zip(delays, (1, 2, 4, 4, 4), strict=True):
            assert ceiling / 2 <= delay <= ceiling


def retrying(seconds: float) -> Retry:
    return Retry("task", Backoff(seconds, seconds), threading.Event())


def test_retry_returns_the_first_result_and_passes_other_errors_on() -> None:
    answers = iter([Retriable("away"), Retriable("away"), 7])

    def action() -> int:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert retrying(0.001)("it", action) == 7

    def broken() -> int:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        retrying(0.001)("it", broken)


def test_retry_ends_when_the_partition_is_given_up() -> None:
    cancelled = threading.Event()

    def action() -> None:
        cancelled.set()
        raise Retriable("away")

    with pytest.raises(Cancelled):
        Retry("task", Backoff(100, 100), cancelled)("it", action)


def test_a_path_becomes_one_name_and_back() -> None:
    for path in ("plain.log", "dt=2026-11-20/hour=10/a.log", "100%2F/%25"):
        assert "/" not in flat(path)
        assert unflat(flat(path)) == path


class IdleAdmin:
    """Kafka's client as it mostly is: with nothing in its queue, so that it counts as false."""

    made = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        IdleAdmin.made += 1

    def __len__(self) -> int:
        return 0

    def poll(self, timeout: float) -> int:
        return 0

    def describe_topics(self, *_: Any, **__: Any) -> dict[str, Future[SimpleNamespace]]:
        found: Future[SimpleNamespace] = Future()
        found.set_result(SimpleNamespace(topic_id="an id"))
        return {"select-color": found}


def test_one_client_asks_for_the_identity_of_topics_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.topic_ids.AdminClient", IdleAdmin)
    topics = TopicAdmin({"bootstrap.servers": "localhost:1"})
    assert [topics.topic_id("select-color") for _ in range(3)] == ["an id"] * 3
    assert IdleAdmin.made == 1
