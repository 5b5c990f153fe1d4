"""What becomes of the values of PostgreSQL's and MariaDB's types, and what users with few rights can read."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from kafka_client.producer import Record
from sources.config import SourceConfig
from sources.database.kind import DatabaseKind
from sources.database.verify import DatabaseVerification
from tests.sources.tables import TestDatabase, reading, run
from tests.support import wait_until
from worker.errors import Fatal, Retriable

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("database-sources")]

INCREMENTING = {"mode": "incrementing", "incrementing_column": "seq", "tables": ["goods"]}


@pytest.fixture
def on_postgres(postgres: Any, django_db_blocker: Any) -> Iterator[TestDatabase]:
    with django_db_blocker.unblock():
        found = TestDatabase(postgres)
        found.run("DROP TABLE IF EXISTS goods")
        yield found


@pytest.fixture
def on_mariadb(mariadb: Any, django_db_blocker: Any) -> Iterator[TestDatabase]:
    with django_db_blocker.unblock():
        found = TestDatabase(mariadb)
        found.run("DROP TABLE IF EXISTS goods")
        yield found


def values_of(database: TestDatabase, kinds: dict[str, tuple[str, Any]], **target: Any) -> None:
    """Each type, with a value as SQL and as JSON."""
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(kinds))
    values = ", ".join(value for value, _ in kinds.values())
    nulls = ", ".join("NULL" for _ in kinds)
    database.run(
        f"CREATE TABLE goods (seq bigint PRIMARY KEY, {columns})",
        f"INSERT INTO goods VALUES (1, {values})",
        f"INSERT INTO goods VALUES (2, {nulls})",
    )
    with reading(database.source(**INCREMENTING, **target)) as goods:
        first, second = goods.read()
    found = {kind: first[f"c{number}"] for number, kind in enumerate(kinds)}
    assert found == {kind: value for kind, (_, value) in kinds.items()}
    assert set(list(second.values())[1:]) == {None}


def test_values_of_postgresql(on_postgres: TestDatabase) -> None:
    values_of(
        on_postgres,
        {
            "boolean": ("true", True),
            "smallint": ("-5", -5),
            "bigint": ("9223372036854775807", 9223372036854775807),
            "numeric(30,4)": ("12345678901234567890.1200", "12345678901234567890.1200"),
            "numeric": ("'NaN'", "NaN"),
            "real": ("0.5", 0.5),
            "double precision": ("'Infinity'", "inf"),
            "double precision[]": ("ARRAY[0.5, 'NaN', NULL]", [0.5, "nan", None]),
            "text": ("E'\\u00e9 \"quoted\" 한글'", 'é "quoted" 한글'),
            "bytea": ("'\\x00ff'", "AP8="),
            "date": ("'2026-11-20'", "2026-11-20"),
            "date ": ("'infinity'", "infinity"),
            "time": ("'10:15:30.5'", "10:15:30.500000"),
            "time ": ("'24:00'", "24:00:00"),
            "timetz": ("'24:00+09'", "24:00:00+09"),
            "timestamp": ("'2026-11-20 10:15:30.123456'", "2026-11-20T10:15:30.123456"),
            "timestamp ": ("'-infinity'", "-infinity"),
            "timestamptz": ("'2026-11-20 10:15:30+09'", "2026-11-20T01:15:30Z"),
            "timestamptz ": ("'0044-03-15 12:00:00+00 BC'", "0044-03-15 12:00:00+00 BC"),
            "interval": ("'1 month 2 days 3 hours'", "P1M2DT3H"),
            "uuid": ("'0190a5b0-0000-7000-8000-000000000001'", "0190a5b0-0000-7000-8000-000000000001"),
            "json": ("'{\"a\": 1.10}'", {"a": 1.10}),
            "jsonb": ("'[1, null]'", [1, None]),
            "jsonb[]": ("ARRAY['{\"a\": 1}'::jsonb]", [{"a": 1}]),
            "int[]": ("'{{1,2},{3,NULL}}'", [[1, 2], [3, None]]),
            "text[]": ("ARRAY['a', NULL]", ["a", None]),
            "inet": ("'10.0.0.1/8'", "10.0.0.1/8"),
            "int4range": ("'[1,5)'", "[1,5)"),
            "bit(3)": ("B'101'", "101"),
            "money": ("12.5", "$12.50"),
            "point": ("'(1,2)'", "(1,2)"),
        },
    )


def test_values_of_mariadb(on_mariadb: TestDatabase) -> None:
    values_of(
        on_mariadb,
        {
            "boolean": ("true", True),
            "tinyint(1)": ("2", 2),
            "tinyint(4)": ("1", 1),
            "bit(1)": ("1", True),
            "bit(12)": ("b'101010101010'", 2730),
            "bigint unsigned": ("18446744073709551615", 18446744073709551615),
            "decimal(30,4)": ("12345678901234567890.1200", "12345678901234567890.1200"),
            "double": ("0.5", 0.5),
            "varchar(50) CHARACTER SET utf8mb4": ("'é \"quoted\" 한글'", 'é "quoted" 한글'),
            "longblob": ("x'00ff'", "AP8="),
            "binary(2)": ("x'00ff'", "AP8="),
            "date": ("'2026-11-20'", "2026-11-20"),
            "date /* none */": ("'0000-00-00'", None),
            "datetime /* none */": ("'0000-00-00 00:00:00'", None),
            "time(1)": ("'-100:15:30.5'", "-100:15:30.5"),
            "datetime(6)": ("'2026-11-20 10:15:30.123456'", "2026-11-20T10:15:30.123456"),
            "timestamp(3) NULL": ("'2026-11-20 10:15:30.5'", "2026-11-20T10:15:30.500000Z"),
            "year": ("2026", 2026),
            "enum('s','m')": ("'m'", "m"),
            "set('s','m')": ("'s,m'", "s,m"),
            "json": ("'{\"a\": 1.10}'", {"a": 1.10}),
            "uuid": ("'0190a5b0-0000-7000-8000-000000000001'", "0190a5b0-0000-7000-8000-000000000001"),
            "inet6": ("'::1'", "::1"),
        },
    )


def test_decimals_are_numbers_where_the_setting_says_so(database: TestDatabase) -> None:
    values_of(database, {"decimal(10,2)": ("1.50", 1.5)}, decimals="number")


def test_decimals_that_are_no_numbers_of_json_are_texts_among_numbers(on_postgres: TestDatabase) -> None:
    kinds = {
        "numeric": ("'NaN'", "NaN"),
        "numeric ": ("'-Infinity'", "-Infinity"),
        "numeric[]": ("ARRAY['NaN', 1.5, NULL]::numeric[]", ["NaN", 1.5, None]),
    }
    values_of(on_postgres, kinds, decimals="number")


def test_a_key_of_several_columns_is_an_array(database: TestDatabase) -> None:
    database.run(
        "CREATE TABLE goods (shop varchar(9), day date, note text, PRIMARY KEY (shop, day))",
        "INSERT INTO goods VALUES ('b', '2026-11-20', 'x'), ('a', '2026-11-21', 'y'), ('a', '2026-11-20', 'z')",
    )
    source = database.source(mode="bulk", tables=["goods"], key=["shop", "day"], options={"batch_records": 1})
    with reading(source) as goods:
        while goods.read_chunk():
            goods.close()
    assert [row["note"] for row in goods.sent] == ["z", "y", "x"]
    assert goods.keys[0] == b'["a","2026-11-20"]'


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("decimal(20,5)", ["1.00001", "12345678901234.00001", "12345678901234.00002"]),
        ("varchar(20)", ["'Korea'", "'korea 2'", "'x%y'"]),
        ("date", ["'2026-11-20'", "'2026-11-21'", "'2026-11-22'"]),
        ("time(6)", ["'10:00:00'", "'10:00:00.000001'", "'23:59:59'"]),
        ("timestamp(6)", ["'2026-11-20 10:00:00.000001'", "'2026-11-20 10:00:00.000002'", "'2026-11-21 10:00:00'"]),
        ("uuid", [f"'0190a5b0-0000-7000-8000-00000000000{number}'" for number in (1, 2, 3)]),
        ("BINARY", ["'00'", "'00ff'", "'ff'"]),
    ],
)
def test_keys_of_any_type_go_through_positions(database: TestDatabase, kind: str, values: list[str]) -> None:
    if kind == "BINARY":
        kind = "bytea" if database.is_postgres else "varbinary(9)"
        values = [f"'\\x{value[1:-1]}'" if database.is_postgres else f"x{value}" for value in values]
    database.run(f"CREATE TABLE goods (k {kind} NOT NULL PRIMARY KEY, n int)")
    for number, value in enumerate(values):
        database.run(f"INSERT INTO goods VALUES ({value}, {number})")
    with reading(database.source(mode="bulk", tables=["goods"], options={"batch_records": 1})) as goods:
        while goods.read_chunk():
            goods.close()
    assert [row["n"] for row in goods.sent] == [0, 1, 2]


def refused(database: TestDatabase, why: str, **target: Any) -> None:
    source = database.source(**{"tables": ["goods"], **target})
    with reading(source) as goods, pytest.raises(Fatal, match=why):
        goods.read()


@pytest.mark.parametrize("mode", ["bulk", "timestamp"])
def test_a_key_that_may_be_null_is_refused_for_nothing_comes_behind_null(database: TestDatabase, mode: str) -> None:
    database.run(f"CREATE TABLE goods (code varchar(9) UNIQUE, changed {database.time} NOT NULL)")
    column = {"timestamp_column": "changed"} if mode == "timestamp" else {}
    refused(database, "code may be NULL", mode=mode, key=["code"], **column)


def test_an_index_that_is_unique_for_some_rows_alone_makes_no_key(on_postgres: TestDatabase) -> None:
    on_postgres.run(
        "CREATE TABLE goods (seq bigint NOT NULL, gone boolean)", "CREATE UNIQUE INDEX ON goods (seq) WHERE NOT gone"
    )
    refused(on_postgres, "seq is not unique", **INCREMENTING)


def test_a_key_that_no_position_can_hold_stops_the_source_and_is_named(on_postgres: TestDatabase) -> None:
    on_postgres.run("CREATE TABLE goods (path text[] PRIMARY KEY)", "INSERT INTO goods VALUES ('{a}'), ('{b}')")
    refused(on_postgres, "table goods: a list can't be part of a key", mode="bulk", options={"batch_records": 1})


def test_an_enum_of_mariadb_that_is_sorted_otherwise_than_compared_is_read_as_a_text(on_mariadb: TestDatabase) -> None:
    on_mariadb.run(
        "CREATE TABLE goods (size ENUM('small', 'medium', 'large') PRIMARY KEY)",
        "INSERT INTO goods VALUES ('small'), ('medium'), ('large')",
    )
    refused(on_mariadb, "size is an ENUM or SET", mode="bulk")
    query = "SELECT CAST(size AS CHAR) AS size FROM goods"
    source = on_mariadb.source(mode="bulk", query=query, key=["size"], topic="t", options={"batch_records": 1})
    with reading(source, "query") as goods:
        assert [row["size"] for row in goods.read()] == ["large", "medium", "small"]


@pytest.mark.parametrize("type", ["real", "double precision"])
def test_floating_point_numbers_make_no_key_for_they_are_compared_inexactly(database: TestDatabase, type: str) -> None:
    database.run(f"CREATE TABLE goods (price {type} PRIMARY KEY)", "INSERT INTO goods VALUES (0.1), (0.2)")
    refused(database, "price is a floating-point number", mode="bulk")


# --- rights, and what the server can't tell


def make_reader(database: TestDatabase) -> str:
    """A user who may read the table goods, and nothing else; its address."""
    if database.is_postgres:
        known = database.run("SELECT 1 FROM pg_roles WHERE rolname = 'reader'")
        database.run(*(("DROP OWNED BY reader", "DROP ROLE reader") if known else ()), "CREATE ROLE reader LOGIN")
    else:
        database.run(f"DROP USER IF EXISTS {reader(database)}", f"CREATE USER {reader(database)}")
    database.run(f"GRANT SELECT ON goods TO {reader(database)}")
    return database.url(user="reader")


def reader(database: TestDatabase) -> str:
    return "reader" if database.is_postgres else "reader@'%'"


def make_goods(database: TestDatabase) -> None:
    database.run(f"CREATE TABLE goods (seq {database.number} PRIMARY KEY, name text)")


def test_a_user_of_postgresql_needs_no_right_to_see_that_a_transaction_is_open(on_postgres: TestDatabase) -> None:
    make_goods(on_postgres)
    source = on_postgres.source(**INCREMENTING | {"database": make_reader(on_postgres)})
    writer = on_postgres.connect()
    run(writer, "BEGIN", "SELECT nextval('goods_seq_seq')")
    on_postgres.run("INSERT INTO goods (name) VALUES ('early')")
    with reading(source) as goods:
        for _ in range(3):
            goods.read()
        assert goods.position["gaps"]
        run(writer, "INSERT INTO goods VALUES (1, 'late')", "COMMIT")
        assert [row["name"] for row in goods.read()] == ["late"]
    writer.close()


def test_transactions_of_another_database_of_postgresql_hold_nothing_up(on_postgres: TestDatabase) -> None:
    make_goods(on_postgres)
    on_postgres.run("DROP DATABASE IF EXISTS other", "CREATE DATABASE other")
    other = psycopg.connect(host="127.0.0.1", port=on_postgres.port, user="devstack", dbname="other", autocommit=True)
    run(other, "BEGIN", "SELECT 1")
    on_postgres.run("INSERT INTO goods VALUES (5, 'a')")
    with reading(on_postgres.source(**INCREMENTING)) as goods:
        goods.read()
        assert goods.position == {"seen": 5, "gaps": []}
    other.close()


def test_a_prepared_transaction_of_postgresql_is_waited_for(on_postgres: TestDatabase) -> None:
    on_postgres.run("ALTER SYSTEM SET max_prepared_transactions = 5")
    on_postgres.server.kill()
    on_postgres.server.start()
    on_postgres.server.wait_ready()
    make_goods(on_postgres)
    writer = on_postgres.connect()
    run(writer, "BEGIN", "INSERT INTO goods (name) VALUES ('late')")
    with reading(on_postgres.source(**INCREMENTING)) as goods:
        on_postgres.run("INSERT INTO goods (name) VALUES ('early')")
        goods.read()
        goods.read()
        run(writer, "PREPARE TRANSACTION 'one'")
        writer.close()
        for _ in range(3):
            assert goods.read() == []
        on_postgres.run("COMMIT PREPARED 'one'")
        assert [row["name"] for row in goods.read()] == ["late"]


def test_a_prepared_transaction_of_mariadb_is_waited_for(on_mariadb: TestDatabase) -> None:
    make_goods(on_mariadb)
    writer = on_mariadb.connect()
    run(writer, "XA START 'one'", "INSERT INTO goods (name) VALUES ('late')", "XA END 'one'")
    with reading(on_mariadb.source(**INCREMENTING)) as goods:
        on_mariadb.run("INSERT INTO goods (name) VALUES ('early')")
        goods.read()
        goods.read()
        run(writer, "XA PREPARE 'one'")
        writer.close()
        for _ in range(3):
            assert goods.read() == []
        on_mariadb.run("XA COMMIT 'one'")
        assert [row["name"] for row in goods.read()] == ["late"]


def test_a_user_of_mariadb_needs_process_or_the_gap_time(
    on_mariadb: TestDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    make_goods(on_mariadb)
    on_mariadb.run("ALTER TABLE goods ADD COLUMN more json DEFAULT '[1]'")
    target = INCREMENTING | {"database": make_reader(on_mariadb)}
    with reading(on_mariadb.source(**target)) as goods, pytest.raises(Fatal, match="grant it PROCESS"):
        goods.read()
    on_mariadb.run("INSERT INTO goods (seq, name) VALUES (5, 'a')")
    with reading(on_mariadb.source(**target | {"mode": "bulk"})) as goods:
        assert goods.read() == [{"seq": 5, "name": "a", "more": [1]}]
    with reading(on_mariadb.source(**target, gap_seconds=1)) as goods, caplog.at_level(logging.WARNING):
        goods.read()
        assert goods.position["gaps"]
        assert "rows of transactions that take longer than 1 s are missed" in caplog.text
        wait_until(lambda: goods.read() == [] and goods.position["gaps"] == [], what="the end of the gap time")
    on_mariadb.run("GRANT PROCESS ON *.* TO reader@'%'")
    with reading(on_mariadb.source(**target)) as goods:
        assert len(goods.read()) == 1


def test_a_table_that_the_user_may_not_read_is_waited_for(database: TestDatabase) -> None:
    make_goods(database)
    address = make_reader(database)
    database.run(f"REVOKE SELECT ON goods FROM {reader(database)}")
    with reading(database.source(**INCREMENTING | {"database": address})) as goods:
        with pytest.raises(Retriable, match="denied"):
            goods.read()
        goods.close()
        database.run(f"GRANT SELECT ON goods TO {reader(database)}")
        if not database.is_postgres:
            database.run(f"GRANT PROCESS ON *.* TO {reader(database)}")
        assert goods.read() == []


def test_numbers_that_are_drawn_early_are_told_at_start(database: TestDatabase, caplog: Any) -> None:
    if database.is_postgres:
        database.run(
            "CREATE TABLE goods (seq bigint GENERATED BY DEFAULT AS IDENTITY (CACHE 20) PRIMARY KEY, name text)",
        )
        expected = "CACHE 20"
    else:
        database.run(
            "CREATE OR REPLACE SEQUENCE numbers",
            "CREATE TABLE goods (seq bigint DEFAULT NEXTVAL(numbers) PRIMARY KEY, name text)",
        )
        expected = "drawn from a sequence"
    with caplog.at_level(logging.WARNING):
        with reading(database.source(**INCREMENTING)) as goods:
            goods.read()
        assert expected in caplog.text
        assert any(expected in line for line in DatabaseKind().prepare(database.source(**INCREMENTING)))
        caplog.clear()
        with reading(database.source(**INCREMENTING, gap_seconds=10)) as goods:
            goods.read()
        assert expected not in caplog.text


# --- verify


def verified(source: SourceConfig, reading: Any, *, without: int | None = None, twice: int | None = None) -> Any:
    found = DatabaseVerification(source, {"goods": reading.position})
    for number, value in enumerate(reading.sent):
        for _ in range((number != without) + (number == twice)):
            found.take(Record("t-goods", json.dumps(value).encode()))
    return list(found.findings()), found.counted


def test_verify_finds_what_is_missing_and_what_is_there_twice(database: TestDatabase) -> None:
    make_goods(database)
    database.run("INSERT INTO goods (name) VALUES " + ", ".join(f"('{number}')" for number in range(2500)))
    source = database.source(**INCREMENTING)
    with reading(source) as goods:
        goods.read()
    database.run("INSERT INTO goods (name) VALUES ('not read yet')", "DELETE FROM goods WHERE seq = 7")
    findings, counted = verified(source, goods)
    assert findings == []
    assert counted.startswith("2499 rows compared, 0 missing in Kafka, 0 there twice; 1 versions")
    findings, counted = verified(source, goods, without=100, twice=200)
    assert findings == ['t-goods: {"seq":101} is missing', 't-goods: {"seq":201} is there 2 times']


def test_verify_compares_versions_of_rows_that_change(database: TestDatabase) -> None:
    database.run(
        f"CREATE TABLE goods (seq {database.number} PRIMARY KEY, name text, changed {database.time} NOT NULL)",
        *[f"INSERT INTO goods (name, changed) VALUES ('{number}', '2026-01-01 10:00:00')" for number in range(50)],
    )
    source = database.source(mode="timestamp", timestamp_column="changed", tables=["goods"])
    with reading(source) as goods:
        goods.read()
        database.run("UPDATE goods SET name = 'new', changed = '2026-01-02 10:00:00' WHERE seq = 3")
        goods.close()
        goods.position = {"time": ["datetime", "2026-01-01T10:00:00+00:00"], "key": None, "sent": []}
        if not database.is_postgres:
            goods.position["time"][1] = "2026-01-01T10:00:00"
        goods.sent.clear()
        wait_until(lambda: goods.read() == [] and len(goods.sent) == 50, what="all rows")
    findings, _ = verified(source, goods)
    assert findings == []
