"""The count of open dead letters reads their records only when something came or went, or after a minute."""

import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.console.dead_letters.letters import Letters
from pipeline.console.statistics import dead_letters
from pipeline.kafka_reads import PartitionOffsets
from sinks.config import SinkConfig
from sinks.records import Partition


@dataclass
class Topic:
    """A dead-letter topic. held: letters in it; in_time: whether they are read before time runs out."""

    end: int = 3
    held: int = 3
    in_time: bool = True
    asked: list[str] = field(default_factory=list)

    def offsets(self, _sink: SinkConfig) -> dict[str, list[PartitionOffsets]]:
        return {"t.dlq": [PartitionOffsets(0, 0, self.end)]}

    def letters(self, sink: SinkConfig) -> Letters:
        self.asked.append(sink.name)
        letter: Any = None
        found = {(Partition("t", 0), offset): letter for offset in range(self.held)}
        return Letters(found, is_complete=self.in_time and self.end < 5, in_time=self.in_time)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    topic = Topic()
    monkeypatch.setattr(dead_letters, "letter_offsets", topic.offsets)
    monkeypatch.setattr(dead_letters, "read_letters", topic.letters)
    monkeypatch.setattr(dead_letters, "_counted", {})
    return topic


def test_letters_are_read_again_only_when_something_came_or_went(topic: Topic) -> None:
    for _poll in range(3):
        assert dead_letters.read({}) == {"count": 6, "is_complete": True}
    assert topic.asked == ["hdfs", "elasticsearch"]
    topic.end = topic.held = 5
    for _poll in range(2):
        assert dead_letters.read({}) == {"count": 10, "is_complete": False}
    assert len(topic.asked) == 4


def test_a_count_that_time_cut_short_is_not_kept(topic: Topic) -> None:
    topic.held, topic.in_time = 1, False
    assert dead_letters.read({}) == {"count": 2, "is_complete": False}
    topic.held, topic.in_time = 3, True
    assert dead_letters.read({}) == {"count": 6, "is_complete": True}


def test_letters_of_a_topic_made_again_are_counted_within_a_minute(
    topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    topic.held = 0
    assert dead_letters.read({})["count"] == 0
    topic.held = 3
    now += 59
    assert dead_letters.read({})["count"] == 0
    now += 2
    assert dead_letters.read({})["count"] == 6
