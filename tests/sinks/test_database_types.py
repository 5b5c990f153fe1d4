"""What a value becomes in a column of PostgreSQL or MariaDB, what each refuses, and how rows are deleted."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import connections, models
from django.db.transaction import atomic

from devstack.server import Server
from events.schema import check_for
from settings.env import _database
from sinks.database.config import DatabaseTarget
from sinks.database.connection import change, select, transaction
from sinks.database.dialects import dialect_of
from sinks.database.offsets import TABLE, make, make_table
from sinks.database.rows import find_columns
from sinks.database.verify import RowComparison
from sinks.records import Batch, Columns
from tests.databases import database_at
from tests.sinks.database_table import PARTITION, SOURCES, TIME, Table, batch, store, stored
from worker.errors import Fatal, Retriable

pytestmark = pytest.mark.integration


@contextmanager
def prepared(server: Server, blocker: Any) -> Iterator[str]:
    """A database with a table of offsets."""
    with blocker.unblock(), database_at(_database("DATABASES", server.address)) as alias:
        with transaction(alias) as connection:
            make_table(connection)
        yield alias


@pytest.fixture
def postgres_alias(postgres: Server, django_db_blocker: Any) -> Iterator[str]:
    with prepared(postgres, django_db_blocker) as alias:
        yield alias


@pytest.fixture
def mariadb_alias(mariadb: Server, django_db_blocker: Any) -> Iterator[str]:
    with prepared(mariadb, django_db_blocker) as alias:
        yield alias


@pytest.fixture(params=["postgres", "mariadb"])
def alias(request: pytest.FixtureRequest) -> str:
    """Each of the two."""
    found: str = request.getfixturevalue(f"{request.param}_alias")
    return found


def table_of(alias: str, kind: str, **options: Any) -> Table:
    """A table whose column `amount` has a type."""
    table = Table(alias, **options)
    with transaction(alias) as connection:
        if connection.vendor == "postgresql":
            sql = f"ALTER TABLE {table.name} ALTER amount TYPE {kind} USING NULL, ALTER amount DROP NOT NULL"
        else:
            sql = f"ALTER TABLE {table.name} MODIFY amount {kind} NULL"
        change(connection, sql)
    return table


EXACT = Decimal("12345678901234567890.123456789012345678")


@pytest.mark.parametrize(
    ("kind", "value", "amount"),
    [
        ("decimal(40, 18)", "12345678901234567890.123456789012345678", EXACT),
        ("decimal(40, 18)", 7, Decimal(7)),
        ("text", "[1.5, null, true]", "[1.5,null,true]"),
        ("text", '"하나 😀 \\\\ \' \\" \\n;--"', "하나 😀 \\ ' \" \n;--"),
        ("double precision", "1.5e300", 1.5e300),
        ("date", "20261120", date(2026, 11, 20)),
    ],
)
def test_a_value_is_stored_with_all_that_it_says(alias: str, kind: str, value: Any, amount: Any) -> None:
    table = table_of(alias, kind)
    records = Batch(PARTITION, 0, TIME, opened_at=0.0)
    records.add(Columns([0, 1], [b'{"amount": %s}' % str(value).encode(), b'{"amount": null}'], [TIME] * 2), {})
    assert store(table.owner(), records) == []
    assert table.rows("amount") == [(amount,), (None,)]


@pytest.mark.parametrize(
    ("kind", "values", "refused", "amounts"),
    [
        ("varchar(3)", ["abcd", "abc"], [0], ["abc"]),
        ("smallint", [70000, 7], [0], [7]),
        ("smallint", [1.5, "1.5", "x", 2**70, {"a": 1}, 7], [0, 1, 2, 3, 4], [7]),
        ("date", ["2026-02-31", "2026-02-28"], [0], [date(2026, 2, 28)]),
        ("date", [{"a": 1}, [1], "2026-02-28"], [0, 1], [date(2026, 2, 28)]),
        ("timestamp", [{"a": 1}, [], "2026-02-28T10:00:00Z"], [0, 1], [datetime(2026, 2, 28, 10)]),  # noqa: DTZ001
        ("decimal(4, 2)", [100, 99], [0], [Decimal(99)]),
        ("double precision", ["x", 0.5], [0], [0.5]),
    ],
)
def test_a_value_that_does_not_fit_is_refused_and_never_cut_or_rounded(
    alias: str, kind: str, values: list[Any], refused: list[int], amounts: list[Any]
) -> None:
    assert stored(table_of(alias, kind), *values) == (refused, amounts)


@pytest.mark.parametrize(
    ("kind", "values", "refused", "amounts"),
    [
        ("bigint unsigned", [2**64 - 1, -1], [1], [2**64 - 1]),
        ("boolean", [True, False, 1], [], [1, 0, 1]),
        ("int", [True, 7.0], [0], [7]),
        ("json", ["a", {"b": [1.25]}], [], ['"a"', '{"b":[1.25]}']),
        ("datetime(3)", ["2026-11-20T01:15:00.125+09:00"], [], [datetime(2026, 11, 19, 16, 15, 0, 125_000)]),  # noqa: DTZ001
        ("timestamp", ["2026-11-20T01:15:00+09:00"], [], [datetime(2026, 11, 19, 16, 15)]),  # noqa: DTZ001
        ("enum('a', 'b')", ["b", "c"], [1], ["b"]),
        ("varchar(9) CHARACTER SET latin1", ["é", "하나"], [1], ["é"]),
        ("int NULL CHECK (amount < 5), MODIFY color text", [4, 5], [1], [4]),
        ("int UNIQUE", [4, 4], [1], [4]),
        ("varchar(9) NULL CHECK (amount <> 'x'), MODIFY color text", ["abc", "x"], [1], ["abc"]),
    ],
)
def test_mariadb_takes_what_its_types_hold(
    mariadb_alias: str, kind: str, values: list[Any], refused: list[int], amounts: list[Any]
) -> None:
    assert stored(table_of(mariadb_alias, kind), *values) == (refused, amounts)


@pytest.mark.parametrize(
    ("kind", "values", "refused", "amounts"),
    [
        ("short", ["abcd", "abc"], [0], ["abc"]),
        ("shorter", ["abcd", "abc", "ab"], [0, 1], ["ab"]),
        ("varchar(3)[]", [["abcd"], ["abc"]], [0], [["abc"]]),
        ("char(5)", ["abcdef", "ab"], [0], ["ab   "]),
        ("integer[]", [[1, 2, None], [], "{3}", [1.5]], [3], [[1, 2, None], [], [3]]),
        ("text[]", [["a", 'b"\\,{}', None, "NULL", ""]], [], [["a", 'b"\\,{}', None, "NULL", ""]]),
        ("integer[]", [[[1, 2], [3, 4]], [[1], [2, 3]]], [1], [[[1, 2], [3, 4]]]),
        ("jsonb[]", [[{"a": "b"}]], [], [['{"a": "b"}']]),
        ("boolean[]", [[True, False]], [], [[True, False]]),
    ],
)
def test_arrays_and_types_of_ones_own_take_what_fits_alone(
    postgres_alias: str, kind: str, values: list[Any], refused: list[int], amounts: list[Any]
) -> None:
    with transaction(postgres_alias) as connection:
        domains = {"short": "varchar(3)", "shorter": "short CHECK (length(VALUE) < 3)"}
        for name, of in domains.items():
            if not select(connection, "SELECT to_regtype(%s)", [name])[0][0]:
                change(connection, f"CREATE DOMAIN {name} AS {of}")
    assert stored(table_of(postgres_alias, kind), *values) == (refused, amounts)


def test_mariadb_refuses_what_does_not_fit_where_the_server_itself_would_cut_it(mariadb_alias: str) -> None:
    with transaction(mariadb_alias) as connection:
        change(connection, "SET GLOBAL sql_mode = ''")
    connections[mariadb_alias].close()
    connections[mariadb_alias].settings_dict["OPTIONS"].pop("init_command")
    try:
        assert stored(table_of(mariadb_alias, "varchar(3)"), "abcd", "abc") == ([0], ["abc"])
    finally:
        with transaction(mariadb_alias) as connection:
            change(connection, "SET GLOBAL sql_mode = DEFAULT")


def test_a_row_that_is_larger_than_mariadb_takes_is_refused_alone(mariadb_alias: str) -> None:
    with transaction(mariadb_alias) as connection:
        change(connection, "SET GLOBAL max_allowed_packet = 1048576")
    connections[mariadb_alias].close()
    try:
        table = table_of(mariadb_alias, "longtext")
        rejected = store(table.owner(), batch(0, 4, lambda n: "x" * (2_000_000 if n == 1 else 700_000)))
        assert [(letter.record.offset, letter.reason.partition(":")[0]) for letter in rejected] == [(1, "too large")]
        assert sorted(table.numbers) == [0, 2, 3]
    finally:
        with transaction(mariadb_alias) as connection:
            change(connection, "SET GLOBAL max_allowed_packet = DEFAULT")


def test_a_signal_of_a_trigger_refuses_its_row_alone(mariadb_alias: str) -> None:
    table = table_of(mariadb_alias, "text")
    with transaction(mariadb_alias) as connection:
        change(
            connection,
            f"CREATE TRIGGER {table.name}_t BEFORE INSERT ON {table.name} FOR EACH ROW "
            "IF NEW.amount = 'y' THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no y'; END IF",
        )
    [letter] = store(table.owner(), batch(0, 3, lambda n: "xyz"[n]))
    assert (letter.record.offset, letter.reason) == (1, "error 1644: no y")


def test_keys_that_differ_in_case_or_spaces_are_two_rows_of_a_table_that_we_made(alias: str) -> None:
    name, texts = f"t_{uuid.uuid4().hex[:8]}", ["a", "A", "a ", "á"]
    with transaction(alias) as connection:
        assert make(connection, name, {"name": models.CharField(max_length=249)}, ["name"])
        for text in texts:
            change(connection, f"INSERT INTO {name} VALUES (%s)", [text])
        assert select(connection, f"SELECT count(*) FROM {name} WHERE name = 'a'") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("ALTER TABLE {0} ENGINE = MyISAM", "engine is MyISAM, which knows no transactions"),
        ("DROP INDEX {0}_key ON {0}", "no unique index of exactly the columns of `key`: color"),
        ("CREATE UNIQUE INDEX u ON {0} (amount)", "a further unique index, of amount"),
    ],
)
def test_a_table_whose_rows_mariadb_would_lose_or_mix_up_is_refused(
    mariadb_alias: str, statement: str, text: str
) -> None:
    table = Table(mariadb_alias, key=["color"])
    with transaction(mariadb_alias) as connection:
        change(connection, statement.format(table.name))
    with transaction(mariadb_alias) as connection, pytest.raises(Fatal, match=text):
        find_columns(connection, table.name, SOURCES, ["color"])


def test_a_table_with_a_number_of_its_own_for_each_row_keeps_the_newest_of_a_key(mariadb_alias: str) -> None:
    table = Table(mariadb_alias, key=["color"])
    with transaction(mariadb_alias) as connection:
        change(
            connection, f"ALTER TABLE {table.name} ADD id int AUTO_INCREMENT PRIMARY KEY, ADD UNIQUE (color, amount)"
        )
    store(table.owner(), batch(0, 3))
    again = batch(3, 4)
    again.runs.clear()
    again.add(Columns([3], [json.dumps({"color": "color 1", "amount": 9}).encode()], [TIME]), {})
    store(table.owner(), again)
    assert dict(table.rows("color, amount")) == {"color 0": 0, "color 1": 9, "color 2": 2}


def of_view(table: Table, view: str) -> None:
    """The table is filled through a view with two of its columns."""
    with transaction(table.alias) as connection:
        change(connection, f"CREATE VIEW {table.name}_v AS {view.format(table.name)}")
    sources = {name: SOURCES[name] for name in ("color", "amount")}
    table.target = DatabaseTarget(table=f"{table.name}_v", database=table.alias, columns=sources)


def test_a_view_is_a_target_where_the_database_lets_rows_in(alias: str) -> None:
    table = table_of(alias, "integer")
    of_view(table, "SELECT color, amount FROM {0}")
    assert store(table.owner(), batch(0, 3)) == []
    assert sorted(table.rows("color, amount")) == [(f"color {n}", n) for n in range(3)]


def test_a_view_that_takes_no_rows_stops_the_sink_with_a_reason(alias: str) -> None:
    table = Table(alias)
    of_view(table, "SELECT color, count(*) AS amount FROM {0} GROUP BY 1")
    with pytest.raises(Fatal, match=r"a view that takes no rows|error 1471: The target table .* is not insertable"):
        store(table.owner(), batch(0, 3))


@pytest.mark.parametrize("table_kind", ["UNLOGGED", "TEMPORARY"])
def test_a_table_that_a_crash_empties_is_refused(postgres_alias: str, table_kind: str) -> None:
    with transaction(postgres_alias) as connection:
        change(connection, f"DROP TABLE IF EXISTS forgetful; CREATE {table_kind} TABLE forgetful (number bigint)")
    with (
        transaction(postgres_alias) as connection,
        pytest.raises(Fatal, match="lose its rows when the database crashes"),
    ):
        find_columns(connection, "forgetful", {"number": "kafka.offset"}, [])


def keyed_records(first: int, *records: tuple[str | None, int | None]) -> Batch:
    """Records with these keys and amounts; without an amount they have no value."""
    found = Batch(PARTITION, first, TIME, opened_at=0.0)
    values = [None if amount is None else json.dumps({"amount": amount}).encode() for _, amount in records]
    keys = [None if key is None else key.encode() for key, _ in records]
    found.add(Columns(range(first, first + len(records)), values, [TIME] * len(records), keys), {})
    return found


def deleting(alias: str, column: str = "kafka.key") -> Table:
    """A table whose rows are deleted by records without a value."""
    sources = {"number": "kafka.offset", "color": column, "amount": "amount"}
    table = Table(alias, key=["color"], sources=sources)
    table.target = DatabaseTarget(
        table=table.name, database=alias, columns=sources, key=("color",), tombstones="delete"
    )
    return table


def test_a_record_without_a_value_deletes_the_row_of_its_key_and_only_what_was_before_it(alias: str) -> None:
    table = deleting(alias)
    records = keyed_records(
        0, ("a", 1), ("b", 2), ("a", None), ("c", 3), ("b", None), ("b", 5), ("no such", None), ("d", 8), ("d", None)
    )
    assert store(table.owner(), records) == []
    assert dict(table.rows("color, amount")) == {"b": 5, "c": 3}


def test_a_record_with_neither_key_nor_value_is_a_dead_letter(alias: str) -> None:
    table = deleting(alias)
    rejected = store(table.owner(), keyed_records(0, ("a", 1), (None, None), ("b", 2)))
    assert [letter.record.offset for letter in rejected] == [1]
    assert "its key does not say which row to delete" in rejected[0].reason
    assert dict(table.rows("color, amount")) == {"a": 1, "b": 2}


def test_a_field_of_a_key_that_is_json_says_which_row_is_deleted(alias: str) -> None:
    table = deleting(alias, "kafka.key.id")
    store(table.owner(), keyed_records(0, ('{"id": "x"}', 1), ('{"id": "y"}', 2), ('{"id": "x"}', None)))
    assert dict(table.rows("color, amount")) == {"y": 2}


def test_a_key_that_is_no_value_of_its_column_makes_a_letter_of_its_record_alone(postgres_alias: str) -> None:
    table = deleting(postgres_alias, "kafka.key.id")
    with transaction(postgres_alias) as connection:
        change(connection, f"ALTER TABLE {table.name} ALTER color TYPE integer USING NULL")
    records = keyed_records(0, ('{"id": 1}', 1), ('{"id": 2}', 2), ('{"id": true}', None), ('{"id": 1}', None))
    assert [letter.record.offset for letter in store(table.owner(), records)] == [2]
    assert dict(table.rows("color, amount")) == {2: 2}


def test_a_whole_record_in_a_column_of_json_is_the_object_that_it_is(alias: str) -> None:
    table = table_of(alias, "json", sources={"number": "kafka.offset", "amount": "kafka.value"})
    assert store(table.owner(), batch(0, 1, lambda _: 1.10)) == []
    [(found,)] = table.rows("amount")
    is_text = connections[alias].vendor == "mysql"
    assert (json.loads(found) if is_text else found) == {"color": "color 0", "amount": 1.10}


def test_a_number_that_no_database_holds_makes_a_letter_of_its_record_alone(alias: str) -> None:
    table = Table(alias)
    records = Batch(PARTITION, 0, TIME, opened_at=0.0)
    records.add(Columns([0, 1, 2], [b'{"amount": 1e999}', b'{"amount": 5}', b'{"amount": 6}'], [TIME] * 3), {})
    assert [letter.record.offset for letter in store(table.owner(), records)] == [0]
    assert table.rows("amount") == [(5,), (6,)]


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [
        ("json", {"b": [1.5]}, {"b": [2]}),
        ("datetime(3)", "2026-11-20T01:15:00.125+09:00", "2026-11-20T01:15:00Z"),
        ("datetime", "2026-11-20T01:15:00.125+09:00", "2026-11-20T01:15:00Z"),
        ("date", "2026-11-20T01:15:00Z", "2026-11-21"),
        ("time", "01:15:00.5", "01:16:00"),
        ("decimal(6, 2)", 1.005, 2),
        ("decimal(40, 18)", "12345678901234567890.123456789012345678", "12345678901234567890.123456789012345679"),
        ("float", 0.123456789, 2),
        ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12"),
        ("char(5)", "ab ", "b"),
        ("boolean", True, False),
        ("bigint unsigned", 2**64 - 1, 2**64 - 2),
    ],
)
def test_a_row_of_mariadb_is_the_one_of_its_record_whatever_the_type_of_its_column(
    mariadb_alias: str, kind: str, value: Any, other: Any
) -> None:
    sources = {**SOURCES, "topic": "kafka.topic", "part": "kafka.partition"}
    table = Table(mariadb_alias)
    with transaction(mariadb_alias) as connection:
        change(
            connection,
            f"ALTER TABLE {table.name} DROP amount, ADD amount {kind} NULL, ADD topic varchar(9), ADD part int",
        )
    table.target = DatabaseTarget(table=table.name, database=mariadb_alias, columns=sources)
    with transaction(mariadb_alias) as connection:
        columns = find_columns(connection, table.name, sources, ())
    assert store(table.owner(), batch(0, 1, lambda _: value)) == []

    def found(value: Any) -> list[str]:
        place = ("topic", "part", "number")
        comparison = RowComparison(mariadb_alias, columns, place, check_for("json"), PARTITION, (), lambda: False)
        return [finding.detail for finding in comparison.findings(batch(0, 1, lambda _: value).records)]

    assert found(value) == []
    assert found(other) == ["the column amount is not what Kafka has"]


def test_a_connection_that_the_server_ends_is_made_again(mariadb_alias: str) -> None:
    table = Table(mariadb_alias)
    owner = table.owner()
    with pytest.raises(Retriable), transaction(mariadb_alias) as connection:
        select(connection, "KILL CONNECTION_ID()")
    store(owner, batch(0, 3))
    assert len(table.numbers) == 3


def test_a_partitions_row_that_another_session_holds_is_asked_for_again(
    alias: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(alias)
    owner = table.owner()
    dialect = dialect_of(connections[alias])
    begin = dialect.begin.replace("lock_timeout = '5s'", "lock_timeout = '1s'").replace("timeout = 5", "timeout = 1")
    monkeypatch.setattr(type(dialect), "begin", begin)
    connections.settings["other"] = dict(connections[alias].settings_dict)
    try:
        with atomic(using="other"):
            select(connections["other"], f"SELECT owner FROM {TABLE} WHERE sink = %s FOR UPDATE", [table.sink])
            with pytest.raises(Retriable), transaction(alias) as connection:
                owner._ownership.lock(connection)
    finally:
        connections["other"].close()
        del connections["other"], connections.settings["other"]
    assert store(owner, batch(0, 3)) == []
