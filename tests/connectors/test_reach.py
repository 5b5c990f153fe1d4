"""What connectors may not reach, whoever makes them: files, databases, hosts, programs, and secrets of others."""

from pathlib import Path
from typing import Any

import pytest

from connectors.conf import connectors_settings
from connectors.plugins.setting import without_secrets
from connectors.reach import check_client_option
from connectors.validation import Checked, checked

SOURCE = {"connector.class": "FileStreamSource", "topic": "t", "file": "/tmp/a.txt"}
TABLES = {
    "connector.class": "sources.database",
    "target.tables": '["auth_user"]',
    "target.mode": "bulk",
    "target.topic": "t",
}
DOCUMENTS = {"connector.class": "sources.http", "target.topic": "t"}
POINTS = {
    "connector.class": "sinks.timeseries",
    "topics": "t",
    "event": "json",
    "target.database": "d",
    "target.measurement": "m",
}


def look(config: dict[str, str], **changes: str) -> Checked:
    return checked({"name": "x", **config, **changes})


@pytest.fixture
def allow(settings: Any) -> Any:
    """Changes entries of CONNECTORS."""

    def change(**entries: Any) -> None:
        settings.CONNECTORS = {"folders": ["/tmp"], **entries}
        connectors_settings.cache_clear()

    return change


@pytest.mark.parametrize(
    "option",
    [
        "plugin.library.paths",
        "sasl.kerberos.kinit.cmd",
        "bootstrap.servers",
        "metadata.broker.list",
        "security.protocol",
        "ssl.ca.location",
        "sasl.oauthbearer.token.endpoint.url",
        "sasl.mechanism",
        "debug",
        "enable.auto.commit",
        "isolation.level",
        "auto.offset.reset",
        "group.id",
    ],
)
def test_a_connector_can_not_have_kafka_clients_use_other_servers_files_and_programs(option: str) -> None:
    for client in ("consumer", "producer"):
        assert list(look(SOURCE, **{f"{client}.override.{option}": "x"}).errors) == [f"{client}.override.{option}"]


@pytest.mark.parametrize(
    "option",
    [
        "session.timeout.ms",
        "heartbeat.interval.ms",
        "max.poll.interval.ms",
        "fetch.max.bytes",
        "queued.max.messages.kbytes",
        "socket.timeout.ms",
        "compression.type",
        "linger.ms",
        "transaction.timeout.ms",
        "sasl.username",
        "sasl.password",
    ],
)
def test_a_connector_can_tune_kafka_clients(option: str) -> None:
    check_client_option(option)


def test_a_sink_begins_at_the_beginning_and_may_say_so() -> None:
    sink = {"connector.class": "FileStreamSink", "topics": "t", "file": "/tmp/out"}
    assert look(sink, **{"consumer.override.auto.offset.reset": "earliest"}).errors == {}
    assert look(sink, **{"consumer.override.auto.offset.reset": "latest"}).errors


@pytest.mark.parametrize(
    "url",
    [
        "postgres:///site",  # a socket: the server trusts the worker's user
        "postgres://%2Fvar%2Frun%2Fpostgresql/site",
        "postgres://db,%2Ftmp/site",
        "mysql://db/shop?local_infile=1",  # the server may read files of the worker
        "mysql://db/shop?read_default_file=/etc/my.cnf",
        "mysql://db/shop?unix_socket=/run/mysqld.sock",
        "postgres://db/shop?passfile=/root/.pgpass",
        "postgres://db/shop?service=site",
    ],
)
def test_a_url_of_a_database_names_one_server_and_no_files(url: str) -> None:
    assert look(TABLES, **{"target.database": url}).errors


@pytest.mark.parametrize("url", ["postgres://u:p@db:5433/shop?sslmode=require", "mysql://u:p@db/shop"])
def test_a_url_of_a_server_can_be_read(url: str) -> None:
    assert look(TABLES, **{"target.database": url}).errors == {}


@pytest.mark.parametrize(
    "entry",
    [
        {"target.database": "default"},
        {"target.database": "replica"},
        {"target.database": "postgres://u:p@db.site:5432/site"},
        {"target.database": "postgres://u:p@DB.site/site"},
    ],
)
def test_the_users_of_the_site_can_not_be_read_under_another_name(
    settings: Any, monkeypatch: pytest.MonkeyPatch, allow: Any, entry: dict[str, str]
) -> None:
    site = {"ENGINE": "django.db.backends.postgresql", "HOST": "db.site", "PORT": "", "NAME": "site"}
    monkeypatch.setitem(settings.DATABASES, "default", site)
    monkeypatch.setitem(settings.DATABASES, "replica", {**site, "PORT": 5432})
    (text,) = look(TABLES, **entry).errors["connector.class"]
    assert "the users of this site" in text
    allow(own_database=True)
    assert look(TABLES, **entry).errors == {}


@pytest.mark.parametrize(
    ("hosts", "url", "is_allowed"),
    [
        ([], "http://169.254.169.254/latest/meta-data", False),
        (["jolokia"], "http://jolokia:8778/read", True),
        (["jolokia:8778"], "http://jolokia:8778/read", True),
        (["jolokia:8778"], "http://jolokia/read", False),
        (["jolokia:80"], "http://Jolokia/read", True),
        (["jolokia"], "http://jolokia.other.example/", False),
        (["jolokia"], "http://jolokia@other.example/", False),
        (["jolokia"], "http://user:hidden@jolokia/", True),
        (["::1"], "http://[::1]:8778/", True),
    ],
)
def test_hosts_are_asked_by_http_only_where_the_settings_say_so(
    allow: Any, hosts: list[str], url: str, is_allowed: bool
) -> None:
    allow(http_hosts=hosts)
    assert (look(DOCUMENTS, **{"target.urls": f'["{url}"]'}).errors == {}) is is_allowed
    assert (look(POINTS, **{"target.url": url}).errors == {}) is is_allowed


def test_an_error_does_not_tell_what_a_reference_stands_for(
    allow: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    allow(secrets_prefix="HUB_", secrets_folder=str(tmp_path))
    monkeypatch.setenv("HUB_PASSWORD", "hunter2")
    (tmp_path / "own.properties").write_text("password=hunter2\n")
    for reference in ("${env:HUB_PASSWORD}", f"${{file:{tmp_path}/own.properties:password}}"):
        for changes in ({"batch.size": reference}, {"file": reference}, {"topic": f"a {reference}"}):
            errors = look(SOURCE, **changes).errors
            assert errors
            assert "hunter2" not in str(errors)


def test_errors_beside_a_reference_are_told_as_they_are(allow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(secrets_prefix="HUB_")
    monkeypatch.setenv("HUB_FILE", "/tmp/a.txt")
    errors = look(SOURCE, file="${env:HUB_FILE}", **{"tasks.max": "0"}).errors
    assert errors == {"tasks.max": ["Invalid value 0 for configuration tasks.max: Value must be at least 1"]}


def test_the_file_of_a_reference_is_the_one_that_was_checked(allow: Any, tmp_path: Path) -> None:
    secrets, other = tmp_path / "secrets", tmp_path / "other"
    (secrets / "deep").mkdir(parents=True)
    other.mkdir()
    (other / "link").symlink_to(secrets / "deep")
    (secrets / "own.properties").write_text("batch=7\n")
    (other / "own.properties").write_text("batch=8\n")
    allow(secrets_folder=str(secrets))
    # The system follows the link and ends in secrets; read as a text, the path would end in other.
    config = look(SOURCE, **{"batch.size": f"${{file:{other}/link/../own.properties:batch}}"}).config
    assert config is not None
    assert config.options.batch_records == 7


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("connection.url", "jdbc:postgresql://h/x?user=a&password=hidden&ssl=1", "jdbc:postgresql://h/x?user=a&password=********&ssl=1"),
        ("target.database", "postgres://u:hidden@h/x", "postgres://u:********@h/x"),
        ("target.urls", '["http://u:hidden@h/x", "http://h/?api_key=hidden"]', '["http://u:********@h/x", "http://h/?api_key=********"]'),
        ("consumer.override.ssl.key.pem", "hidden", "********"),
        ("http.request.headers", "hidden", "********"),
        ("aws.secret.access.key", "hidden", "********"),
        ("target.key", "hidden", "********"),
        ("key.converter", "JsonConverter", "JsonConverter"),
        ("file", "/tmp/a:b@c", "/tmp/a:b@c"),
        ("hdfs.url", "hdfs://name:8020/a", "hdfs://name:8020/a"),
    ],
)  # fmt: skip
def test_readers_see_no_passwords_in_settings_and_urls(name: str, text: str, shown: str) -> None:
    assert without_secrets(name, text) == shown


@pytest.mark.parametrize("url", ["postgres://u:********@h/x", "postgres://h/x?password=********"])
def test_a_url_with_a_masked_password_is_not_stored(url: str) -> None:
    (text,) = look(TABLES, **{"target.database": url}).errors["target.database"]
    assert "was not shown" in text
