"""Every record of a topic is behind some link of the pages that list it, once, whatever its times and gaps are."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, TopicPartition
from django.test import override_settings
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import conf
from pipeline.console.topics import browse, messages
from pipeline.console.topics.browse import Query
from pipeline.kafka_reads import PartitionOffsets

Place = tuple[int, int]


@dataclass(frozen=True)
class Log:
    """A partition. records: offset -> (time in ms, bytes); what is missing below `end` holds no record."""

    records: Mapping[int, tuple[int, int]]
    end: int
    hidden_from: int | None = None
    """Where an open transaction begins: from there on nobody may read."""

    @property
    def readable(self) -> dict[int, tuple[int, int]]:
        """What may be read."""
        return {n: record for n, record in self.records.items() if self.hidden_from is None or n < self.hidden_from}


@dataclass
class _Message:
    place: Place
    time: int = 0
    size: int = 0
    failure: KafkaError | None = None

    def partition(self) -> int:
        return self.place[0]

    def offset(self) -> int:
        return self.place[1]

    def error(self) -> KafkaError | None:
        return self.failure

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time

    def key(self) -> None:
        return None

    def value(self) -> bytes:
        return bytes(self.size)

    def headers(self) -> None:
        return None


@dataclass
class _Consumer:
    """Kafka's consumer on logs in memory: partitions come in any order, a few records of one at a time."""

    logs: Mapping[int, Log]
    chance: random.Random
    left: dict[int, list[_Message]] = field(default_factory=dict)

    def assign(self, places: list[TopicPartition]) -> None:
        for place in places:
            log = self.logs[place.partition]
            found = sorted((offset, *record) for offset, record in log.readable.items() if offset >= place.offset)
            end = log.end if log.hidden_from is None else log.hidden_from
            eof = _Message((place.partition, max(end, place.offset)), failure=KafkaError(KafkaError._PARTITION_EOF))
            self.left[place.partition] = [*(_Message((place.partition, o), t, size) for o, t, size in found), eof]

    def consume(self, _most: int, *, timeout: float) -> list[_Message]:
        given = []
        for number in self.chance.sample(sorted(self.left), len(self.left)):
            several = self.chance.randint(0, 7)
            given += self.left[number][:several]
            del self.left[number][:several]
        return given

    def close(self) -> None:
        pass


@st.composite
def partitions(draw: st.DrawFn) -> Log:
    """A log with gaps and with times in no order."""
    end = draw(st.integers(0, 60))
    offsets = draw(st.sets(st.integers(0, end - 1), max_size=end)) if end else set()
    if draw(st.booleans()):
        offsets = set(range(end))
    records = {n: (draw(st.integers(0, 20)), draw(st.sampled_from([1, 1, 1, 900]))) for n in offsets}
    return Log(records, end, draw(st.none() | st.integers(0, end)))


def all_pages(logs: Mapping[int, Log], query: Query) -> list[list[Place]]:
    """The records of each page, from the first one on along the links."""
    pages: list[list[Place]] = []
    while True:
        found = browse.browse("default", "topic", query)
        pages.append([(message.partition, message.offset) for message in found.messages])
        if found.following is None:
            return pages
        if found.following == query.cursor:
            # It goes on where a transaction is open, and nowhere else.
            assert all(log.hidden_from is None or found.following[n] >= log.hidden_from for n, log in logs.items())
            return pages
        query = replace(query, cursor=found.following)


@contextmanager
def kafka_with(logs: Mapping[int, Log], **bounds: int) -> Iterator[None]:
    """Kafka has a topic of these partitions; bounds: entries of CONSOLE."""
    chance = random.Random(7)

    def read_offsets(*_: Any, **__: Any) -> Any:
        return SimpleNamespace(topics={"topic": [PartitionOffsets(number, 0, log.end) for number, log in logs.items()]})

    def offsets_at(_: str, __: str, numbers: list[int], time: int, **___: Any) -> dict[int, int | None]:
        return {n: min((o for o, (t, _) in logs[n].records.items() if t >= time), default=None) for n in numbers}

    with pytest.MonkeyPatch.context() as patch, override_settings(CONSOLE=bounds):
        patch.setattr(browse, "read_offsets", read_offsets)
        patch.setattr(browse, "offsets_at", offsets_at)
        patch.setattr(messages, "Consumer", lambda _: _Consumer(logs, chance))
        conf.console_settings.cache_clear()
        yield
    conf.console_settings.cache_clear()


def day_old_and_new() -> list[Log]:
    """One partition of old records of which the first is stamped now, one of new records."""
    return [Log({0: (20, 1)} | dict.fromkeys(range(1, 50), (0, 1)), 50), Log(dict.fromkeys(range(50), (19, 1)), 50)]


@pytest.mark.parametrize("start", browse.STARTS)
@given(
    parts=st.lists(partitions(), min_size=1, max_size=4), size=st.integers(1, 12), search_bytes=st.integers(1024, 6000)
)
@example(parts=day_old_and_new(), size=50, search_bytes=6000)
@example(parts=[Log({n: (n, 900) for n in range(50)}, 50)] * 3, size=50, search_bytes=1024)
@settings(max_examples=50, deadline=None)
def test_each_record_is_on_one_page(start: browse.Start, parts: list[Log], size: int, search_bytes: int) -> None:
    logs = dict(enumerate(parts))
    with kafka_with(logs, records=size, search_bytes=search_bytes):
        pages = all_pages(logs, Query(start=start, offset=3, time=10))
    shown = [place for page in pages for place in page]
    assert len(shown) == len(set(shown))
    assert all(len(page) <= size for page in pages)
    assert set(shown) == {
        (number, offset)
        for number, log in enumerate(parts)
        for offset in log.readable
        if not (start == "offset" and offset < 3)
        if not (start == "time" and all(log.records[before][0] < 10 for before in log.records if before <= offset))
    }


@pytest.mark.parametrize("start", ["newest", "oldest"])
@given(parts=st.lists(partitions(), min_size=1, max_size=4), size=st.integers(1, 12), records=st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_each_record_with_the_text_is_on_one_page(
    start: browse.Start, parts: list[Log], size: int, records: int
) -> None:
    logs = dict(enumerate(parts))
    with kafka_with(logs, records=size, search_records=records):
        pages = all_pages(logs, Query(start=start, text="\0" * 900))
    shown = sorted(place for page in pages for place in page)
    assert shown == sorted(
        (number, offset)
        for number, log in enumerate(parts)
        for offset, (_, length) in log.readable.items()
        if length == 900
    )
