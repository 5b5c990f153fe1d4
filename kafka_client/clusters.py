"""The named clusters of servers in the settings; those of Kafka are settings.KAFKA."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@contextmanager
def settings_errors_in(where: str) -> Iterator[None]:
    """Around what reads or checks settings: an error tells, as ImproperlyConfigured, where in them the mistake is."""
    try:
        yield
    except (ImproperlyConfigured, ValueError) as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error


def cluster_entry(setting: str, alias: str) -> dict[str, Any]:
    """The cluster `alias` of a setting that holds named clusters of servers. Raises ImproperlyConfigured."""
    clusters: dict[str, dict[str, Any]] = getattr(settings, setting)
    if alias not in clusters:
        raise ImproperlyConfigured(f"{setting} has no cluster {alias!r}; it has {', '.join(clusters) or 'none'}")
    return clusters[alias]


def kafka_cluster(alias: str) -> dict[str, Any]:
    """The librdkafka options of a cluster in `settings.KAFKA`; raises ImproperlyConfigured when there is none."""
    cluster = dict(cluster_entry("KAFKA", alias))
    if not cluster.get("bootstrap.servers"):
        raise ImproperlyConfigured(f"KAFKA[{alias!r}] has no bootstrap.servers (set KAFKA_BOOTSTRAP_SERVERS)")
    return cluster
