"""Where an HDFS sink stores."""

import msgspec

from kafka_client.clusters import cluster_entry, settings_errors_in
from kafka_client.structs import ready
from sinks.files.config import GrowingFilesTarget
from sinks.hdfs.webhdfs import HdfsCluster
from worker.urls import check_urls


@ready
class HdfsTarget(GrowingFilesTarget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of an HDFS sink."""

    cluster: str = "default"
    """The cluster of settings.HDFS."""

    def __str__(self) -> str:
        return f"HDFS ({self.cluster}) {self.path}"


def hdfs_cluster(alias: str) -> HdfsCluster:
    """An entry of settings.HDFS. Raises ImproperlyConfigured naming what is wrong."""
    entry = cluster_entry("HDFS", alias)
    with settings_errors_in(f"HDFS[{alias!r}]"):
        cluster = msgspec.convert(entry, HdfsCluster)
        check_urls("url", cluster.urls)
    return cluster
