"""A book's exercises: files, a shop's PostgreSQL and a till's MariaDB flow through Kafka into a file and into S3."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dj_database_url
import psycopg
import pymysql
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from devstack.seaweedfs import ACCESS_KEY, SECRET_KEY
from devstack.server import Server
from devstack.stack import Stack
from sources.positions import POSITIONS_CONFIG
from tests.connectors.book import BOOK
from tests.connectors.site import Site
from tests.sinks.s3_bench import running_seaweedfs
from tests.stores import S3Files
from tests.support import make_topics, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("connectors")]

TABLE = "CREATE TABLE {} (seq INTEGER PRIMARY KEY, item VARCHAR(20), amount INTEGER)"
ROWS = "INSERT INTO {} VALUES (1, 'apple', 3), (2, 'pear', 4), (3, 'fig', 5)"
BUCKET = "kafka-exam-bucket"


@pytest.fixture(scope="module")
def store() -> Iterator[Server]:
    with running_seaweedfs() as server:
        yield server


@pytest.fixture
def site(kafka: Stack, store: Server, tmp_path: Path) -> Iterator[Site]:
    """A worker whose settings name the store by its address and region."""
    entry = {"endpoint_url": store.address, "region": "ap-northeast-2", "path_style": True, "create_bucket": True}
    entry |= {"access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    with Site(kafka, tmp_path, env={"S3": json.dumps({"default": entry})}) as site:
        yield site


def document(name: str, **addresses: str) -> dict[str, Any]:
    """A request of the book with other addresses."""
    (found,) = (one for one in BOOK if one["name"] == name)
    return {"name": name, "config": {**found["config"], **addresses}}


def test_the_exercises_run_as_they_stand_but_for_addresses(
    kafka: Stack, site: Site, store: Server, postgres: Server, mariadb: Server, tmp_path: Path
) -> None:
    shop, till = (dj_database_url.parse(server.address) for server in (postgres, mariadb))
    with psycopg.connect(postgres.address.replace("postgres://", "postgresql://"), autocommit=True) as connection:
        connection.execute(TABLE.format("ec_uriage"))
        connection.execute(ROWS.format("ec_uriage"))
    names = {"host": till["HOST"], "port": int(till["PORT"]), "user": till["USER"], "database": till["NAME"]}
    with pymysql.connect(**names, password=till["PASSWORD"], autocommit=True) as other, other.cursor() as cursor:
        cursor.execute(TABLE.format("pos_uriage"))
        cursor.execute(ROWS.format("pos_uriage"))
    (tmp_path / "zaiko.txt").write_text("apple,30\n")
    make_topics(kafka, "zaiko-data", "ecsales_ec_uriage", "possales_pos_uriage", partitions=1)
    shop_url = f"jdbc:postgresql://{shop['HOST']}:{shop['PORT']}/{shop['NAME']}"
    till_url = f"jdbc:mysql://{till['HOST']}:{till['PORT']}/{till['NAME']}"
    till_user = {"connection.user": str(till["USER"]), "connection.password": str(till["PASSWORD"])}
    shop_user = {"connection.user": str(shop["USER"]), "connection.password": ""}
    for request in (
        document("sink-zaiko-data", file=str(tmp_path / "zaiko.txt")),
        document("load-zaiko-data", file=str(tmp_path / "zaiko-a.txt")),
        document("load-ecsales-data", **{"connection.url": shop_url, **shop_user}),
        document("load-possales-data", **{"connection.url": till_url, **till_user}),
        document("sink-sales-data"),
    ):
        answer = site.connect.ask("POST", "/connectors", request)
        assert answer.status == 201, answer.body

    def failures() -> list[str]:
        found = site.connect.get("/connectors?expand=status").values()
        return [task["trace"] for one in found for task in one["status"]["tasks"] if "trace" in task]

    out = tmp_path / "zaiko-a.txt"
    wait_until(lambda: failures() or any(file.is_file() for file in out.glob("*")), seconds=60, what="the stock file")
    assert failures() == []
    assert b"".join(file.read_bytes() for file in out.glob("*") if file.is_file()) == b"apple,30\n"

    def stored() -> list[tuple[str, int]]:
        files = S3Files(store.address, BUCKET)
        keys = [key for key, is_folder in files.listed("/topics") if not is_folder]
        lines = [(key.partition("-0-")[0], line) for key in keys for line in files.read(f"/topics/{key}").splitlines()]
        return sorted((topic, json.loads(line)["seq"]) for topic, line in lines)

    sales = [(topic, seq) for topic in ("ecsales_ec_uriage", "possales_pos_uriage") for seq in (1, 2, 3)]
    wait_until(lambda: failures() or len(stored()) >= 6, seconds=60, what="the sales in S3")
    assert failures() == []
    assert stored() == sales
    # As setup_pipeline makes it: an owner reads the topic of positions from its beginning.
    resource = ConfigResource(ConfigResource.Type.TOPIC, "source-positions")
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    [answer] = admin.describe_configs([resource]).values()
    made = answer.result(30)
    assert {name: made[name].value for name in POSITIONS_CONFIG} == POSITIONS_CONFIG
