"""The systems of a data hub (docs/data-hub.md): a shop's PostgreSQL and a till's MariaDB, each with its sales."""

import random
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

import psycopg
import pymysql

from devstack.config import StackConfig
from devstack.ports import HOST

SHOP_PORT, TILL_PORT = 5432, 3306
"""Where the systems are when the settings say nothing else: the usual ports of PostgreSQL and MariaDB."""

USER, PASSWORD = "connectuser", "connectpass"

_ITEMS = {"apple": 120, "melon": 980, "pear": 240, "plum": 90}
_COLUMNS = "sales_time, sales_id, item_id, amount, unit_price"


class Place(NamedTuple):
    """Where sales are made. connect: given a database's name, or none for the server's own, connects."""

    database: str
    table: str
    seq: str
    time: str
    connect: Callable[[str], Any]


def shop(port: int) -> Place:
    """The shop on the web: the database `ec` in PostgreSQL."""

    def connect(database: str) -> Any:
        return psycopg.connect(host=HOST, port=port, user="devstack", dbname=database or "postgres", autocommit=True)

    return Place("ec", "ec_uriage", "bigserial PRIMARY KEY", "timestamptz", connect)


def till(port: int) -> Place:
    """The till of a shop in town: the database `pos` in MariaDB."""

    def connect(database: str) -> Any:
        return pymysql.connect(host=HOST, port=port, user="devstack", database=database or None, autocommit=True)

    return Place("pos", "pos_uriage", "bigint AUTO_INCREMENT PRIMARY KEY", "datetime(6)", connect)


def prepare(config: StackConfig) -> None:
    """Makes the databases, the tables and the connectors' users of both places, where they are missing."""
    _prepare_shop(shop(config.postgres_port or SHOP_PORT))
    _prepare_till(till(config.mariadb_port or TILL_PORT))


def _prepare_shop(place: Place) -> None:
    with closing(place.connect("")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (place.database,))
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE DATABASE {place.database}")
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (USER,))
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE USER {USER} PASSWORD '{PASSWORD}'")
        cursor.execute(f"GRANT pg_read_all_stats TO {USER}")  # it must see which transactions are alive
    _make_table(place, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {USER}")


def _prepare_till(place: Place) -> None:
    with closing(place.connect("")) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE IF NOT EXISTS {place.database}")
        cursor.execute(f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'")
        cursor.execute(f"GRANT PROCESS ON *.* TO '{USER}'@'%'")  # it must see which transactions are alive
    _make_table(place, f"GRANT SELECT ON {place.database}.* TO '{USER}'@'%'")


def sell(place: Place, number: int) -> None:
    """Makes so many sales, in one transaction. Raises the driver's error where the server is away."""
    rows = []
    for _ in range(number):
        item, price = random.choice(list(_ITEMS.items()))
        rows.append(
            (datetime.now(UTC).replace(tzinfo=None), f"{random.getrandbits(32):08x}", item, random.randint(1, 5), price)
        )
    with closing(place.connect(place.database)) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.executemany(f"INSERT INTO {place.table} ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s)", rows)
        cursor.execute("COMMIT")


def _make_table(place: Place, grant: str) -> None:
    with closing(place.connect(place.database)) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TABLE IF NOT EXISTS {place.table} (seq {place.seq}, sales_time {place.time} NOT NULL, sales_id"
            " varchar(20) NOT NULL, item_id varchar(20) NOT NULL, amount int NOT NULL, unit_price int NOT NULL)"
        )
        cursor.execute(grant)
