"""The named clusters of the settings, typed and checked: settings.HDFS and settings.ELASTICSEARCH_DSL."""

from typing import Any

import msgspec
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from sinks.hdfs.client import HdfsCluster


def hdfs_cluster(alias: str) -> HdfsCluster:
    """An entry of settings.HDFS. Raises ImproperlyConfigured naming what is wrong."""
    try:
        return msgspec.convert(_entry("HDFS", alias), HdfsCluster)
    except msgspec.ValidationError as error:
        raise ImproperlyConfigured(f"HDFS[{alias!r}]: {error}") from error


def elasticsearch_cluster(alias: str) -> dict[str, Any]:
    """An entry of settings.ELASTICSEARCH_DSL. Raises ImproperlyConfigured."""
    cluster = _entry("ELASTICSEARCH_DSL", alias)
    hosts = cluster.get("hosts", [])
    wrong = [host for host in ([hosts] if isinstance(hosts, str) else hosts) if not str(host).startswith("http")]
    if wrong or not hosts:
        raise ImproperlyConfigured(
            f"ELASTICSEARCH_DSL[{alias!r}]: hosts are {hosts!r}; each must begin with http:// or https://"
        )
    return cluster


def _entry(setting: str, alias: str) -> dict[str, Any]:
    clusters: dict[str, dict[str, Any]] = getattr(settings, setting)
    if alias not in clusters:
        raise ImproperlyConfigured(f"{setting} has no cluster {alias!r}; it has {', '.join(clusters) or 'none'}")
    return clusters[alias]
