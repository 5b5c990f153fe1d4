"""Which records of dead-letter topics are read, and which of the letters an action is for; on no server."""

import html
import re
from collections.abc import Callable, Mapping

import pytest
from django.test import Client
from pytest_django import Settings

from pipeline import conf
from pipeline.console.dead_letters import letters
from pipeline.console.topics.messages import Reading
from pipeline.kafka_reads import PartitionOffsets
from sinks.dead_letters.log import StoredLetter
from sinks.records import Partition, Record
from sinks.registry import sinks
from tests.console.support import text_of

Operator = Callable[..., Client]
HDFS = "/admin/console/dead-letters/hdfs/"
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


def letter(offset: int, reason: str, topic: str = "select-color") -> StoredLetter:
    """A letter of partition 0."""
    place = Partition(topic, 0), offset
    return StoredLetter(place, (), reason, Record(offset, b"v", 0), is_whole=True)


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch) -> list[StoredLetter]:
    """The letters that sinks have, to be filled."""
    found: list[StoredLetter] = []
    monkeypatch.setattr(
        letters, "read_letters", lambda _sink: letters.Letters({one.origin: one for one in found}, is_complete=True)
    )
    return found


def asked(client: Client, address: str, action: str = "discard") -> str:
    """The question about all letters of a list, asked with what a browser sends of its form."""
    form = client.get(address).json()["html"]
    fields = dict(re.findall(r'<input type="hidden" name="(topic|reason)" value="([^"]*)"', form))
    sent = {name: re.sub(r"\r\n|\r|\n", "\r\n", html.unescape(value)) for name, value in fields.items()}
    answer = client.post(f"{HDFS}act/", {"action": action, "scope": "all", **sent})
    return text_of(answer.content.decode())


def test_all_of_a_reason_are_acted_on_whatever_a_browser_makes_of_its_lines(
    operator: Operator, stored: list[StoredLetter]
) -> None:
    stored += [letter(1, "field li\nne is 7"), letter(2, "field li\nne is 8"), letter(3, "other")]
    client = operator("replay")
    reasons = client.get(f"{HDFS}reasons/").json()["html"]
    [link] = [link for link in re.findall(r'href="([^"]+)"', reasons) if "field" in link]
    address = f"{HDFS}list/?{html.unescape(link).partition('?')[2]}"
    assert "2 dead letters : field li ne is 8" in asked(client, address)
    assert "2 dead letters" in asked(client, f"{HDFS}list/?topic=select-color&reason=field%20li%0Ane%20is%207")


def test_letters_without_a_reason_are_a_group_of_their_own(operator: Operator, stored: list[StoredLetter]) -> None:
    stored += [letter(1, ""), letter(2, "other"), letter(3, "other")]
    client = operator("replay")
    assert "No reason select-color 1" in text_of(client.get(f"{HDFS}reasons/").json()["html"])
    assert "1 dead letter " in asked(client, f"{HDFS}list/?topic=select-color&reason=")
    assert "3 dead letters" in asked(client, f"{HDFS}list/?topic=select-color")


class _Replayer:
    """Takes everything, and keeps what was sent or discarded."""

    done: list[StoredLetter] = []

    def __init__(self, *_args: object, **_options: object) -> None:
        self.done.clear()

    def begin(self) -> None:
        pass

    def replay(self, part: list[StoredLetter], *, to: str) -> None:
        self.done.extend(part)

    def close(self) -> None:
        pass


def test_letters_that_name_a_topic_of_others_are_not_replayed(
    operator: Operator, stored: list[StoredLetter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(letters, "Replayer", _Replayer)
    stored += [letter(1, "bad"), letter(5, "forged", topic="practice")]
    client = operator("replay")
    assert "practice" in client.get(f"{HDFS}list/").json()["html"]
    question = asked(client, f"{HDFS}list/", "replay")
    assert "1 dead letter " in question
    assert "1 more is said to come from a topic that this sink does not read" in question
    form = {"action": "replay", "scope": "all", "confirmed": "yes"}
    page = client.post(f"{HDFS}act/", form, follow=True).content.decode()
    assert "1 dead letter was replayed" in page
    assert "1 is said to come from a topic that this sink does not read" in page
    assert _Replayer.done == stored[:1]
    client.post(f"{HDFS}act/", {**form, "action": "discard"})
    assert _Replayer.done == stored
