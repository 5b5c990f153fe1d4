"""Which dead letters wait, whatever was noted of them, and which of them may be replayed; without servers."""

from collections.abc import Iterator
from typing import Any

import pytest

from sinks.dead_letters.log import LETTER, REPLAYED, LetterLog, StoredLetter, example_of, reason_kind
from sinks.dead_letters.replay import newest_of_keys, parts
from sinks.records import Headers, Partition, Record

TOPIC = Partition("t", 0)
LETTERS = Partition("t.dlq", 0)


def origin(offset: int) -> dict[str, Any]:
    return {"dlq.sink": "es", "dlq.topic": "t", "dlq.partition": 0, "dlq.offset": offset}


def headers(values: dict[str, Any]) -> Headers:
    return [(name, str(value).encode()) for name, value in values.items()]


def letter(offset: int, **changes: Any) -> Headers:
    values = {**origin(offset), "dlq.reason": "bad", "dlq.timestamp": 5, **changes}
    return [("own", b"1"), *headers({name: value for name, value in values.items() if value is not None})]


def note(offset: int, of: int) -> Headers:
    return headers({**origin(offset), REPLAYED: "topic", LETTER: of})


def log(*topic: Headers | None, partitions: dict[int, list[Headers]] | None = None) -> LetterLog:
    """The log of a dead-letter topic with these records, in its partition 0 unless told otherwise."""
    held: dict[int, Any] = {0: list(topic), **(partitions or {})}

    def read() -> Iterator[tuple[Partition, Record]]:
        for number, records in held.items():
            for offset, own in enumerate(records):
                yield Partition("t.dlq", number), Record(offset, b"value %d" % offset, 0, None, own)

    return LetterLog(read, sink="es")


def waiting(found: LetterLog) -> list[int]:
    return [one.origin[1] for one in found]


def test_letters_wait_as_they_came_until_a_note_says_otherwise() -> None:
    found = log(letter(7), letter(8), None, letter(9, **{"dlq.sink": "other"}), note(7, of=0))
    (one,) = found
    assert one == StoredLetter(
        (TOPIC, 8), ((LETTERS, 1),), "bad", Record(8, b"value 1", 5, None, [("own", b"1")]), True
    )
    assert list(found) == [one], "it can be read again"


def test_an_offset_was_a_dead_letter_whatever_has_become_of_it() -> None:
    assert log(letter(7), letter(8), note(7, of=0)).origins == {TOPIC: {7, 8}}
    assert log(note(7, of=0)).origins == {TOPIC: {7}}, "the letter itself has expired"


def test_a_record_that_is_a_dead_letter_again_after_a_replay_waits_again() -> None:
    found = log(letter(7), note(7, of=0), letter(7))
    assert [one.places for one in found] == [((LETTERS, 2),)]
    assert waiting(log(letter(7), note(7, of=0), letter(7), note(7, of=2))) == []


def test_a_letter_that_was_written_twice_waits_once_and_is_done_with_both_places() -> None:
    found = log(letter(7), letter(8), letter(7), partitions={1: [letter(7)]})
    other = Partition("t.dlq", 1)
    assert [(one.origin[1], one.places) for one in found] == [
        (7, ((LETTERS, 0), (LETTERS, 2), (other, 0))),
        (8, ((LETTERS, 1),)),
    ]


def test_a_note_stands_for_a_letter_of_its_own_partition() -> None:
    found = log(letter(7), partitions={1: [letter(8), note(8, of=0)]})
    assert waiting(found) == [7]


@pytest.mark.parametrize(
    "wrong",
    [
        letter(1, **{"dlq.topic": None}),
        letter(1, **{"dlq.topic": "no topic!"}),
        letter(1, **{"dlq.partition": None}),
        letter(1, **{"dlq.partition": -1}),
        letter(1, **{"dlq.offset": None}),
        letter(1, **{"dlq.offset": "1_0"}),
        letter(1, **{"dlq.offset": "9" * 5000}),
        letter(1, **{"dlq.timestamp": "yesterday"}),
        [*headers({**origin(1), "dlq.timestamp": 1}), ("dlq.offset", None)],
        [("dlq.sink", b"es"), ("dlq.topic", b"\xff")],
        headers({**origin(1), REPLAYED: "topic"}),
        headers({**origin(1), REPLAYED: "topic", LETTER: "x"}),
    ],
)
def test_what_a_sink_has_not_written_is_told_of_and_left_alone(wrong: Any) -> None:
    found = log(letter(7), wrong, letter(8))
    assert waiting(found) == [7, 8]
    assert found.unreadable == [(LETTERS, 1)]


def test_a_letter_without_its_reason_is_a_letter() -> None:
    (one,) = log(letter(7, **{"dlq.reason": None}))
    assert one.reason == ""


def test_letters_are_read_one_by_one() -> None:
    given = []

    def read() -> Iterator[tuple[Partition, Record]]:
        for offset in range(1000):
            given.append(offset)
            yield LETTERS, Record(offset, b"x", 0, None, letter(offset))

    letters = iter(LetterLog(read, sink="es"))
    given.clear()
    next(letters)
    assert given == [0]


def stored(offset: int, size: int = 1, key: bytes | None = None) -> StoredLetter:
    return StoredLetter((TOPIC, offset), ((LETTERS, offset),), "", Record(offset, b"x" * size, 0, key), True)


def test_a_transaction_is_bounded_in_letters_and_bytes() -> None:
    assert [len(part) for part in parts(stored(n) for n in range(250))] == [100, 100, 50]
    mega = 1024 * 1024
    sizes = [1, 10 * mega, 10 * mega, 40 * mega, 1]
    assert [len(part) for part in parts(stored(n, size) for n, size in enumerate(sizes))] == [2, 1, 1, 1]
    assert list(parts([])) == []


@pytest.mark.parametrize(
    "reason", ["bad at byte 17", "x" * 119 + "1234", "9" * 400 + "a", f"field '{'7' * 3000}'", "7" * 990 + "ab" * 100]
)
def test_a_reason_that_stands_for_others_is_of_their_kind(reason: str) -> None:
    assert reason.startswith(example_of(reason).removesuffix("…"))
    assert reason_kind(reason) == reason_kind(example_of(reason)) == reason_kind(reason_kind(reason))


@pytest.mark.parametrize("reason", ["li\nne 7", "\n" * 2000 + "a\tb\n", f"{'x' * 119} y", "a\r\n b", "nul\0", "\n"])
def test_a_reason_is_of_the_same_kind_when_a_browser_sends_it_back(reason: str) -> None:
    example = example_of(reason)
    assert "\n" not in example
    sent = reason.replace("\r\n", "\n").replace("\n", "\r\n").replace("\0", "\ufffd")  # as HTML has it of forms
    assert reason_kind(sent) == reason_kind(reason) == reason_kind(example) == reason_kind(reason_kind(reason))


class Kafka:
    """A LogReader of one partition; the keys of its records by offset."""

    def __init__(self, keys: dict[int, bytes | None]) -> None:
        self._keys = keys

    def bounds(self, partition: Partition) -> tuple[int, int]:
        return min(self._keys), max(self._keys) + 1

    def read(self, partition: Partition, first: int, end: int) -> Iterator[Record]:
        assert first >= min(self._keys)
        for offset, key in sorted(self._keys.items()):
            if first <= offset < end:
                yield Record(offset, b"{}", 0, key)


def test_only_the_newest_record_of_a_key_that_kafka_still_has_may_be_stored_again() -> None:
    letters = {
        "superseded": stored(11, key=b"a"),
        "newest": stored(13, key=b"b"),
        "expired, or compacted": stored(3, key=b"gone"),
        "compacted": stored(12, key=b"c"),
        "without a key": stored(14),
    }
    log: Any = Kafka({10: b"b", 11: b"a", 13: b"b", 14: None, 15: b"a", 16: b"other"})
    is_newest = newest_of_keys(letters.values(), log)
    assert [name for name, one in letters.items() if is_newest(one)] == ["newest", "without a key"]
