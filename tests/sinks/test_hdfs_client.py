"""How the client of a cluster is made, without a server."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from sinks.hdfs.config import hdfs_cluster
from sinks.hdfs.store import HdfsStore
from sinks.hdfs.webhdfs import HdfsCluster
from worker.errors import Retriable


def test_by_default_the_user_is_named() -> None:
    client = HdfsStore(HdfsCluster(url="http://nn:9870", user="web"), connections=2)
    assert client._session.params["user.name"] == "web"


def test_a_token_goes_with_every_request() -> None:
    client = HdfsStore(HdfsCluster(url="https://nn:9871", auth="token", token="abc", ca_certs="/ca.pem"), connections=2)
    assert client._session.params["delegation"] == "abc"
    assert client._session.verify == "/ca.pem"


def test_what_auth_needs_is_named() -> None:
    with pytest.raises(ValueError, match="no token is given"):
        HdfsStore(HdfsCluster(url="http://nn:9870", auth="token"), connections=1)
    with pytest.raises(ValueError, match="requests-kerberos"):
        HdfsStore(HdfsCluster(url="http://nn:9870", auth="kerberos"), connections=1)


def test_every_namenode_is_tried_before_the_sink_backs_off() -> None:
    client = HdfsStore(HdfsCluster(url="http://127.0.0.1:1;http://127.0.0.1:2", timeout_seconds=5), connections=1)
    with pytest.raises(Retriable, match="Connection refused"):
        client.exists("/x")


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({}, "url"),
        ({"url": "nn:9870"}, "$.url"),
        ({"url": "http://a:1;b:2"}, "$.url"),
        ({"url": "http://a:1", "auth": "magic"}, "$.auth"),
        ({"url": "http://a:1", "timeout_seconds": 0}, "$.timeout_seconds"),
        ({"url": "http://a:1", "pasword": "x"}, "pasword"),
    ],
)
def test_a_mistake_in_a_cluster_is_named(entry: dict[str, object], named: str) -> None:
    with override_settings(HDFS={"lake": entry}), pytest.raises(ImproperlyConfigured) as error:
        hdfs_cluster("lake")
    assert "HDFS['lake']" in str(error.value)
    assert named in str(error.value)


def test_an_unknown_cluster_is_named() -> None:
    with pytest.raises(ImproperlyConfigured, match="HDFS has no cluster 'lake'; it has default"):
        hdfs_cluster("lake")
