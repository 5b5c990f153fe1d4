"""Where an HDFS sink stores."""

import msgspec
from django.core.exceptions import ImproperlyConfigured

from kafka_client.clusters import cluster_entry
from sinks.files.config import FilesTarget
from sinks.hdfs.webhdfs import HdfsCluster
from sinks.urls import check_url


class HdfsTarget(FilesTarget, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `target` of an HDFS sink."""

    cluster: str = "default"
    """The cluster of settings.HDFS."""

    def __str__(self) -> str:
        return f"HDFS ({self.cluster}) {self.path}"


def hdfs_cluster(alias: str) -> HdfsCluster:
    """An entry of settings.HDFS. Raises ImproperlyConfigured naming what is wrong."""
    try:
        cluster = msgspec.convert(cluster_entry("HDFS", alias), HdfsCluster)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"HDFS[{alias!r}]: {error}") from error
    for number, url in enumerate(cluster.urls, 1):
        try:
            check_url(url)
        except ValueError as error:
            raise ImproperlyConfigured(f"HDFS[{alias!r}]: url {number} of {len(cluster.urls)} {error}") from error
    return cluster
