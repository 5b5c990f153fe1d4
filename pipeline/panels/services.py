"""Kafka, HDFS and Elasticsearch: whether each answers, and which version it is."""

from collections.abc import Callable
from typing import Any

import msgspec
from django.utils.translation import gettext as translated
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from elasticsearch import ApiError, TransportError
from elasticsearch.dsl.connections import connections

from events.conf import events_settings
from pipeline.conf import console_settings
from pipeline.console.guard import guard
from pipeline.errors import ServerAway, ServerError
from pipeline.kafka_reads import read_brokers, server_name
from pipeline.panels.panel import Panel
from pipeline.time_range import TimeRange
from sinks.clusters import elasticsearch_cluster, hdfs_cluster
from sinks.config import sinks
from sinks.elasticsearch.config import ElasticsearchTarget
from sinks.errors import Fatal, Retriable
from sinks.hdfs.client import HdfsCluster, connect
from sinks.hdfs.config import HdfsTarget


def _asked(name: str, server: str, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A server's entry: what `ask` says of it, or its error."""
    entry: dict[str, Any] = {"name": name, "server": server, "version": None, "detail": "", "error": None}
    try:
        with guard().read(server):
            return {**entry, **ask()}
    except ServerError as error:
        return {**entry, "error": error.text}


def read_kafka(_time_range: TimeRange) -> dict[str, Any]:
    """The Kafka clusters that events and sinks use."""
    used = dict.fromkeys([events_settings().kafka, *(sink.kafka for sink in sinks().values())])
    return {"services": [_kafka(cluster) for cluster in used]}


def read_elasticsearch(_time_range: TimeRange) -> dict[str, Any]:
    """The Elasticsearch clusters that sinks use."""
    targets = [sink.target for sink in sinks().values()]
    used = dict.fromkeys(target.cluster for target in targets if isinstance(target, ElasticsearchTarget))
    return {"services": [_elasticsearch(cluster) for cluster in used]}


def read_hdfs(_time_range: TimeRange) -> dict[str, Any]:
    """The HDFS clusters that sinks use."""
    targets = [sink.target for sink in sinks().values()]
    used = dict.fromkeys(target.cluster for target in targets if isinstance(target, HdfsTarget))
    return {"services": [_hdfs(cluster) for cluster in used]}


def _kafka(cluster: str) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        found = read_brokers(cluster, timeout=console_settings().kafka_timeout_seconds)
        detail = ngettext("{n} broker", "{n} brokers", found.count).format(n=found.count)
        return {"version": found.version, "detail": detail}

    return _asked("Kafka", server_name(cluster), ask)


def _elasticsearch(cluster: str) -> dict[str, Any]:
    hosts = elasticsearch_cluster(cluster)["hosts"]
    server = f"Elasticsearch ({hosts if isinstance(hosts, str) else ', '.join(map(str, hosts))})"

    def ask() -> dict[str, Any]:
        timeout = console_settings().elasticsearch_timeout_seconds
        client = connections.get_connection(cluster).options(request_timeout=timeout, max_retries=0)
        try:
            found = client.nodes.info(node_id="_all", metric="_none", filter_path="nodes.*.version")
            health = client.cluster.health(filter_path="status", timeout="1s")
        except ApiError as error:
            raise ServerError(server, str(error)) from error
        except TransportError as error:
            raise ServerAway(server, error.message) from error
        versions = sorted({node["version"] for node in found["nodes"].values()})
        count = len(found["nodes"])
        detail = ngettext("{n} node, {status}", "{n} nodes, {status}", count).format(n=count, status=health["status"])
        return {"version": ", ".join(versions), "detail": detail}

    return _asked("Elasticsearch", server, ask)


def _hdfs(cluster: str) -> dict[str, Any]:
    config = hdfs_cluster(cluster)
    server = f"HDFS ({config.url})"

    def ask() -> dict[str, Any]:
        client = connect(_hasty(config), connections=1)
        try:
            found = client.name_node(config.url.partition(";")[0])
        except Retriable as error:
            raise ServerAway(server, str(error)) from error
        except Fatal as error:
            raise ServerError(server, str(error)) from error
        finally:
            client.close()
        state = translated("safe mode") if found.is_in_safe_mode else ""
        nodes = ngettext("{n} DataNode", "{n} DataNodes", found.data_nodes).format(n=found.data_nodes)
        return {"version": found.version, "detail": ", ".join(filter(None, (nodes, state)))}

    return _asked("HDFS", server, ask)


def _hasty(cluster: HdfsCluster) -> HdfsCluster:
    """The cluster with an operator's patience."""
    return msgspec.structs.replace(cluster, timeout_seconds=console_settings().hdfs_timeout_seconds)


PANELS = (
    Panel("service-kafka", _("Kafka"), read_kafka, server="kafka", ranged=False),
    Panel("service-hdfs", _("HDFS"), read_hdfs, server="hdfs", ranged=False),
    Panel("service-elasticsearch", _("Elasticsearch"), read_elasticsearch, ranged=False),
)
