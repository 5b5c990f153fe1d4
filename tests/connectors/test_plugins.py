"""What becomes of the settings of Confluent's and Kafka's classes: entries as SINKS and SOURCES have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from connectors.plugins.files import strftime_of
from connectors.plugins.jdbc import database_url
from connectors.plugins.registry import PLUGINS
from connectors.plugins.setting import SettingError
from connectors.validation import Checked, checked
from tests.connectors.book import BOOK


@pytest.fixture(autouse=True)
def _stores(settings: Any) -> None:
    settings.S3 = {"default": {"endpoint_url": "http://localhost:8333", "region": "ap-northeast-2", "path_style": True}}


def look(name: str, config: dict[str, Any]) -> Checked:
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    return checked({**texts, "name": name})


def of_book(name: str) -> Checked:
    (document,) = (one for one in BOOK if one["name"] == name)
    return look(name, document["config"])


def test_the_file_of_the_book_is_read_by_a_file_source() -> None:
    found = of_book("sink-zaiko-data")
    assert (found.errors, found.ignored) == ({}, {})
    assert found.config is not None
    assert (found.config.kind, found.config.target.paths) == ("file", ("/tmp/zaiko/zaiko.txt",))


def test_the_file_sink_of_the_book_stores_lines_in_a_folder() -> None:
    config = of_book("load-zaiko-data").config
    assert config is not None
    assert (config.kind, config.event, config.target.path) == ("folder", "text", "/tmp/zaiko/zaiko-a.txt")


@pytest.mark.parametrize(
    ("name", "url", "topic"),
    [
        ("load-ecsales-data", "postgres://connectuser:connectpass@localhost/ec", "ecsales_{table}"),
        ("load-possales-data", "mysql://connectuser:connectpass@localhost/pos", "possales_{table}"),
    ],
)
def test_the_databases_of_the_book_are_read_by_database_sources(name: str, url: str, topic: str) -> None:
    found = of_book(name)
    assert (found.errors, found.ignored) == ({}, {})
    assert found.config is not None
    target = found.config.target
    assert (target.database, target.topic) == (url, topic)
    assert (target.mode, target.incrementing_column) == ("incrementing", "seq")
    assert found.config.tasks == 1  # a table has one reader


def test_the_s3_sink_of_the_book_stores_three_records_a_file() -> None:
    found = of_book("sink-sales-data")
    assert (found.errors, list(found.ignored)) == ({}, ["storage.class"])
    config: Any = found.config
    assert config.topics == ("possales_pos_uriage", "ecsales_ec_uriage")
    assert (config.kind, config.tasks, config.options.flush_records) == ("s3", 3, 3)
    assert (config.target.bucket, config.target.path, config.target.format) == ("kafka-exam-bucket", "/topics", "json")


@pytest.mark.parametrize("name", ["load-possales-data-sr-1", "sink-sales-data-sr-1"])
def test_a_converter_of_a_schema_registry_is_refused_by_name(name: str) -> None:
    errors = of_book(name).errors
    assert set(errors) <= {"key.converter", "value.converter"}
    assert "AvroConverter" in errors["value.converter"][0]


S3 = BOOK[4]["config"]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"format.class": "io.confluent.connect.s3.format.bytearray.ByteArrayFormat"}, "format.class"),
        ({"format.class": "AvroFormat", "s3.compression.type": "gzip"}, "format.class"),
        ({"s3.region": "eu-west-1"}, "s3.region"),
        ({"store.url": "http://other:9000"}, "store.url"),
        ({"store": "none"}, "store"),
        ({"aws.access.key.id": "x"}, "aws.access.key.id"),
        ({"aws.secret.access.key": "x"}, "aws.secret.access.key"),
        ({"partitioner.class": "FieldPartitioner"}, "partition.field.name"),
        ({"partitioner.class": "TimeBasedPartitioner"}, "path.format"),
        ({"partitioner.class": "TimeBasedPartitioner", "path.format": "yyyy-EEE"}, "path.format"),
        ({"partitioner.class": "DailyPartitioner", "timestamp.extractor": "Wallclock"}, "timestamp.extractor"),
        ({"partitioner.class": "OtherPartitioner"}, "partitioner.class"),
        ({"flush.size": 0}, "flush.size"),
        ({"s3.bucket.name": None}, "s3.bucket.name"),
    ],
)
def test_what_would_change_the_files_and_is_not_done_here_is_refused(changes: dict[str, Any], setting: str) -> None:
    config = {key: value for key, value in {**S3, **changes}.items() if value is not None}
    assert list(look("x", config).errors) == [setting]


def test_partitioners_become_folders() -> None:
    daily = look("x", {**S3, "partitioner.class": "DailyPartitioner", "timezone": "Asia/Seoul"}).config
    assert daily is not None
    assert (daily.target.folders, daily.target.time, daily.target.time_zone) == (
        "year=%Y/month=%m/day=%d",
        "kafka",
        "Asia/Seoul",
    )
    field = look("x", {**S3, "partitioner.class": "FieldPartitioner", "partition.field.name": "shop,till"}).config
    assert field is not None
    assert field.target.folders == "shop={shop}/till={till}"
    assert strftime_of("'dt'=yyyy-MM-dd/HH") == "dt=%Y-%m-%d/%H"


def test_schedules_and_retries_become_options() -> None:
    changes = {"rotate.schedule.interval.ms": 5000, "rotate.interval.ms": 60000, "errors.retry.delay.max.ms": 2000}
    config = look("x", {**S3, **changes}).config
    assert config is not None
    options: Any = config.options
    assert (options.flush_seconds, options.flush_interval_seconds, options.retry_seconds) == (5.0, 60.0, 2.0)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("jdbc:postgresql://db:5433/shop?user=a&password=b%26c", "postgres://a:b%26c@db:5433/shop"),
        ("jdbc:postgresql://db/shop?sslmode=require&ApplicationName=x", "postgres://db/shop?sslmode=require"),
        ("jdbc:mariadb://db:3307/pos?useSSL=false", "mysql://db:3307/pos"),
    ],
)
def test_jdbc_urls(url: str, expected: str) -> None:
    assert database_url({"connection.url": url, "connection.user": "", "connection.password": ""}) == expected


@pytest.mark.parametrize(
    "url", ["jdbc:oracle:thin:@db:1521/x", "postgres://db/x", "jdbc:postgresql:shop", "jdbc:postgresql://a,b/x", ""]
)
def test_other_urls_are_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(SettingError) as error:
        database_url({"connection.url": url, "connection.user": "u", "connection.password": "hidden"})
    assert "hidden" not in str(error.value)


def test_a_database_sink_stores_in_a_database_of_the_settings_alone() -> None:
    config = {"connector.class": "JdbcSink", "topics": "orders", "connection.url": "jdbc:postgresql://db:5432/other"}
    assert list(look("x", config).errors) == ["connection.url"]


@pytest.mark.parametrize(
    "changes",
    [
        {"insert.mode": "upsert"},
        {"insert.mode": "upsert", "pk.mode": "record_value"},
        {"pk.mode": "record_key"},
        {"delete.enabled": "true"},
        {"topics": "a,b"},
    ],
)
def test_rows_that_could_not_be_stored_as_meant_are_refused(changes: dict[str, str]) -> None:
    config = {"connector.class": "JdbcSink", "topics": "orders", "connection.url": "default", **changes}
    assert look("x", config).errors.keys() & {"pk.mode", "delete.enabled", "topics"}


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.class_name)
def test_every_class_explains_what_it_needs_instead_of_failing(plugin: Any) -> None:
    found = checked({"connector.class": plugin.class_name, "name": "x"})
    assert found.error_count
    assert all(text for texts in found.errors.values() for text in texts)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.class_name)
def test_every_setting_says_what_it_does_or_why_it_does_nothing(plugin: Any) -> None:
    settings = plugin.settings.values()
    assert [one.name for one in settings if not (one.doc or one.ignored or one.check or one.values)] == []


def test_names_of_classes_are_not_given_twice() -> None:
    names = [name for plugin in PLUGINS for name in plugin.names]
    assert len(names) == len(set(names))


def test_hosts_are_found_by_their_names_and_files_below_the_allowed_folders_alone(tmp_path: Path) -> None:
    source = {"connector.class": "FileStreamSource", "topic": "t"}
    assert look("x", {**source, "file": "/tmp/a.txt"}).errors == {}
    for path in ("/etc/passwd", "/tmp/../etc/passwd", "/tmpx/a", "/t*/a", "relative.txt"):
        assert look("x", {**source, "file": path}).errors, path
