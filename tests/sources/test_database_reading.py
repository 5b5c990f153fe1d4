"""How tables of a real PostgreSQL and MariaDB are read: in each mode, with transactions that are open meanwhile."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sources.database.kind import DatabaseKind
from tests.sources.tables import TestDatabase, reading, run
from tests.support import wait_until
from worker.errors import Fatal, Retriable

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("database-sources")]

INCREMENTING = {"mode": "incrementing", "incrementing_column": "seq", "tables": ["goods"]}
TIMESTAMP = {"mode": "timestamp", "timestamp_column": "changed", "tables": ["goods"], "clock_seconds": 1}


def make_goods(database: TestDatabase, *columns: str) -> None:
    rest = "".join(f", {column}" for column in columns)
    database.run(f"CREATE TABLE goods (seq {database.number} PRIMARY KEY, name text{rest})")


def insert(database: TestDatabase, *names: str) -> None:
    database.run("INSERT INTO goods (name) VALUES " + ", ".join(f"('{name}')" for name in names))


@contextmanager
def open_transaction(database: TestDatabase, *statements: str) -> Iterator[Any]:
    """A connection whose transaction has run the statements and has not ended."""
    connection = database.connect()
    try:
        run(connection, "BEGIN", *statements)
        yield connection
    finally:
        connection.close()


def memory() -> int:
    """The bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def names(rows: list[Any]) -> list[str]:
    return [row["name"] for row in rows]


# --- incrementing


def test_rows_are_records_in_the_order_of_their_numbers(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, "a", "b")
    with reading(database.source(**INCREMENTING, key=["seq"])) as goods:
        assert goods.read() == [{"seq": 1, "name": "a"}, {"seq": 2, "name": "b"}]
        assert goods.keys == [b"1", b"2"]
        insert(database, "c")
        assert names(goods.read()) == ["c"]
        goods.close()
        assert goods.read() == []


def test_a_row_that_commits_after_one_with_a_higher_number_is_read(database: TestDatabase) -> None:
    make_goods(database)
    with (
        open_transaction(database, "INSERT INTO goods (name) VALUES ('late')") as writer,
        reading(database.source(**INCREMENTING)) as goods,
    ):
        insert(database, "early")
        for _ in range(3):
            goods.read()
            goods.close()  # a source that begins anew knows the gap, too
        assert names(goods.sent) == ["early"]
        run(writer, "COMMIT")
        assert names(goods.read()) == ["late"]
        goods.read()
        assert goods.position == {"seen": 2, "gaps": []}
        assert names(goods.sent) == ["early", "late"]


def test_the_number_of_a_row_that_was_rolled_back_is_given_up(database: TestDatabase) -> None:
    make_goods(database)
    with (
        open_transaction(database, "INSERT INTO goods (name) VALUES ('never')") as writer,
        reading(database.source(**INCREMENTING)) as goods,
    ):
        insert(database, "early")
        goods.read()
        goods.read()
        assert goods.position and goods.position["gaps"]
        run(writer, "ROLLBACK")
        wait_until(lambda: goods.read() == [] and goods.position["gaps"] == [], what="the end of the gap")
        assert names(goods.sent) == ["early"]


def test_while_too_many_gaps_are_open_new_rows_wait(database: TestDatabase) -> None:
    make_goods(database)
    with (
        open_transaction(database, "INSERT INTO goods (name) VALUES ('late')") as writer,
        reading(database.source(**INCREMENTING, max_gaps=3)) as goods,
    ):
        for number in range(10):
            insert(database, f"early {number}")
            with open_transaction(database, "INSERT INTO goods (name) VALUES ('never')") as failing:
                run(failing, "ROLLBACK")
        goods.read()
        assert len(goods.position["gaps"]) == 3
        assert len(goods.sent) < 10
        run(writer, "COMMIT")
        wait_until(lambda: goods.read() is not None and len(goods.sent) == 11, what="all rows")
        assert sorted(set(names(goods.sent))) == sorted(names(goods.sent))


def test_a_history_full_of_deleted_rows_leaves_no_gaps(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, *map(str, range(1000)))
    database.run("DELETE FROM goods WHERE seq % 3 > 0")
    with reading(database.source(**INCREMENTING, max_gaps=5, options={"batch_records": 50})) as goods:
        assert len(goods.read()) == 333
        assert goods.position["gaps"] == []


def test_200_000_rows_are_read_in_bounded_memory(database: TestDatabase) -> None:
    make_goods(database)
    numbers = "generate_series(1, 200000)" if database.is_postgres else "seq_1_to_200000"
    database.run(f"INSERT INTO goods (name) SELECT 'some text that makes the row a little longer' FROM {numbers}")
    options = {"batch_records": 10_000, "batch_bytes": 256 * 1024}
    reader = DatabaseKind().reader(database.source(**INCREMENTING, options=options), "goods")
    reader.open(None)
    count = 0
    before = most = memory()
    while chunk := reader.read():
        assert sum(len(record.value or b"") for record in chunk.records) < 300 * 1024
        count += len(chunk.records)
        most = max(most, memory())
    reader.close()
    assert most - before < 30 * 1024 * 1024
    assert count == 200_000


def test_rows_that_are_suddenly_large_are_read_few_at_a_time(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, *["small"] * 500, *["x" * 20_000] * 30)
    with reading(database.source(**INCREMENTING, options={"batch_bytes": 50_000})) as goods:
        sizes = []
        while goods.read_chunk():
            sizes.append(len(goods.sent) - sum(sizes))
        assert len(goods.sent) == 530
        assert max(sizes[-8:]) <= 3


# --- timestamp


def test_each_change_of_a_row_is_read_once(database: TestDatabase) -> None:
    make_goods(database, f"changed {database.time} NOT NULL DEFAULT CURRENT_TIMESTAMP")
    insert(database, "a", "b")
    with reading(database.source(**TIMESTAMP)) as goods:
        assert sorted(names(goods.read())) == ["a", "b"]
        database.run("UPDATE goods SET name = 'changed', changed = CURRENT_TIMESTAMP WHERE seq = 1")
        assert names(goods.read()) == ["changed"]
        goods.close()
        assert goods.read() == []
        wait_until(lambda: goods.read() == [] and _is_passed(goods), what="all rows to be passed for good")
        assert len(goods.sent) == 3


def _is_passed(goods: Any) -> bool:
    reader = goods._reader._reader
    return not reader._sent


def test_a_row_of_a_transaction_that_commits_late_is_read_by_its_time(database: TestDatabase) -> None:
    make_goods(database, f"changed {database.time} NOT NULL DEFAULT CURRENT_TIMESTAMP")
    with (
        open_transaction(database, "INSERT INTO goods (name) VALUES ('late')") as writer,
        reading(database.source(**TIMESTAMP)) as goods,
    ):
        deadline = time.monotonic() + 2.5  # much longer than clock_seconds
        number = 0
        while time.monotonic() < deadline:
            insert(database, str(number := number + 1))
            goods.read()
        run(writer, "COMMIT")
        assert names(goods.read()) == ["late"]
        assert len(goods.sent) == number + 1


def test_rows_of_one_time_are_read_over_the_ends_of_batches(database: TestDatabase) -> None:
    make_goods(database, f"changed {database.time} NOT NULL")
    database.run(
        "INSERT INTO goods (name, changed) VALUES "
        + ", ".join(f"('{number}', '2026-01-01 10:00:00')" for number in range(100))
    )
    mode = {"mode": "timestamp+incrementing", "incrementing_column": "seq"}
    with reading(database.source(**{**TIMESTAMP, **mode}, max_young=10, options={"batch_records": 7})) as goods:
        wait_until(lambda: goods.read() == [] and len(goods.sent) >= 100, what="all rows")
        assert names(goods.sent) == [str(number) for number in range(100)]


def test_times_without_a_zone_need_the_name_of_one(database: TestDatabase) -> None:
    kind = "timestamp" if database.is_postgres else "datetime(6)"
    make_goods(database, f"changed {kind} NOT NULL")
    seoul = "now() AT TIME ZONE 'Asia/Seoul'" if database.is_postgres else "UTC_TIMESTAMP(6) + INTERVAL 9 HOUR"
    with reading(database.source(**TIMESTAMP)) as goods, pytest.raises(Fatal, match=r"target\.time_zone"):
        goods.read()
    database.run(f"INSERT INTO goods (name, changed) VALUES ('a', {seoul})")
    with reading(database.source(**TIMESTAMP, time_zone="Asia/Seoul")) as goods:
        assert names(goods.read()) == ["a"]
        wait_until(lambda: goods.read() == [] and _is_passed(goods), what="the row to be passed for good")


# --- bulk, queries, several tables


def test_bulk_reads_all_rows_each_time_and_goes_on_where_it_was_interrupted(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, *"abcdefg")
    with reading(database.source(mode="bulk", tables=["goods"], options={"batch_records": 3})) as goods:
        assert goods.read_chunk()
        goods.close()
        goods.read()
        assert names(goods.sent) == list("abcdefg")
        assert names(goods.read()) == list("abcdefg")


def test_a_query_is_read_like_a_table(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, "ab%", "xy", "abc")
    query = "SELECT seq, name AS title FROM goods WHERE name LIKE 'ab%'"
    source = database.source(mode="incrementing", incrementing_column="seq", query=query, topic="found")
    with reading(source, "query") as found:
        assert found.read() == [{"seq": 1, "title": "ab%"}, {"seq": 3, "title": "abc"}]


def test_tables_are_taken_by_patterns_and_a_new_one_is_found(database: TestDatabase) -> None:
    database.run("DROP TABLE IF EXISTS shop_a", "DROP TABLE IF EXISTS shop_b", "DROP TABLE IF EXISTS shop_tmp")
    database.run("CREATE TABLE shop_a (n bigint PRIMARY KEY)", "CREATE TABLE shop_tmp (n bigint PRIMARY KEY)")
    kind = DatabaseKind()
    source = database.source(mode="bulk", tables=["shop_*", "named"], exclude=["*_tmp"])
    assert set(kind.parts(source)) == {"named", "shop_a"}
    database.run("CREATE TABLE shop_b (n bigint PRIMARY KEY)")
    kind._listed.clear()
    assert set(kind.parts(source)) == {"named", "shop_a", "shop_b"}


# --- a table that changes, and one that does not fit


def test_columns_that_come_and_go_are_followed(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, "a")
    with reading(database.source(**INCREMENTING)) as goods:
        goods.read()
        database.run("ALTER TABLE goods ADD COLUMN price int DEFAULT 5")
        insert(database, "b")
        assert goods.read() == [{"seq": 2, "name": "b", "price": 5}]
        database.run("ALTER TABLE goods DROP COLUMN name", "INSERT INTO goods (price) VALUES (6)")
        assert goods.read() == [{"seq": 3, "price": 6}]
        database.run("ALTER TABLE goods RENAME COLUMN seq TO number")
        with pytest.raises(Fatal, match="seq"):
            goods.read()
        goods.close()
        with pytest.raises(Fatal, match=r"no column seq; there are number, price"):
            goods.read()


def test_a_table_that_there_is_not_is_waited_for(database: TestDatabase) -> None:
    with reading(database.source(**INCREMENTING)) as goods:
        with pytest.raises(Retriable, match="goods"):
            goods.read()
        goods.close()
        make_goods(database)
        insert(database, "a")
        assert names(goods.read()) == ["a"]


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ("seq bigint NOT NULL", "not unique"),
        ("seq bigint UNIQUE", "may be NULL"),
        ("seq varchar(9) NOT NULL UNIQUE", "whole numbers"),
        ("number bigint PRIMARY KEY", "no column seq"),
    ],
)
def test_a_column_that_can_not_grow_is_told_at_start(database: TestDatabase, column: str, why: str) -> None:
    database.run(f"CREATE TABLE goods ({column}, name text)")
    with reading(database.source(**INCREMENTING)) as goods, pytest.raises(Fatal, match=why):
        goods.read()


def test_a_position_of_another_mode_is_refused(database: TestDatabase) -> None:
    make_goods(database)
    with reading(database.source(**INCREMENTING)) as goods:
        goods.position = {"after": [5]}
        with pytest.raises(Fatal, match="none of the mode incrementing"):
            goods.read()


def test_a_database_that_is_away_is_tried_again_and_one_that_refuses_is_not(database: TestDatabase) -> None:
    for address, error, text in (
        (database.url(port=1), Retriable, "127.0.0.1:1"),
        (database.url(name="nowhere"), Fatal, "nowhere"),
        (database.url(user="nobody:sec-ret"), Fatal, "nobody"),
    ):
        with reading(database.source(**INCREMENTING | {"database": address})) as goods:
            with pytest.raises(error, match=text) as raised:
                goods.read()
            assert "sec-ret" not in str(raised.value)


def test_a_database_that_comes_back_is_read_on(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, "a")
    with reading(database.source(**INCREMENTING)) as goods:
        goods.read()
        database.server.kill()
        with pytest.raises(Retriable):
            goods.read()
        goods.close()
        database.server.start()
        database.server.wait_ready()
        insert(database, "b")
        assert names(goods.read()) == ["b"]


def test_a_statement_that_takes_too_long_is_given_up(database: TestDatabase) -> None:
    make_goods(database)
    insert(database, "a")
    sleep = "pg_sleep(30)::text" if database.is_postgres else "SLEEP(30)"
    query = f"SELECT seq, {sleep} AS slept FROM goods"
    source = database.source(
        mode="incrementing", incrementing_column="seq", query=query, topic="t", statement_seconds=1
    )
    began = time.monotonic()
    with reading(source, "query") as found, pytest.raises(Retriable):
        found.read()
    assert time.monotonic() - began < 15
