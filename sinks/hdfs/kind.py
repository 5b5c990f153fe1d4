"""The kind of sink that stores files in HDFS, by WebHDFS."""

from collections.abc import Iterable
from functools import partial

import msgspec
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from kafka_client.clusters import settings_errors_in
from sinks.config import SinkConfig
from sinks.file_kind import RenamingKind, layout_of
from sinks.files.store import FileBrowser, FileStore
from sinks.hdfs.browser import HdfsBrowser
from sinks.hdfs.config import HdfsTarget, hdfs_cluster
from sinks.hdfs.store import HdfsStore
from sinks.hdfs.webhdfs import HdfsCluster, translated, web_client
from sinks.kind import BrowsedFiles
from sinks.reporting.metrics import SinkMetrics
from worker.errors import Retriable
from worker.servers import Health, Server
from worker.urls import without_password


class HdfsKind(RenamingKind):
    """Files in HDFS."""

    name = "hdfs"
    title = "HDFS"
    target = HdfsTarget

    def check(self, sink: SinkConfig) -> None:
        """Its cluster, then what all kinds of files check."""
        alias = sink.target.cluster
        with settings_errors_in(f"target.cluster is {alias!r}"):
            hdfs_cluster(alias)
        super().check(sink)

    def store(self, sink: SinkConfig, *, connections: int, metrics: SinkMetrics | None = None) -> FileStore:
        return HdfsStore(hdfs_cluster(sink.target.cluster), connections=connections, metrics=metrics)

    def places(self, sink: SinkConfig) -> set[str]:
        return {url.rstrip("/").lower() for url in hdfs_cluster(sink.target.cluster).urls}

    def servers(self, sinks: Iterable[SinkConfig]) -> list[Server]:
        clusters = [hdfs_cluster(alias) for alias in dict.fromkeys(sink.target.cluster for sink in sinks)]
        return [Server(_server_name(cluster), partial(_health, cluster)) for cluster in clusters]

    def files(self, sink: SinkConfig) -> BrowsedFiles:
        cluster = hdfs_cluster(sink.target.cluster)

        def browser(timeout: float, connections: int) -> FileBrowser:
            return HdfsBrowser(msgspec.structs.replace(cluster, timeout_seconds=timeout), connections=connections)

        return BrowsedFiles(_server_name(cluster), sink.target.path, layout_of(sink), browser)


def _server_name(cluster: HdfsCluster) -> str:
    return f"HDFS ({';'.join(map(without_password, cluster.urls))})"


@translated
def _health(cluster: HdfsCluster, timeout: float) -> Health:
    """What the first NameNode says of itself, by its JMX page, which WebHDFS's port serves, too."""
    _client, session = web_client(cluster, connections=1)
    query = {"qry": "Hadoop:service=NameNode,name=NameNodeInfo"}
    with session:
        answer = session.get(f"{cluster.urls[0]}/jmx", params=query, timeout=timeout)
        answer.raise_for_status()
        beans = answer.json()["beans"]
    if not beans:
        raise Retriable("HDFS: the NameNode is starting", reason="unreachable")
    count = len(msgspec.json.decode(beans[0]["LiveNodes"]))
    nodes = ngettext("{n} DataNode", "{n} DataNodes", count).format(n=count)
    state = _("safe mode") if beans[0]["Safemode"] else ""
    return Health(beans[0]["SoftwareVersion"], ", ".join(filter(None, (nodes, state))))
