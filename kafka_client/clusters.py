"""The named Kafka clusters of the settings: settings.KAFKA."""

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def kafka_cluster(alias: str) -> dict[str, Any]:
    """The librdkafka options of a cluster in `settings.KAFKA`; raises ImproperlyConfigured when there is none."""
    try:
        cluster = dict(settings.KAFKA[alias])
    except KeyError:
        raise ImproperlyConfigured(f"KAFKA has no cluster {alias!r}; it has {', '.join(settings.KAFKA)}") from None
    if not cluster.get("bootstrap.servers"):
        raise ImproperlyConfigured(f"KAFKA[{alias!r}] has no bootstrap.servers (set KAFKA_BOOTSTRAP_SERVERS)")
    return cluster
