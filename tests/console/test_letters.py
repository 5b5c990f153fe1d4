"""Which records of dead-letter topics are read, and which of the letters an action is for; on no server."""

from collections.abc import Mapping

import pytest
from pytest_django import Settings

from pipeline import conf
from pipeline.console.dead_letters import letters
from pipeline.console.topics.messages import Reading
from pipeline.kafka_reads import PartitionOffsets
from sinks.config import sinks

Ranges = dict[str, dict[int, tuple[int, int]]]


@pytest.mark.parametrize(
    ("wanted", "bound", "shares"),
    [
        ([7_000, 0, 0], 20_000, [7_000, 0, 0]),
        ([20_000, 0, 0], 20_000, [20_000, 0, 0]),
        ([50_000, 100, 50_000], 20_100, [10_000, 100, 10_000]),
        ([50_000, 5_000, 8_000], 20_000, [7_500, 5_000, 7_500]),
        ([5, 5, 5], 2, [0, 1, 1]),
        ([], 20_000, []),
    ],
)
def test_small_partitions_are_read_whole_and_large_ones_share_the_rest(
    wanted: list[int], bound: int, shares: list[int]
) -> None:
    assert list(dict(sorted(letters.share(dict(enumerate(wanted)), bound).items())).values()) == shares


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Ranges:
    """The ranges that were read, by topic; all of them to their ends."""
    found: Ranges = {}

    def read_messages(_cluster: str, topic: str, ranges: Mapping[int, tuple[int, int]], **_options: object) -> Reading:
        found[topic] = dict(ranges)
        return Reading([], {}, 0, 0, "end")

    monkeypatch.setattr(letters, "read_messages", read_messages)
    return found


def hold(monkeypatch: pytest.MonkeyPatch, held: dict[str, list[tuple[int, int]]]) -> None:
    """Lets dead-letter topics hold these offsets."""
    offsets = {
        topic: [PartitionOffsets(number, first, end) for number, (first, end) in enumerate(parts)]
        for topic, parts in held.items()
    }
    monkeypatch.setattr(letters, "letter_offsets", lambda _sink: offsets)


def test_letters_of_one_partition_are_all_read_when_the_others_are_empty(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, read: Ranges
) -> None:
    settings.CONSOLE = {"search_records": 100}
    conf.console_settings.cache_clear()
    sink = sinks()["hdfs"]
    hold(monkeypatch, {"a.dlq": [(10, 100), (0, 0), (5, 5)], "b.dlq": [(0, 10)]})
    assert letters.read_letters(sink).is_complete
    assert read == {"a.dlq": {0: (10, 100), 1: (0, 0), 2: (5, 5)}, "b.dlq": {0: (0, 10)}}
    hold(monkeypatch, {"a.dlq": [(0, 500), (0, 500)], "b.dlq": [(0, 20)]})
    assert not letters.read_letters(sink).is_complete
    assert read == {"a.dlq": {0: (460, 500), 1: (460, 500)}, "b.dlq": {0: (0, 20)}}
