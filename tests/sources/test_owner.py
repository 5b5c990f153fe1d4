"""What an owner does with its partition: reading in turn, transactions, errors, positions that others change."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.owner import FENCED_SECONDS
from sources.reader import Chunk, Position
from tests.sources.memory import GO_ON, POSITIONS, Ground, source
from tests.sources.numbers import NumbersKind, NumbersTarget
from worker.errors import Fatal, Retriable


def numbers(**values: Any) -> NumbersTarget:
    return NumbersTarget(topic="t", **values)


class Scripted:
    """A reader that gives what a test says, and notes how it was opened."""

    def __init__(self, *reads: Any) -> None:
        self.reads = list(reads)
        self.opened: list[Position | None] = []
        self.closed = 0

    def open(self, position: Position | None) -> None:
        self.opened.append(position)

    def read(self) -> Chunk | None:
        if not self.reads:
            return None
        read = self.reads.pop(0)
        if isinstance(read, Exception):
            raise read
        chunk: Chunk | None = read
        return chunk

    def close(self) -> None:
        self.closed += 1


class ScriptedKind(NumbersKind):
    """Its readers are those that a test has made, by part."""

    def __init__(self, **readers: Scripted) -> None:
        self.readers = readers

    def reader(self, source: SourceConfig, part: str) -> Any:
        return self.readers[part]


def chunk(*values: str, position: Position | None, more: bool = False, topic: str = "t") -> Chunk:
    return Chunk([Record(topic, value.encode()) for value in values], position, more)


def test_what_several_parts_have_goes_into_one_transaction() -> None:
    ground = Ground(source(numbers(parts=("a", "b", "c"), count=5)))
    ground.step(ground.owner("abc"))
    assert ground.kafka.commits == 1
    assert len(ground.kafka.values("t")) == 15


def test_without_anything_new_there_is_no_transaction_and_a_part_is_asked_every_poll_seconds() -> None:
    reader = Scripted()
    ground = Ground(source(numbers(), poll_seconds=2.0), ScriptedKind(a=reader))
    owner = ground.owner()
    ground.step(owner)
    assert ground.kafka.commits == 0
    assert owner.due_at == ground.now + 2.0
    reader.reads = [chunk("x", position={"next": 1})]
    ground.step(owner, after=1.9)
    assert ground.kafka.values("t") == []
    ground.step(owner, after=0.2)
    assert ground.kafka.values("t") == ["x"]


def test_parts_that_were_read_together_are_read_together_again_however_long_each_takes() -> None:
    class Slow(Scripted):
        def read(self) -> Chunk | None:
            ground.now += 0.1
            return super().read()

    readers = {name: Slow() for name in "abc"}
    ground = Ground(source(numbers()), ScriptedKind(**readers))
    owner = ground.owner("abc")
    ground.step(owner)
    for name, reader in readers.items():
        reader.reads = [chunk(name, position={"next": 1})]
    ground.now = owner.due_at
    ground.step(owner)
    assert (ground.kafka.commits, sorted(ground.kafka.values("t"))) == (1, ["a", "b", "c"])


def test_a_position_can_move_without_records_and_one_that_stays_is_not_written() -> None:
    reader = Scripted(chunk(position={"next": 1}), chunk(position={"next": 1}))
    ground = Ground(source(numbers()), ScriptedKind(a=reader))
    ground.step(ground.owner(), 5, after=1.0)
    assert (ground.kafka.commits, ground.kafka.values("positions")) == (1, ['{"next":1}'])


def test_a_part_without_a_position_is_forgotten() -> None:
    reader = Scripted(chunk("x", position={"next": 1}), chunk(position=None))
    ground = Ground(source(numbers()), ScriptedKind(a=reader))
    ground.step(ground.owner(), 5, after=1.0)
    assert ground.kafka.read_positions(0)[0] == {}
    assert ground.kafka.log[-1].value is None


def test_a_partition_without_parts_makes_no_producer() -> None:
    ground = Ground(source(numbers()))
    owner = ground.owner(())
    ground.step(owner, 5, after=1.0)
    assert (owner.watch_from, owner.due_at) == (None, float("inf"))


def test_a_transaction_ends_at_its_bounds_and_the_parts_take_turns() -> None:
    ground = Ground(source(numbers(parts=("a", "b"), count=40, chunk=5), options={"transaction_records": 20}))
    ground.step(ground.owner("ab"))
    assert ground.kafka.commits == 1
    assert ground.kafka.read_positions(0)[0] == {"a": {"next": 10}, "b": {"next": 10}}


def test_a_part_that_fails_waits_and_reads_again_from_its_position_while_others_go_on() -> None:
    bad = Scripted(chunk("x", position={"next": 1}, more=True), Retriable("away"), chunk("y", position={"next": 2}))
    good = Scripted(chunk("1", position={"next": 1}), None, chunk("2", position={"next": 2}))
    ground = Ground(source(numbers(), options={"retry_seconds": 0.1}), ScriptedKind(a=bad, b=good))
    owner = ground.owner("ab")
    ground.step(owner)
    assert sorted(ground.kafka.values("t")) == ["1", "x"]
    (state,) = [part for part in ground.status.parts() if part.part == "a"]
    assert (state.state, state.reason) == ("backing off", "reading: away")
    ground.step(owner, 3, after=1.0)
    assert sorted(ground.kafka.values("t")) == ["1", "2", "x", "y"]
    assert (bad.opened, bad.closed) == ([None, {"next": 1}], 1)
    assert {part.state for part in ground.status.parts()} == {"running"}


def test_a_part_that_can_not_go_on_stops_the_source_and_is_named_with_its_position() -> None:
    reader = Scripted(chunk("x", position={"next": 1}), Fatal("the table is gone"))
    ground = Ground(source(numbers()), ScriptedKind(a=reader))
    owner = ground.owner()
    ground.step(owner)
    with pytest.raises(Fatal, match=r"a at \{'next': 1\}: the table is gone"):
        ground.step(owner, after=1.0)


def test_a_record_that_is_too_large_stops_the_source_and_is_named() -> None:
    reader = Scripted(chunk("x", "y" * 500, "z", position={"next": 3}))
    ground = Ground(source(numbers()), ScriptedKind(a=reader), most=100)
    with pytest.raises(
        Fatal, match=r"a: a record of 500 bytes for t, read before position \{'next': 3\}, is too large"
    ):
        ground.step(ground.owner())
    assert ground.kafka.log == []


def test_many_parts_that_fail_slowly_do_not_keep_the_task_from_its_group() -> None:
    class Hanging(Scripted):
        def open(self, position: Position | None) -> None:
            ground.now += 5.0
            raise Retriable("no answer")

    names = "abcdefgh"
    ground = Ground(source(numbers()), ScriptedKind(**{name: Hanging() for name in names}))
    owner = ground.owner(names)
    began = ground.now
    ground.step(owner)
    assert ground.now - began == 5.0
    ground.step(owner, len(names) - 1)
    assert {part.state for part in ground.status.parts()} == {"backing off"}


def test_with_a_dead_letter_topic_a_record_that_is_too_large_goes_there_and_the_others_to_theirs() -> None:
    reader = Scripted(chunk("x", "y" * 70_000, "z", position={"next": 3}))
    ground = Ground(source(numbers(), dead_letter_topic="dlq"), ScriptedKind(a=reader), most=65_536)
    ground.step(ground.owner())
    assert ground.kafka.values("t") == ["x", "z"]
    (letter,) = [record for record in ground.kafka.log if record.topic == "dlq"]
    headers = {name: (value or b"").decode() for name, value in letter.headers or ()}
    assert headers == {
        "dlq.reason": "Message size too large",
        "dlq.source": "n",
        "dlq.part": "a",
        "dlq.position": json.dumps({"next": 3}),
        "dlq.topic": "t",
        "dlq.size": "70000",
    }
    assert letter.value == b"y" * 65_536


def test_what_was_read_before_a_part_can_not_go_on_is_committed_first() -> None:
    bad = Scripted(
        chunk("x", position={"next": 1}, more=True), Fatal("a line is too long"), Fatal("a line is too long")
    )
    ground = Ground(source(numbers()), ScriptedKind(a=bad, b=Scripted(chunk("1", position={"next": 1}))))
    owner = ground.owner("ab")
    with pytest.raises(Fatal, match=r"a at \{'next': 1\}: a line is too long"):
        ground.step(owner, 5)
    assert sorted(ground.kafka.values("t")) == ["1", "x"]
    assert bad.opened == [None, {"next": 1}]


def test_parts_that_take_long_and_give_nothing_do_not_keep_the_others_from_being_committed() -> None:
    class Hanging(Scripted):
        def read(self) -> Chunk | None:
            ground.now += 10
            raise Retriable("no answer")

    hanging = {f"h{number}": Hanging() for number in range(50)}
    ground = Ground(source(numbers()), ScriptedKind(a=Scripted(chunk("x", position={"next": 1})), **hanging))
    owner = ground.owner(["a", *hanging])
    begun = ground.now
    ground.step(owner)
    assert (ground.kafka.values("t"), ground.now - begun) == (["x"], 10)
    ground.step(owner, len(hanging) - 1)
    assert all(reader.opened for reader in hanging.values())


@pytest.mark.parametrize(
    ("dead_letter_topic", "value", "position"),
    [("dlq", "y" * 200, {"next": 1}), ("", "y", {"files": "z" * 200})],
)
def test_a_dead_letter_or_a_position_that_is_too_large_stops_the_source_which_says_what_to_set(
    dead_letter_topic: str, value: str, position: Position
) -> None:
    reader = Scripted(chunk(value, position=position))
    ground = Ground(source(numbers(), dead_letter_topic=dead_letter_topic), ScriptedKind(a=reader), most=100)
    with pytest.raises(Fatal, match=r"too large for Kafka's client .*: raise message\.max\.bytes"):
        ground.step(ground.owner())
    assert ground.kafka.log == []


def test_a_position_of_a_megabyte_is_cut_in_dead_letters_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    reader = Scripted(chunk("y" * 2_000_000, position={"files": ["z" * 100] * 10_000}))
    ground = Ground(source(numbers(), dead_letter_topic="dlq"), ScriptedKind(a=reader), most=1_500_000)
    ground.step(ground.owner())
    (letter,) = [record for record in ground.kafka.log if record.topic == "dlq"]
    assert max(len(value or b"") for _, value in letter.headers or ()) < 5000
    assert max(map(len, caplog.messages)) < 1000


def test_a_source_that_stops_takes_no_partition_over() -> None:
    ground = Ground(source(numbers()))
    owner, stop = ground.owner(), threading.Event()
    stop.set()
    owner.step(stop)
    assert owner.watch_from is None


def test_a_fenced_owner_waits_and_goes_on_where_the_other_one_was() -> None:
    ground = Ground(source(numbers(count=30), options={"transaction_records": 10}))
    first, second = ground.owner(), ground.owner()
    ground.step(first)
    ground.step(second)
    ground.step(first)
    assert ground.kafka.values("t") == [f"a {number}" for number in range(20)]
    ground.step(first, 3, after=FENCED_SECONDS / 4)
    assert len(ground.kafka.values("t")) == 20
    ground.step(first, after=FENCED_SECONDS)
    assert ground.kafka.values("t") == [f"a {number}" for number in range(30)]


def test_a_position_that_another_changes_is_read_on_from_there_also_by_an_idle_owner() -> None:
    ground = Ground(source(numbers(count=4)))
    owner = ground.owner()
    ground.step(owner, 3, after=1.0)
    written = ground.kafka.set_position("a", {"next": 2})
    ground.step(owner, 3, after=1.0)
    assert len(ground.kafka.values("t")) == 4
    owner.see(*written)
    ground.step(owner, 3, after=1.0)
    assert ground.kafka.values("t") == ["a 0", "a 1", "a 2", "a 3", "a 2", "a 3"]


@pytest.mark.parametrize("key", [POSITIONS.key("a"), b"other/a"])
def test_positions_of_its_own_of_other_sources_and_of_before_disturb_nobody(key: bytes) -> None:
    ground = Ground(source(numbers(count=4)))
    owner = ground.owner()
    ground.step(owner)
    watch_from = owner.watch_from
    assert watch_from is not None
    writer = dict(ground.kafka.log[-1].headers or ())["owner"] or b""
    owner.see(watch_from, key, writer.decode())
    owner.see(watch_from - 1, key, "somebody")
    owner.see(watch_from, b"other/a", "somebody")
    assert owner.watch_from == watch_from


def test_parts_come_and_go_and_one_that_is_gone_is_closed() -> None:
    readers = {name: Scripted(chunk(name, position={"next": 1})) for name in "ab"}
    ground = Ground(source(numbers()), ScriptedKind(**readers))
    owner = ground.owner("a")
    ground.step(owner)
    owner.want({"b"})
    ground.step(owner, after=1.0)
    assert ground.kafka.values("t") == ["a", "b"]
    assert (readers["a"].closed, [part.part for part in ground.status.parts()]) == (1, ["b"])


def test_nothing_more_is_read_once_the_source_stops() -> None:
    reader = Scripted(chunk("x", position={"next": 1}))
    ground = Ground(source(numbers()), ScriptedKind(a=reader))
    owner, stop = ground.owner(), threading.Event()
    stop.set()
    owner.step(stop)
    assert ground.kafka.log == []
    owner.step(GO_ON)
    assert ground.kafka.values("t") == ["x"]


@pytest.mark.parametrize("give_up", [lambda ground, owner: owner.close(), lambda ground, owner: owner.want(set())])
def test_who_gives_its_parts_up_closes_their_readers(give_up: Callable[..., None]) -> None:
    reader = Scripted(chunk("x", position={"next": 1}))
    ground = Ground(source(numbers()), ScriptedKind(a=reader))
    owner = ground.owner()
    ground.step(owner)
    give_up(ground, owner)
    assert reader.closed == 1
    assert ground.status.parts() == []
