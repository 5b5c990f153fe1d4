"""URLs of servers with passwords: read as they are meant or refused, and never shown."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from sinks.elasticsearch.config import elasticsearch_cluster
from sinks.hdfs.config import hdfs_cluster
from sinks.registry import KINDS, sinks
from worker.urls import without_password

MISREAD = [
    *(f"https://user:{password}@host" for password in ("geheim#1", "geheim/1", "geheim?1", "geheim[1")),
    *(f"https://user:{password}@host:9200" for password in ("1#geheim", "1/geheim", "1?geheim")),
    "user:geheim@host:9200",
    "https://user:geheim@",
]


@pytest.mark.parametrize("url", MISREAD)
def test_a_url_that_would_be_misread_is_refused_and_not_shown(url: str) -> None:
    clusters = {"default": {"hosts": ["https://host", url]}}
    with (
        override_settings(ELASTICSEARCH_DSL=clusters, HDFS={"default": {"url": url}}),
        pytest.raises(ImproperlyConfigured, match=r"ELASTICSEARCH_DSL\['default'\]: host 2 of 2 must be like") as told,
    ):
        elasticsearch_cluster("default")
    with override_settings(HDFS={"default": {"url": url}}), pytest.raises(ImproperlyConfigured) as told_of_hdfs:
        hdfs_cluster("default")
    assert "geheim" not in f"{told.value} {told_of_hdfs.value}"


@pytest.mark.parametrize("password", ["ge@heim", "ge:heim", "ge%23heim", "ge heim", "비밀"])
def test_other_passwords_are_taken(password: str) -> None:
    with override_settings(ELASTICSEARCH_DSL={"default": {"hosts": f"https://user:{password}@host:9200"}}):
        elasticsearch_cluster("default")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"api_key": "비밀"}, "api_key must be ASCII"),
        ({"api_key": "a", "basic_auth": ("user", "b")}, "only one of api_key and basic_auth"),
        ({"hosts": []}, "hosts are missing"),
    ],
)
def test_what_elasticsearch_would_refuse_later_is_told(options: dict[str, Any], why: str) -> None:
    with (
        override_settings(ELASTICSEARCH_DSL={"default": {"hosts": ["https://host"], **options}}),
        pytest.raises(ImproperlyConfigured, match=why),
    ):
        elasticsearch_cluster("default")


def test_the_names_of_servers_have_no_passwords() -> None:
    with override_settings(
        ELASTICSEARCH_DSL={"default": {"hosts": ["https://user:geheim@one:9200", "https://two:9200"]}},
        HDFS={"default": {"url": "http://user:geheim@one:9870;http://two:9870"}},
    ):
        names = [server.name for kind in KINDS.values() for server in kind.servers(_of_kind(kind.name))]
    assert "Elasticsearch (https://one:9200, https://two:9200)" in names
    assert "HDFS (http://one:9870;http://two:9870)" in names
    assert "geheim" not in " ".join(names)


def _of_kind(name: str) -> list[Any]:
    return [sink for sink in sinks().values() if sink.kind == name]


def test_an_error_that_shows_a_url_has_no_password() -> None:
    assert without_password("HTTPError: 401 for url: http://user:ge@heim@host/x") == (
        "HTTPError: 401 for url: http://host/x"
    )
