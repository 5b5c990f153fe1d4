"""The count of open dead letters reads their records only when something came or went."""

from typing import Any

import pytest

from pipeline.console.dead_letters.letters import Letters
from pipeline.kafka_reads import PartitionOffsets
from pipeline.panels import dead_letters
from pipeline.time_range import TimeRange
from sinks.config import SinkConfig
from sinks.records import Partition


def test_letters_are_read_again_only_when_something_came_or_went(monkeypatch: pytest.MonkeyPatch) -> None:
    ends, asked = [3], []

    def offsets(_sink: SinkConfig) -> dict[str, list[PartitionOffsets]]:
        return {"t.dlq": [PartitionOffsets(0, 0, ends[0])]}

    def letters(sink: SinkConfig) -> Letters:
        asked.append(sink.name)
        letter: Any = None
        return Letters({(Partition("t", 0), offset): letter for offset in range(ends[0])}, is_complete=ends[0] < 5)

    monkeypatch.setattr(dead_letters, "letter_offsets", offsets)
    monkeypatch.setattr(dead_letters, "read_letters", letters)
    monkeypatch.setattr(dead_letters, "_counted", {})
    time_range: TimeRange = None  # type: ignore[assignment]
    for _poll in range(3):
        assert dead_letters.read(time_range) == {"count": 6, "is_complete": True}
    assert asked == ["hdfs", "elasticsearch"]
    ends[0] = 5
    assert dead_letters.read(time_range) == {"count": 10, "is_complete": False}
    assert len(asked) == 4
