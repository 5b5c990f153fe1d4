"""What the entries of STREAMS may say, and how mistakes are told."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from streams.checks import check_streams
from streams.registry import stream_of, streams
from tests.streams.shouting import Shouting


def told(settings: Any, **entries: Any) -> list[tuple[str, str]]:
    settings.STREAMS = entries
    streams.cache_clear()
    return [(str(message.id), message.msg) for message in check_streams()]


def test_a_built_in_stream_needs_nothing_but_its_name() -> None:
    entry = stream_of("activity-counts", {})
    assert entry.topics == ["select-color", "activity.counts", "activity-counts.dlq"]
    assert entry.config.group_id == "stream-activity-counts"


def test_a_stream_of_ones_own_is_named_by_its_dotted_path() -> None:
    entry = stream_of("loud", {"type": "tests.streams.shouting.Shouting", "settings": {"read": "a", "to": "b"}})
    assert isinstance(entry.stream, Shouting)
    assert entry.topics == ["a", "b", "loud.dlq"]


def test_right_entries_are_told_nothing(settings: Any) -> None:
    assert told(settings, **{"activity-counts": {}}) == []


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("text", "STREAMS['activity-counts'] must be an object; {} takes the defaults"),
        ({"typ": "x"}, "Object contains unknown field `typ`"),
        ({"kafka": "other"}, "kafka is 'other': KAFKA has no cluster 'other'; it has default"),
        ({"type": "shop.streams.Missing"}, "type: No module named 'shop'"),
        ({"type": "streams.config.StreamConfig"}, "is no subclass of streams.stream.Stream"),
        ({"settings": {"grace": 1}}, "Object contains unknown field `grace` - at `$.settings`"),
        ({"settings": {"grace_seconds": -1}}, "Expected `int` >= 0 - at `$.settings.grace_seconds`"),
        ({"settings": {"windows": []}}, "settings: windows must have one at least"),
        ({"settings": {"windows": [{"seconds": 10}, {"seconds": 10}]}}, "settings: windows must differ in seconds"),
        ({"settings": {"windows": [{"seconds": 10, "step_seconds": 3}]}}, "must be a multiple of step_seconds"),
        ({"settings": {"to": "select-color"}}, "topic select-color has two uses"),
        ({"dead_letter_topic": "activity.counts"}, "topic activity.counts has two uses"),
        ({"consumer": {"group.id": "mine"}}, "group.id must be left to the stream"),
        ({"producer": {"transactional.id": "mine"}}, "transactional.id must be left to the stream"),
        ({"producer": {"compression.type": "tar"}}, "Kafka options: "),
    ],
)
def test_a_mistake_is_told_with_the_entry_and_the_key(settings: Any, entry: Any, text: str) -> None:
    ((number, found),) = told(settings, **{"activity-counts": entry})
    assert number == "streams.E001"
    assert found.startswith("STREAMS['activity-counts']")
    assert text in found


def test_an_unknown_name_without_a_type_is_told_which_streams_there_are(settings: Any) -> None:
    ((_, found),) = told(settings, counts={})
    assert "type is needed: 'counts' is none of the built-in streams, activity-counts" in found


def test_two_streams_with_one_group_are_told(settings: Any) -> None:
    entries = {
        "activity-counts": {"group": "g"},
        "more": {"type": "streams.activity_counts.ActivityCounts", "group": "g"},
    }
    ((number, found),) = told(settings, **entries)
    assert number == "streams.E002"
    assert "'activity-counts'] and STREAMS['more'] have one group, g" in found


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["activity-counts"], r"STREAMS has no entry 'activity-counts'; it has none; STREAMS=.* adds it"),
        (["other"], r"STREAMS has no entry 'other'; it has none$"),
        (["other", "--from", "yesterday"], r"'yesterday' is neither earliest nor latest nor a time in ISO 8601"),
        (["other", "--from", "2026-11-20T10:00:00"], r"needs a zone, for example 2026-11-20T10:00:00\+09:00"),
    ],
)
def test_run_stream_says_what_it_can_not_do(settings: Any, arguments: list[str], text: str) -> None:
    settings.STREAMS = {}
    with pytest.raises(CommandError, match=text):
        call_command("run_stream", *arguments, stderr=StringIO())
