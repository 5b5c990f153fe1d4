"""Rows and offset in one transaction: what is stored, whoever dies, wakes up late or is refused; on both databases."""

import gc
import itertools
import json
import os
import random
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError, connections, models

from events.schema import check_for
from settings.env import _database
from sinks.database import rows as database_rows
from sinks.database.connection import change, select, transaction
from sinks.database.offsets import make, make_table
from sinks.database.rewind import DatabaseRewinding
from sinks.database.rows import find_columns
from sinks.database.verify import RowComparison
from sinks.database.writer import DatabasePartition
from sinks.records import Batch, Columns, Rejected
from tests.databases import database_at
from tests.sinks.database_table import PARTITION, SOURCES, TIME, Table, batch, run, store, stored
from tests.sinks.schedules import hasty_retry
from tests.support import wait_until
from worker.errors import Fatal, Fenced

SERVERS = [pytest.param(name, marks=pytest.mark.integration) for name in ("postgres", "mariadb")]


@pytest.fixture(params=["sqlite", *SERVERS])
def alias(request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any) -> Iterator[str]:
    """A database with a table of offsets."""
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'rows.sqlite3'}" if is_sqlite else request.getfixturevalue(request.param).address
    with django_db_blocker.unblock(), database_at(_database("DATABASES", url)) as alias:
        with transaction(alias) as connection:
            make_table(connection)
        yield alias


@pytest.fixture
def table(alias: str) -> Table:
    return Table(alias)


def test_a_record_is_a_row_and_the_offset_stands_beside_it(table: Table) -> None:
    owner = table.owner()
    assert owner.resume_at is None
    assert store(owner, batch(5, 8), batch(8, 10)) == []
    assert table.rows() == [(n, f"color {n}", n) for n in range(5, 10)]
    (at,) = table.rows("at")[0]
    assert str(at)[:23] == str(datetime.fromtimestamp(TIME / 1000, UTC))[:23]
    assert table.owner(committed=10).resume_at == 10


def test_a_partition_that_was_never_stored_begins_where_kafka_says(table: Table) -> None:
    assert table.owner(committed=7).resume_at == 7


def test_batches_without_records_move_the_offset(table: Table) -> None:
    marks = Batch(PARTITION, 0, 0, opened_at=0.0)
    marks.next_offset = 3
    store(table.owner(), marks)
    assert table.owner().resume_at == 3


def test_an_owner_that_was_replaced_stores_nothing(table: Table) -> None:
    older, newer = table.owner(), table.owner()
    with pytest.raises(Fenced):
        store(older, batch(0, 5))
    store(newer, batch(0, 5))
    assert table.numbers == Counter(range(5))


def test_a_transaction_whose_end_was_not_seen_is_not_repeated(table: Table) -> None:
    owner = table.owner()
    wrapper: Any = type(connections[table.alias])
    commits: list[int] = []
    commit = wrapper._commit

    def lose_the_first_answer(connection: Any) -> None:
        commit(connection)
        commits.append(1)
        if len(commits) == 1:
            raise OperationalError("the connection is lost")

    with patch.object(wrapper, "_commit", lose_the_first_answer):
        assert [letter.record.offset for letter in store(owner, batch(0, 5, lambda n: n if n != 3 else "bad"))] == [3]
    assert len(commits) == 2
    assert table.numbers == Counter([0, 1, 2, 4])


def test_rows_that_the_database_refuses_are_rejected_with_its_reason_and_all_others_stored(table: Table) -> None:
    bad = {3: "many", 4: 2**70, 9: None}
    rejected = store(table.owner(), batch(0, 7, lambda n: bad.get(n, n)), batch(7, 12, lambda n: bad.get(n, n)))
    assert [letter.record.offset for letter in rejected] == [3, 4, 9]
    assert {letter.kind for letter in rejected} == {"refused"}
    assert all(letter.reason for letter in rejected)
    assert table.numbers == Counter({*range(12)} - set(bad))


def test_a_letter_that_was_not_delivered_is_given_to_the_next_owner(table: Table) -> None:
    def values(number: int) -> Any:
        return "bad" if number in (4, 6) else number

    store(table.owner(), batch(0, 10, values))
    again = table.owner(committed=0)
    assert again.resume_at == 4
    assert [letter.record.offset for letter in store(again, batch(4, 6, values))] == [4]
    assert [letter.record.offset for letter in store(again, batch(6, 12, values))] == [6]
    assert table.numbers == Counter({*range(12)} - {4, 6})
    run(again.rest(leaving=False))
    assert table.owner().resume_at == 12


def test_a_rest_forgets_no_letter_of_records_that_were_not_read_again(table: Table) -> None:
    def values(number: int) -> Any:
        return "bad" if number in (4, 6) else number

    store(table.owner(), batch(0, 10, values))
    again = table.owner()
    run(again.rest(leaving=False))
    assert table.owner().resume_at == 4
    again = table.owner()
    assert [letter.record.offset for letter in store(again, batch(4, 6, values))] == [4]
    run(again.rest(leaving=False))
    assert table.owner().resume_at == 6
    again = table.owner()
    assert [letter.record.offset for letter in store(again, batch(6, 12, values))] == [6]


def test_a_table_that_refuses_all_stops_the_sink_before_there_are_letters(table: Table) -> None:
    owner = table.owner(stop_after=10)
    with pytest.raises(Fatal, match="refused 20, each for"):
        store(owner, batch(0, 20, lambda _: "bad"))
    assert table.owner().resume_at is None


def test_a_record_whose_time_no_database_holds_makes_a_letter_of_it_alone(table: Table) -> None:
    records = Batch(PARTITION, 0, TIME, opened_at=0.0)
    values = [json.dumps({"color": "red", "amount": n}).encode() for n in range(3)]
    records.add(Columns([0, 1, 2], values, [TIME, TIME * 1000, 2**62]), {})
    rejected = store(table.owner(), records)
    assert [(letter.record.offset, letter.reason) for letter in rejected] == [
        (offset, f"unreadable: the record's time, {time} milliseconds since 1970, is after the year 9999")
        for offset, time in ((1, TIME * 1000), (2, 2**62))
    ]
    assert table.numbers == Counter([0])


def test_two_keys_that_are_no_text_do_not_become_one_row(alias: str) -> None:
    table = Table(alias, key=["color"], sources={"number": "kafka.offset", "color": "kafka.key", "amount": "amount"})
    records = Batch(PARTITION, 0, TIME, opened_at=0.0)
    values = [json.dumps({"amount": n}).encode() for n in range(3)]
    records.add(Columns([0, 1, 2], values, [TIME] * 3, [b"\x00\x80", b"\x00\x81", b"text"]), {})
    rejected = store(table.owner(), records)
    assert [letter.record.offset for letter in rejected] == [0, 1]
    assert all("key is not UTF-8" in letter.reason for letter in rejected)
    assert table.rows("color, amount") == [("text", 2)]


def test_a_key_keeps_the_newest_record(alias: str) -> None:
    table = Table(alias, key=["color"], sources={"number": "kafka.offset", "color": "color", "amount": "amount"})
    again = batch(10, 12)
    values = [json.dumps({"color": "color 3", "amount": n}).encode() for n in (10, 11)]
    again.runs.clear()
    again.add(Columns([10, 11], values, [TIME] * 2), {})
    store(table.owner(), batch(0, 5), again)
    assert dict(table.rows("color, amount")) == {**{f"color {n}": n for n in range(5)}, "color 3": 11}
    assert len(table.rows()) == 5


def test_a_topic_that_was_made_again_stops_the_sink(table: Table) -> None:
    owner = table.owner()
    store(owner, batch(0, 5))
    table.topic_id = "second"
    for work in (table.owner, lambda: store(owner, batch(5, 9))):
        with pytest.raises(Fatal, match="deleted and made again"):
            work()


def test_kafka_that_is_ahead_stops_the_sink_until_an_operator_decides(table: Table) -> None:
    store(table.owner(), batch(0, 5))
    with pytest.raises(Fatal, match=r"below offset 9, but .* says 5") as stopped:
        table.owner(committed=9)
    _, _, statement = str(stopped.value).partition("UPDATE ")
    with transaction(table.alias) as connection:
        assert change(connection, f"UPDATE {statement}".replace("next_offset = N", "next_offset = 2")) == 1
        change(connection, f"DELETE FROM {table.name} WHERE number >= 2")
    owner = table.owner(committed=9)
    assert owner.resume_at == 2
    store(owner, batch(2, 12))
    assert table.numbers == Counter(range(12))


def test_a_row_that_is_put_back_fences_its_owner(table: Table) -> None:
    owner = table.owner()
    store(owner, batch(0, 5))
    with transaction(table.alias) as connection:
        change(connection, "UPDATE sink_offsets SET next_offset = 2 WHERE sink = %s", [table.sink])
    with pytest.raises(Fenced, match="from offset 5 to 2"):
        store(owner, batch(5, 9))


PLACED = {"topic": "kafka.topic", "part": "kafka.partition", **SOURCES}


def rewinding(table: Table, to: int) -> DatabaseRewinding:
    return DatabaseRewinding(table.target, "json", table.sink, PARTITION, to)


def placed(alias: str) -> Table:
    """A table that tells which record each row is of."""
    table = Table(alias, sources=PLACED)
    with transaction(alias) as connection:
        change(connection, f"ALTER TABLE {table.name} ADD topic varchar(249)")
        change(connection, f"ALTER TABLE {table.name} ADD part integer")
    return table


@pytest.mark.parametrize("at_once", [20_000, 3])
def test_a_rewind_deletes_rows_fences_the_owner_and_lets_each_record_be_stored_again(
    alias: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.database.rewind._AT_ONCE", at_once)
    table = placed(alias)
    owner = table.owner()
    store(owner, batch(0, 10, lambda n: "bad" if n in (1, 7) else n))
    rewind = rewinding(table, 4)
    assert (rewind.to, rewind.leaves_out) == (4, False)
    assert "5 rows with offsets from 4 on would be deleted, and stored again" in rewind.told[1]
    assert sorted(table.numbers) == [0, 2, 3, 4, 5, 6, 8, 9]
    assert "goes on at offset 4; 5 rows were deleted" in rewind.carry_out(hasty_retry(), skip=False)
    with pytest.raises(Fenced):
        store(owner, batch(10, 12))
    again = table.owner(committed=10)
    assert again.resume_at == 1  # the letter of this one is still to be delivered
    store(again, batch(1, 12, lambda n: "bad" if n in (1, 7) else n))
    assert table.numbers == Counter({*range(12)} - {1, 7})


@pytest.mark.parametrize(("is_compacted", "at_once"), [(True, 500), (False, 500), (False, 1)])
def test_rows_whose_records_kafka_has_compacted_are_no_difference(
    alias: str, is_compacted: bool, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sinks.database.verify._CHUNK", at_once)
    table = placed(alias)
    store(table.owner(), batch(0, 10))
    with transaction(alias) as connection:
        columns = find_columns(connection, table.name, PLACED, ())
    place = ("topic", "part", "number")
    left = [record for record in batch(0, 10).records if record.offset in (0, 4, 9)]
    comparison = RowComparison(alias, columns, place, check_for("json"), PARTITION, (), lambda: is_compacted)
    found = [finding.detail for finding in comparison.findings(left)]
    assert found == ([] if is_compacted else ["Kafka has no such record"] * 7)
    assert ("Kafka has removed 7 more since" in comparison.counted) == is_compacted


def test_a_rewind_forward_leaves_records_out(alias: str) -> None:
    table = placed(alias)
    store(table.owner(), batch(0, 5))
    rewind = rewinding(table, 9)
    assert rewind.leaves_out
    assert "offsets 5 to 8 would be left out" in rewind.told[1]
    rewind.carry_out(hasty_retry(), skip=True)
    assert table.owner().resume_at == 9
    assert table.numbers == Counter(range(5))


def test_a_rewind_lets_the_rows_of_keys_stay(alias: str) -> None:
    table = Table(alias, key=["color"])
    store(table.owner(), batch(0, 5))
    rewind = rewinding(table, 2)
    assert "rows stay, and get the older values of their keys" in rewind.told[1]
    rewind.carry_out(hasty_retry(), skip=False)
    again = table.owner(committed=5)
    assert again.resume_at == 2
    store(again, batch(2, 6))
    assert table.numbers == Counter(range(6))


def test_a_rewind_of_what_was_never_stored_or_can_not_be_told_is_refused(table: Table) -> None:
    with pytest.raises(Fatal, match="has stored nothing of clicks-2 yet"):
        rewinding(table, 0)
    store(table.owner(), batch(0, 5))
    with pytest.raises(Fatal, match="do not tell which rows are of the offsets from 2 on"):
        rewinding(table, 2)


@pytest.mark.parametrize(("names", "text"), [({"no_such": "color"}, "no column no_such"), ({}, "no table t_none")])
def test_what_the_table_lacks_is_named(alias: str, names: dict[str, str], text: str) -> None:
    table = Table(alias)
    with transaction(alias) as connection, pytest.raises(Fatal, match=text):
        find_columns(connection, table.name if names else "t_none", names or SOURCES, [])


@pytest.fixture
def postgres_alias(postgres: Any, django_db_blocker: Any) -> Iterator[str]:
    """PostgreSQL alone, for what SQLite does not have."""
    with django_db_blocker.unblock(), database_at(_database("DATABASES", postgres.address)) as alias:
        with transaction(alias) as connection:
            make_table(connection)
        yield alias


@pytest.mark.integration
@pytest.mark.parametrize("key", [(), ("number",)], ids=["each", "newest"])
@pytest.mark.parametrize(
    ("change_of_table", "good", "bad"),
    [
        ("CREATE INDEX ON {0} (amount)", "x", "".join(map(chr, range(0x4E00, 0x7E00)))),
        (
            "CREATE TRIGGER raises BEFORE INSERT ON {0} FOR EACH ROW WHEN (NEW.amount = 'y') EXECUTE FUNCTION r()",
            "x",
            "y",
        ),
        (
            "ALTER TABLE {0} ADD UNIQUE (amount) DEFERRABLE INITIALLY DEFERRED; INSERT INTO {0} VALUES (9, '', 'y')",
            "x",
            "y",
        ),
    ],
    ids=["too large for an index", "a trigger that raises", "a deferred constraint"],
)
def test_whatever_refuses_a_row_makes_a_letter_of_it_alone(
    postgres_alias: str, key: tuple[str, ...], change_of_table: str, good: str, bad: str
) -> None:
    table = Table(postgres_alias, key=key)
    raises = "CREATE OR REPLACE FUNCTION r() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no y'; END $$"
    with transaction(postgres_alias) as connection:
        change(connection, f"{raises}; ALTER TABLE {table.name} ALTER amount TYPE text")
        change(connection, change_of_table.format(table.name))
    refused, amounts = stored(table, bad, good)
    assert refused == [0]
    assert good in amounts


@pytest.mark.integration
@pytest.mark.parametrize("key", [(), ("number",)], ids=["each", "newest"])
@pytest.mark.parametrize(
    ("kind", "values", "refused", "amounts"),
    [
        ("integer", [1.5, True, "7", 3], [0, 1], [7, 3]),
        ("boolean", [1, "f", 2.5], [2], [True, False]),
        ("date", [20261120], [], [date(2026, 11, 20)]),
        ("timestamp", ["2026-11-20T01:15:00+09:00"], [], [datetime(2026, 11, 19, 16, 15)]),  # noqa: DTZ001
        ("json", ["a text", {"b": 1}], [], ["a text", {"b": 1}]),
    ],
)
def test_a_value_becomes_what_its_column_is_with_a_key_or_without(
    postgres_alias: str, key: tuple[str, ...], kind: str, values: list[Any], refused: list[int], amounts: list[Any]
) -> None:
    table = Table(postgres_alias, key=key)
    with transaction(postgres_alias) as connection:
        change(connection, f"ALTER TABLE {table.name} ALTER amount TYPE {kind} USING NULL, ALTER amount DROP NOT NULL")
    assert stored(table, *values) == (refused, amounts)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        ("jsonb", {"b": [1], "a": None}, {"b": [2]}),
        ("json", {"b": [1]}, {"b": [2]}),
        ("timestamp", "2026-11-20T01:15:00+09:00", "2026-11-20T01:15:00Z"),
        ("date", "2026-11-20T01:15:00Z", "2026-11-21"),
        ("numeric(6, 2)", 1.005, 2),
        ("real", 0.123456789, 2),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12"),
        ("char(5)", "ab", "b"),
        ("boolean", "t", False),
        ("interval", "26 hours", "1 day"),
    ],
)
def test_a_row_is_the_one_of_its_record_whatever_the_type_of_its_column(
    postgres_alias: str, kind: str, value: Any, other: Any
) -> None:
    sources = {**SOURCES, "topic": "kafka.topic", "part": "kafka.partition"}
    table = Table(postgres_alias, sources=sources)
    with transaction(postgres_alias) as connection:
        change(
            connection, f"ALTER TABLE {table.name} ALTER amount TYPE {kind} USING NULL, ADD topic text, ADD part int"
        )
        columns = find_columns(connection, table.name, sources, ())
    store(table.owner(), batch(0, 1, lambda _: value))

    def found(value: Any) -> list[str]:
        place = ("topic", "part", "number")
        comparison = RowComparison(postgres_alias, columns, place, check_for("json"), PARTITION, (), lambda: False)
        return [finding.detail for finding in comparison.findings(batch(0, 1, lambda _: value).records)]

    assert found(value) == []
    assert found(other) == ["the column amount is not what Kafka has"]


@pytest.mark.integration
def test_a_table_that_another_process_makes_at_the_same_time_is_there_already(postgres_alias: str) -> None:
    name, fields = f"t_{uuid.uuid4().hex[:8]}", {"number": models.IntegerField()}

    def make_as_another() -> bool:
        try:
            with transaction(postgres_alias) as connection:
                return make(connection, name, fields, ())
        finally:
            connections[postgres_alias].close()

    with ThreadPoolExecutor(1) as other:
        with transaction(postgres_alias) as connection:
            assert make(connection, name, fields, ())
            made = other.submit(make_as_another)
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            wait_until(lambda: select(connection, waiting)[0][0] == 1, what="the other one to wait")
        assert made.result(10) is False


@pytest.mark.integration
def test_keys_that_only_the_database_takes_for_the_same_keep_the_newest_record(postgres_alias: str) -> None:
    table = Table(postgres_alias, key=["amount"])
    with transaction(postgres_alias) as connection:
        change(connection, f"ALTER TABLE {table.name} ALTER amount TYPE numeric")
    assert stored(table, 1, "1.0", 2) == ([], [1, 2])
    assert table.numbers == Counter([1, 2])


@pytest.mark.integration
def test_rows_are_not_sent_by_copy_for_whose_end_the_database_would_wait_for_ever(postgres_alias: str) -> None:
    table = Table(postgres_alias)
    with patch("psycopg.Cursor.copy", side_effect=AssertionError):
        store(table.owner(), batch(0, 5))
    assert table.numbers == Counter(range(5))


LIVED, DIED, FENCED = 0, 9, 3


def in_a_process(table: Table, work: Callable[[], None], *, dies_at: int, after: bool) -> int:
    """Does work in a process of its own, which dies at one of its steps; tells what became of it.

    dies_at: the number of the step: a statement, or the end of a transaction; after: it dies after the step.
    """
    connections[table.alias].close()
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    gc.disable()  # what other tests have left may be Kafka's clients, whose threads are not here: closing them crashes
    code = 1
    try:
        code = _work_until(table, work, dies_at, after=after)
    except BaseException:  # noqa: BLE001 - a test process must not go on as a second pytest
        traceback.print_exc()
    finally:
        os._exit(code)


def _work_until(table: Table, work: Callable[[], None], dies_at: int, *, after: bool) -> int:
    steps = itertools.count(1)

    def step(go_on: Callable[[], Any]) -> Any:
        is_last = next(steps) == dies_at
        if is_last and not after:
            os._exit(DIED)
        try:
            return go_on()
        finally:
            if is_last:
                os._exit(DIED)

    connection = connections[table.alias]
    wrapper: Any = type(connection)
    commit, insert = wrapper._commit, database_rows.Columns._insert
    with (
        patch.object(wrapper, "_commit", lambda self: step(lambda: commit(self))),
        patch.object(database_rows.Columns, "_insert", lambda *given: step(lambda: insert(*given))),
        connection.execute_wrapper(lambda go_on, *statement: step(lambda: go_on(*statement))),
    ):
        try:
            work()
        except Fenced:
            return FENCED
    return LIVED


def bad(number: int) -> Any:
    return "bad" if number % 7 == 3 else number


class Letters:
    """The dead letters that were delivered, in whichever process."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.touch()

    def deliver(self, rejected: Sequence[Rejected]) -> None:
        with self._file.open("a") as file:
            file.writelines(f"{letter.record.offset}\n" for letter in rejected)

    @property
    def offsets(self) -> set[int]:
        return set(map(int, self._file.read_text().split()))


def store_until(end: int, table: Table, letters: Letters) -> None:
    owner = table.owner()
    for begin in range(owner.resume_at or 0, end, 5):
        letters.deliver(store(owner, batch(begin, min(end, begin + 5), bad)))
    run(owner.rest(leaving=True))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_any_step_each_record_is_a_row_or_a_letter(alias: str, tmp_path: Path, after: bool) -> None:
    for step in itertools.count(1, 2):  # to die before a step is to die after the one before it
        table, letters = Table(alias), Letters(tmp_path / f"{step}")
        outcome = in_a_process(table, lambda: store_until(14, table, letters), dies_at=step, after=after)  # noqa: B023
        store_until(14, table, letters)
        assert table.numbers == Counter(n for n in range(14) if bad(n) == n), f"step {step}"
        assert letters.offsets == {n for n in range(14) if bad(n) != n}, f"step {step}"
        if outcome == LIVED:
            break
        assert outcome == DIED
    assert step > 30


@pytest.mark.parametrize("seed", range(4))
def test_owners_that_take_turns_and_die_store_each_record_once(table: Table, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    letters = Letters(tmp_path / "letters")
    owners: dict[DatabasePartition, int] = {}
    end, outcomes = 150, Counter[int]()
    for _ in range(60):
        if not owners or rng.random() < 0.2:
            owner = table.owner()
            owners[owner] = owner.resume_at or 0
        owner, begin = rng.choice(list(owners.items()))
        upper = min(end, begin + rng.randint(1, 20))
        if upper == begin:
            continue

        def work(owner: DatabasePartition = owner, begin: int = begin, upper: int = upper) -> None:
            letters.deliver(store(owner, batch(begin, upper, bad)))

        if rng.random() < 0.3:
            outcomes[in_a_process(table, work, dies_at=rng.randint(1, 40), after=rng.random() < 0.5)] += 1
            del owners[owner]
            continue
        try:
            work()
            owners[owner] = upper
        except Fenced:
            del owners[owner]
    assert outcomes.keys() <= {LIVED, DIED, FENCED}
    store_until(end, table, letters)
    assert table.numbers == Counter(n for n in range(end) if bad(n) == n)
    assert letters.offsets == {n for n in range(end) if bad(n) != n}
