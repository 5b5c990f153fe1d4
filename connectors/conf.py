"""The typed view of `settings.CONNECTORS`."""

from functools import cache
from typing import Annotated

import msgspec
from django.conf import settings
from msgspec import Meta

from kafka_client.clusters import kafka_cluster, settings_errors_in
from kafka_client.names import Topic
from kafka_client.structs import ready


@ready
class ConnectorsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How connectors are reached and run; every entry has a default, and CONNECTORS itself may be missing."""

    path: Annotated[str, Meta(pattern=r"^([a-zA-Z0-9_-]+/)+$")] = "connect/"
    """The address of the REST API on the website; clients of Kafka Connect get `http://host/connect` for it."""
    open: bool = False
    """Whether everybody who reaches the website may see and change connectors. For development alone."""
    kafka: str = "default"
    """The cluster of settings.KAFKA that connectors read and write, and by which workers share the tasks."""
    topic: Topic = "connector-assignment"
    """The topic whose partitions are shared by the workers; a worker runs the tasks of its partitions. It holds no
    record."""
    slots: Annotated[int, Meta(ge=1, le=1000)] = 60
    """The number of partitions of that topic. More than tens of workers need more. It can't be changed later: delete
    the topic and make the connectors anew."""
    group: Annotated[str, Meta(min_length=1)] = "connect-workers"
    """The consumer group of the workers. Workers with another group and topic run nothing of these."""
    poll_seconds: Annotated[float, Meta(ge=0.1, le=60)] = 1.0
    """Seconds between two looks of a worker at the table of connectors. With more, changes take effect later."""
    session_seconds: Annotated[float, Meta(ge=1, le=300)] = 6.0
    """A worker that was not heard of for this many seconds is given up by Kafka, and the others get its tasks. Less
    moves them sooner, and also when a host stands still for a moment."""
    away_seconds: Annotated[float, Meta(ge=1, le=3600)] = 10.0
    """A worker that has not written its report for this many seconds counts as gone: its tasks are UNASSIGNED."""
    stop_seconds: Annotated[float, Meta(ge=0, le=300)] = 40.0
    """A worker that is told to stop waits at most this many seconds for its tasks to store what they have read."""
    metrics_port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """The port on which a worker serves metrics and status, 1 to 65535; none by default. Workers on one host need one
    each: `run_connectors --metrics-port`."""
    metrics_host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address of that port; 0.0.0.0 lets other machines reach it."""
    folders: tuple[Annotated[str, Meta(pattern="^/")], ...] = ()
    """Folders of the workers' hosts below which connectors may read and write files; none by default, since whoever may
    make connectors could read every file of the host."""
    http_hosts: tuple[Annotated[str, Meta(pattern=r"^[a-z0-9._:-]+$")], ...] = ()
    """Hosts that connectors may ask by HTTP, each alone (all its ports) or as host:port; none by default, since a host
    may trust whoever reaches it from the workers, as the metadata service of a cloud does."""
    own_database: bool = False
    """Whether connectors may use the entry `default` of DATABASES: it has the users of this site, and whoever may make
    connectors could read and write them."""
    secrets_folder: str = ""
    """The folder below which `${file:/path:key}` in a connector's settings may read; empty: nowhere."""
    secrets_prefix: str = ""
    """`${env:NAME}` in a connector's settings reads variables whose names begin so; empty: none."""


@cache
def connectors_settings() -> ConnectorsSettings:
    """`settings.CONNECTORS`; raises ImproperlyConfigured naming the entry that is wrong."""
    with settings_errors_in("CONNECTORS"):
        found = msgspec.convert(getattr(settings, "CONNECTORS", {}), ConnectorsSettings)
        kafka_cluster(found.kafka)
    return found


def connectors_path() -> str:
    """Where the REST API is; also where other entries are wrong, which `manage.py check` then explains."""
    path = getattr(settings, "CONNECTORS", {}).get("path", "connect/")
    return path if isinstance(path, str) and path.strip("/") else "connect/"
